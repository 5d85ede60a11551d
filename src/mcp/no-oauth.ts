import type { FastifyPluginAsync } from 'fastify'

const body = JSON.stringify({
  error: 'access_denied',
  error_description: 'This server does not use OAuth: put the key into the Authorization header of the client, as "Bearer <key>". If it is already there, the key is not valid, or it has mcp:read and the call needs mcp:write: ask a person for a key with "Read + Write".'
})

/**
 * Where clients that know no other way out of a 401 or 403 try to register (RFC 7591) and to log in: claude.ai first of all. mcp-remote
 * shows its user what it gets here, in the place of the refusal that it came from.
 */
export const noOAuth: FastifyPluginAsync = async (app) => {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { bodyLimit: 16 * 1024 }, (_request, payload, done) => {
    payload.resume()
    done(null)
  })
  for (const url of ['/authorize', '/register', '/token']) {
    app.route({
      method: ['GET', 'POST'],
      url,
      exposeHeadRoute: false,
      schema: { hide: true },
      handler: async function refuseOAuth (_request, reply) {
        reply.code(404).headers({ 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' })
        return body
      }
    })
  }
}
