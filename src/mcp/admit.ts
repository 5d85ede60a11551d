import type { FastifyRequest } from 'fastify'
import { bearerToken } from '../http/bearer.ts'
import type { Gateway } from './gateway.ts'
import { inMcp, keyRefusal } from './key-refusals.ts'

/** Lets a request in whose token is good for anything at all, before a byte of its body is read. */
export async function admit (gateway: Gateway, request: FastifyRequest): Promise<void> {
  const { verifier, tokens } = gateway.keys
  const token = bearerToken(request.raw, tokens)
  if (typeof token !== 'string') throw inMcp(token, undefined)
  const verdict = await verifier.verify(token, { client: request })
  if (!verdict.valid) throw keyRefusal(verdict, undefined)
  request.gatewayRequest.key = verdict.key
  request.gatewayRequest.token = token
}
