import type { FastifyPluginAsync } from 'fastify'
import type { CallerTokens } from './upstream-credential.ts'

/** The public keys with which upstreams check who calls (RFC 7517). */
export const jwks: FastifyPluginAsync<{ callerTokens: CallerTokens }> = async (app, { callerTokens }) => {
  app.get('/.well-known/jwks.json', async function showJwks (_request, reply) {
    reply.header('cache-control', 'public, max-age=300').type('application/jwk-set+json')
    return JSON.stringify(callerTokens.jwks)
  })
}
