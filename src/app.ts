import type { Server } from 'node:http'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyHttpOptions } from 'fastify'
import type { DestinationStream } from 'pino'
import { v7 as uuidv7 } from 'uuid'
import type { Config } from './config/config.ts'
import type { Keys } from './engine/open-keys.ts'
import { apiKeys } from './plugins/api-keys.ts'
import { presentedToken } from './http/bearer.ts'
import { refuseAtSocket } from './http/client-errors.ts'
import { draining } from './plugins/draining.ts'
import { requestEnd } from './plugins/request-end.ts'
import type { Telemetry } from './http/open-telemetry.ts'
import { lazySerializers } from './http/lazy-serializers.ts'
import { accessLog, createLogger, requestId } from './http/logging.ts'
import type { GatewayCall } from './mcp/call-report.ts'
import { defaultMcpPath } from './core/mcp-path.ts'
import { metrics } from './plugins/metrics.ts'
import { starting } from './plugins/starting.ts'
import { openapi } from './plugins/openapi.ts'
import { problems, sendProblem } from './plugins/problems.ts'
import { Scrubber } from './http/scrubber.ts'
import { secretRefusal } from './plugins/secret-refusal.ts'
import { securityHeaders } from './plugins/security-headers.ts'
import { staticAuth } from './plugins/static-auth.ts'
import { strictRequests } from './plugins/strict-requests.ts'
import { untrustedProxy } from './plugins/untrusted-proxy.ts'
import { keysOptionsOf } from './engine/keys-options-of.ts'
import { pageSecrets } from './config/pages-config.ts'
import { version } from './config/version.ts'
import { auditRoutes } from './routes/audit.ts'
import { eventRoutes } from './routes/events.ts'
import { decodableUrl } from './http/decodable-url.ts'
import { referenceRoutes } from './reference/reference.ts'
import { forwardAuthRoutes } from './routes/forward-auth.ts'
import { introspectRoutes } from './routes/introspect.ts'
import { githubLeakRoutes } from './routes/github-leaks.ts'
import { leakRoutes } from './routes/leaks.ts'
import { revokeRoutes } from './routes/revoke.ts'
import { keyRoutes } from './routes/keys.ts'
import { operationRoutes, type OperationsOptions } from './routes/operations.ts'
import { policyRoutes } from './routes/policy.ts'
import { usageRoutes } from './routes/usage.ts'
import { servicePages } from './pages/service-pages.ts'
import { webhooks } from './plugins/webhooks.ts'
import { webhookSecrets } from './config/webhooks-config.ts'
import { verifyRoutes } from './routes/verify.ts'
import { wellKnownRoutes } from './routes/well-known.ts'

export interface AppOptions {
  /** `databaseUrl` is set; in embedded mode it is that of the embedded Postgres. */
  readonly config: Config
  /** An open engine; the caller closes it. */
  readonly keys?: Keys
  /** Records spans of requests that leave the process. An open engine already has its own. */
  readonly telemetry?: Telemetry | undefined
  /** The destination of log lines. Standard output. */
  readonly logDestination?: DestinationStream
}

/** The service: every plugin and every route, in order. */
export async function buildApp ({ config, keys, telemetry, logDestination }: AppOptions): Promise<FastifyInstance> {
  const { managementTokens, serviceTokens, tokenPrefix, tokenPrefixesAccepted, gateway } = config
  const scrubber = scrubberOf(config)
  const app = server(config)
  // Not handed to Fastify, which would make a logger for every request (docs/decisions/0051).
  app.log = createLogger({ level: config.logLevel, scrubber, ...(logDestination === undefined ? {} : { destination: logDestination }) }) as FastifyBaseLogger

  await app.register(requestEnd)
  if (telemetry !== undefined) await app.register(telemetry.requestSpans)
  await app.register(problems)
  await app.register(accessLog)
  await app.register(untrustedProxy)
  await app.register(securityHeaders)
  await app.register(strictRequests)
  await app.register(openapi)
  await app.register(secretRefusal, { scrubber })
  await app.register(staticAuth, { managementTokens, serviceTokens, tokenPrefixes: [tokenPrefix, ...tokenPrefixesAccepted], apiKeyHeader: config.apiKeyHeader })
  await app.register(apiKeys, { ...(keys === undefined ? { ...keysOptionsOf(config), tracing: telemetry?.tracing } : { keys }), apiKeyHeader: config.apiKeyHeader })
  await app.register(starting)
  await app.register(metrics, { version })
  if (config.webhooks !== undefined) await app.register(webhooks, config.webhooks)

  await app.register(keyRoutes)
  await app.register(policyRoutes)
  await app.register(auditRoutes)
  await app.register(usageRoutes)
  await app.register(eventRoutes)
  await app.register(leakRoutes)
  await app.register(githubLeakRoutes, { keysSource: config.leaksGithubKeys })
  await app.register(verifyRoutes)
  await app.register(introspectRoutes, { issuer: config.pages.publicUrl && new URL(config.pages.publicUrl).origin })
  const presented = presentedToken(app.apiKeys.tokens, config.apiKeyHeader)
  // Only loaded if it is configured: with the MCP client it is a fifth of all code.
  if (gateway !== undefined) await app.register((await import('./mcp/mcp-gateway.ts')).mcpGateway, { ...gateway, keys: app.apiKeys, tracing: telemetry?.tracing, presented, onCall: callRecorder(app.apiKeys) })
  await app.register(forwardAuthRoutes, { presented })
  await app.register(revokeRoutes)
  if (config.metricsPort === undefined) await app.register(operationRoutes, operationsOf(app))
  await app.register(referenceRoutes)
  await app.register(wellKnownRoutes)
  await app.register(servicePages, { config, scrubber, gatewayPath: gateway?.upstreams.map(({ name, path }) => path ?? defaultMcpPath(name))[0] })
  await app.register(draining)
  return app
}

