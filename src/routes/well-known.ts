import type { FastifyPluginAsync } from 'fastify'
import { KeysError } from '../core/errors.ts'

const paths = [
  '/.well-known/oauth-authorization-server',
  '/.well-known/oauth-authorization-server/*',
  '/.well-known/oauth-protected-resource',
  '/.well-known/oauth-protected-resource/*',
  '/.well-known/openid-configuration',
  '/.well-known/openid-configuration/*'
]

/** MCP clients request these paths before they use a static header. Any answer but a JSON 404 makes them start an OAuth flow, which this service does not have. */
export const wellKnownRoutes: FastifyPluginAsync = async (app) => {
  for (const path of paths) {
    app.get(path, { schema: { hide: true } }, async function noOAuth () {
      throw new KeysError('not_found', { detail: 'This server does not use OAuth: put the key into the Authorization header of the client, as "Bearer <key>".' })
    })
  }
}
