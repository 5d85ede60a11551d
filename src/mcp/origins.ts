import type { FastifyReply, FastifyRequest } from 'fastify'
import { fitsOrigin } from '../core/origin-pattern.ts'
import { foreignOrigin } from './gateway-refusals.ts'

const exposed = 'Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After, RateLimit, RateLimit-Policy'
const methods = 'POST, GET, DELETE'

/** Web pages that are served from this machine, such as the MCP Inspector. */
export const originsOfThisMachine: readonly string[] = ['http://localhost:*', 'http://127.0.0.1:*', 'http://[::1]:*']

/**
 * Refuses web pages of origins that the operator has not allowed. Comparing Origin with Host is not enough: after DNS rebinding the two
 * are equal.
 */
export class Origins {
  readonly #patterns: readonly string[]

  constructor (patterns: readonly string[] = originsOfThisMachine) {
    this.#patterns = patterns.map((text) => text.toLowerCase())
  }

  welcome (request: FastifyRequest, reply: FastifyReply): void {
    const { origin } = request.headers
    if (origin === undefined) return
    if (!fitsOrigin(origin, this.#patterns)) throw foreignOrigin()
    reply.headers({ 'access-control-allow-origin': origin, 'access-control-expose-headers': exposed, vary: 'Origin' })
  }

  /** Answers a CORS preflight (Fetch standard). */
  answerPreflight (request: FastifyRequest, reply: FastifyReply): FastifyReply {
    this.welcome(request, reply)
    const wanted = request.headers['access-control-request-headers']
    return reply.code(204).headers({
      allow: methods,
      'access-control-allow-methods': methods,
      'access-control-max-age': '600',
      ...(wanted === undefined ? {} : { 'access-control-allow-headers': wanted })
    }).send()
  }
}