/** Probes and metrics of `app`, on a port of their own. */
export async function buildOperationsApp ({ app, config }: { readonly app: FastifyInstance, readonly config: Config }): Promise<FastifyInstance> {
  const operations = server(config)
  operations.log = app.log
  operations.server.prependListener('request', (_request, answer) => { if (app.draining) answer.shouldKeepAlive = false })
  await operations.register(requestEnd)
  await operations.register(problems)
  await operations.register(accessLog)
  await operations.register(securityHeaders)
  await operations.register(strictRequests)
  await operations.register(secretRefusal, { scrubber: scrubberOf(config) })
  await operations.register(operationRoutes, operationsOf(app))
  return operations
}

/** Records calls of the gateway. */
function callRecorder ({ calls, usage }: Keys): (call: GatewayCall) => void {
  return ({ key, upstream, method, tool, decision, status, ms, usedAt, clientInfo, address }) => {
    const now = performance.now()
    calls.note({ id: uuidv7(), workspaceId: key.workspaceId, keyId: key.id, upstream, method, tool: tool ?? null, decision, status, ms }, now)
    if (tool !== undefined) usage.noteCall(key.id, tool, decision)
    if (usedAt === undefined || clientInfo === undefined) return
    const { name, version } = clientInfo
    usage.noteClient(key.id, { address, client: version === undefined ? name : `${name}/${version}` }, usedAt)
  }
}

function operationsOf (app: FastifyInstance): OperationsOptions {
  const mcpUpstreams = app.hasDecorator('mcpUpstreams') ? () => app.mcpUpstreams() : undefined
  return { keys: app.apiKeys, isDraining: () => app.draining, mcpUpstreams, metrics: () => app.metrics() }
}

function server (config: Config): FastifyInstance {
  const slowestMs = 15_000
  const options: FastifyHttpOptions<Server> = {
    genReqId: requestId,
    rewriteUrl: decodableUrl,
    trustProxy: config.trustedProxies.length > 0 ? [...config.trustedProxies] : false,
    bodyLimit: 16 * 1024,
    routerOptions: { maxParamLength: 512 },
    // Node only takes these in the constructor; set later they have no effect, or change each other.
    http: {
      maxHeaderSize: 16 * 1024,
      requireHostHeader: false,
      headersTimeout: slowestMs,
      requestTimeout: slowestMs,
      connectionsCheckingInterval: 2000,
      // Most requests have no body: the life of a stream that nobody reads costs more than a verification (docs/decisions/0335).
      optimizeEmptyRequests: true
    },
    // A revocation may wait for the whole window without sending anything.
    connectionTimeout: Math.max(60_000, config.trustWindowMs * 1.1 + 10_000),
    requestTimeout: slowestMs,
    keepAliveTimeout: 72_000,
    // While it drains, requests are answered as before: a refusal would be a failed request.
    return503OnClosing: false,
    // Without a validator here Fastify loads Ajv, which nothing uses: `strictRequests` brings its own.
    schemaController: { compilersFactory: { buildValidator: () => noValidator, buildSerializer: lazySerializers() } },
    clientErrorHandler: refuseAtSocket,
    frameworkErrors: sendProblem
  }
  return Fastify(options)
}

function noValidator (): never {
  throw new Error('A route was added to an application without `strictRequests`.')
}

function scrubberOf ({ managementTokens, serviceTokens, tokenPrefix, tokenPrefixesAccepted, databaseUrl, redisUrl, pages, webhooks, gateway }: Config): Scrubber {
  return new Scrubber({
    tokenPrefix,
    tokenPrefixesAccepted,
    secrets: [
      ...[...managementTokens, ...serviceTokens].map(({ secret }) => secret),
      ...pageSecrets(pages),
      ...webhooks === undefined ? [] : webhookSecrets(webhooks),
      ...gateway?.upstreams.flatMap(({ token = '', headers = {} }) => [token, ...Object.values(headers)]) ?? []
    ],
    urls: [databaseUrl, redisUrl]
  })
}
