import type { FastifyPluginAsync } from 'fastify'

const body = JSON.stringify({
  error: 'access_denied',
  error_description: 'This server does not use OAuth: put the key into the Authorization header of the client, as "Bearer <key>". If it is already there, the key is not valid, or it has mcp:read and the call needs mcp:write: ask a person for a key with "Read + Write".'
})

/**
 * The paths at which clients try to register (RFC 7591) and to log in after a 401 or 403; claude.ai tries them first. mcp-remote shows its
 * user this text in place of the original refusal.
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
