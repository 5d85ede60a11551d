import Fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import type { DestinationStream } from 'pino'
import type { Config } from './config/config.ts'
import type { Keys } from './engine/open-keys.ts'
import { apiKeys } from './plugins/api-keys.ts'
import { refuseAtSocket } from './http/client-errors.ts'
import { draining } from './plugins/draining.ts'
import { endings } from './plugins/endings.ts'
import { accessLog, createLogger, requestId } from './http/logging.ts'
import { mcpGateway } from './mcp/mcp-gateway.ts'
import { metrics } from './plugins/metrics.ts'
import { openapi } from './plugins/openapi.ts'
import { problems, sendProblem } from './plugins/problems.ts'
import { Scrubber } from './http/scrubber.ts'
import { secretRefusal } from './plugins/secret-refusal.ts'
import { securityHeaders } from './plugins/security-headers.ts'
import { staticAuth } from './plugins/static-auth.ts'
import { strictRequests } from './plugins/strict-requests.ts'
import { untrustedProxy } from './plugins/untrusted-proxy.ts'
import { pageSecrets } from './config/pages-config.ts'
import { auditRoutes } from './routes/audit.ts'
import { decodableUrl } from './http/decodable-url.ts'
import { documentRoutes } from './routes/documents.ts'
import { forwardAuthRoutes } from './routes/forward-auth.ts'
import { introspectRoutes } from './routes/introspect.ts'
import { keyRoutes } from './routes/keys.ts'
import { operationRoutes } from './routes/operations.ts'
import { connectedApps } from './pages/connected-apps.ts'
import { verifyRoutes } from './routes/verify.ts'
import { wellKnownRoutes } from './routes/well-known.ts'

export interface AppOptions {
  /** With `databaseUrl` set; in embedded mode to the address of the embedded Postgres. */
  readonly config: Config
  /** An engine that is open already; closing it remains yours. */
  readonly keys?: Keys
  /** Where log lines go. Standard output. */
  readonly logDestination?: DestinationStream
}

/** The service: every plugin and every route, in order. */
export async function buildApp ({ config, keys, logDestination }: AppOptions): Promise<FastifyInstance> {
  const { managementTokens, serviceTokens, tokenPrefix, databaseUrl, redisUrl, gateway } = config
  const scrubber = new Scrubber({
    tokenPrefix,
    secrets: [
      ...[...managementTokens, ...serviceTokens].map(({ secret }) => secret),
      ...pageSecrets(config.pages),
      ...gateway?.upstreams.map(({ token = '' }) => token) ?? []
    ],
    urls: [databaseUrl, redisUrl]
  })
  const app = Fastify({
    genReqId: requestId,
    rewriteUrl: decodableUrl,
    trustProxy: config.trustedProxies.length > 0 ? [...config.trustedProxies] : false,
    bodyLimit: 16 * 1024,
    routerOptions: { maxParamLength: 512 },
    http: { maxHeaderSize: 16 * 1024 },
    // A revocation may wait the whole window out, with nothing on the wire.
    connectionTimeout: Math.max(60_000, config.trustWindowMs * 1.1 + 10_000),
    requestTimeout: 15_000,
    keepAliveTimeout: 72_000,
    clientErrorHandler: refuseAtSocket,
    frameworkErrors: sendProblem
  })
  // Not handed to Fastify, which would make a logger for every request (docs/decisions/0051).
  app.log = createLogger({ level: config.logLevel, scrubber, ...(logDestination === undefined ? {} : { destination: logDestination }) }) as FastifyBaseLogger

  await app.register(endings)
  await app.register(problems)
  await app.register(accessLog)
  await app.register(untrustedProxy)
  await app.register(securityHeaders)
  await app.register(strictRequests)
  await app.register(openapi)
  await app.register(secretRefusal, { scrubber })
  await app.register(staticAuth, { managementTokens, serviceTokens, tokenPrefix })
  await app.register(apiKeys, keys === undefined ? config : { keys })
  await app.register(metrics)
  await app.register(draining)

  await app.register(keyRoutes)
  await app.register(auditRoutes)
  await app.register(verifyRoutes)
  await app.register(introspectRoutes)
  if (gateway !== undefined) await app.register(mcpGateway, { ...gateway, keys: app.apiKeys })
  await app.register(forwardAuthRoutes)
  await app.register(operationRoutes)
  await app.register(documentRoutes)
  await app.register(wellKnownRoutes)
  await app.register(connectedApps, { config })
  return app
}
