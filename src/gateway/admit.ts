import type { FastifyRequest } from 'fastify'
import type { Gateway } from './gateway.ts'
import { noToken, presentedToken, refusalOf } from './presented-token.ts'

/** Lets a request in whose token is good for anything at all, before a byte of its body is read. */
export async function admit (gateway: Gateway, request: FastifyRequest): Promise<void> {
  const { verifier, tokens } = gateway.keys
  const token = presentedToken(request, tokens)
  if (token === undefined) throw noToken()
  const verdict = typeof token === 'string' ? await verifier.verify(token, { client: request }) : token
  if (!verdict.valid || typeof token !== 'string') throw refusalOf(verdict, undefined)
  request.mcpVisit.key = verdict.key
  request.mcpVisit.token = token
}
