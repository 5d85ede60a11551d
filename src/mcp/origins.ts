import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Gateway } from './gateway.ts'
import { foreignOrigin } from './gateway-refusals.ts'

const exposed = 'Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After'
const methods = 'POST, GET, DELETE'

/**
 * Refuses pages of origins that the operator has not named. Comparing with the Host header would not do: a page that
 * rebinds its name to this service's address sends a Host that fits.
 */
export function welcomeOrigin (gateway: Gateway, request: FastifyRequest, reply: FastifyReply): void {
  const { origin } = request.headers
  if (origin === undefined) return
  if (!gateway.allowedOrigins.has(origin)) throw foreignOrigin()
  reply.headers({ 'access-control-allow-origin': origin, 'access-control-expose-headers': exposed, vary: 'Origin' })
}

/** Answers a browser that asks before it sends (Fetch standard, CORS preflight). */
export function answerPreflight (gateway: Gateway, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  welcomeOrigin(gateway, request, reply)
  const wanted = request.headers['access-control-request-headers']
  return reply.code(204).headers({
    allow: methods,
    'access-control-allow-methods': methods,
    'access-control-max-age': '600',
    ...(wanted === undefined ? {} : { 'access-control-allow-headers': wanted })
  }).send()
}
