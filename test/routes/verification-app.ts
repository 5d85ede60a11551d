import Fastify from 'fastify'
import { openKeys } from '../../src/engine/open-keys.ts'
import { apiKeys } from '../../src/plugins/api-keys.ts'
import { openapi } from '../../src/plugins/openapi.ts'
import { problems } from '../../src/plugins/problems.ts'
import { Scrubber } from '../../src/http/scrubber.ts'
import { secretRefusal } from '../../src/plugins/secret-refusal.ts'
import { securityHeaders } from '../../src/plugins/security-headers.ts'
import { staticAuth } from '../../src/plugins/static-auth.ts'
import { strictRequests } from '../../src/plugins/strict-requests.ts'
import { decodableUrl } from '../../src/http/decodable-url.ts'
import { forwardAuthRoutes } from '../../src/routes/forward-auth.ts'
import { introspectRoutes } from '../../src/routes/introspect.ts'
import { verifyRoutes } from '../../src/routes/verify.ts'
import { freshDatabase, freshRedis, type Teardowns } from '../support/servers.ts'

export const serviceToken = 'a-service-token-of-at-least-32-characters'

/** The verification routes on real stores, with a reading and a writing key in workspace `w1`. */
export async function verificationApp (t: Teardowns, { unknownTokensPerMinute }: { unknownTokensPerMinute?: number } = {}) {
  const keys = await openKeys({ databaseUrl: await freshDatabase(t), redisUrl: await freshRedis(t), unknownTokensPerMinute })
  const app = Fastify({ bodyLimit: 16 * 1024, rewriteUrl: decodableUrl })
  const secrets = [{ name: 'gateway', secret: serviceToken }]
  await app.register(problems)
  await app.register(securityHeaders)
  await app.register(strictRequests)
  await app.register(openapi)
  await app.register(secretRefusal, { scrubber: new Scrubber({ tokenPrefix: 'nops_', secrets: [serviceToken], urls: [] }) })
  await app.register(staticAuth, { managementTokens: [], serviceTokens: secrets, tokenPrefixes: ['nops_'], apiKeyHeader: 'x-api-key' })
  await app.register(apiKeys, { keys })
  await app.register(verifyRoutes)
  await app.register(introspectRoutes)
  await app.register(forwardAuthRoutes)
  t.teardown(async () => {
    await app.close()
    await keys.close()
  })
  const make = (scope: 'mcp:read' | 'mcp:write', ownerId: string | null = 'u1') =>
    keys.service.create({ workspaceId: 'w1', actor: 'test', name: scope, scope, ownerId, metadata: { team: 'a' } })
  return { app, keys, make, reading: await make('mcp:read'), writing: await make('mcp:write', null) }
}
