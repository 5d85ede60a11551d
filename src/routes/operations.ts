import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { Keys } from '../engine/open-keys.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Probes and scrapes, which come every second and tell nothing: logged at debug. */
    readonly isProbe?: boolean
  }
}

const readySchema = Type.Object({
  status: Type.Enum(['ready', 'not_ready', 'stopping']),
  postgres: Type.Enum(['up', 'down'], { description: 'Whether the newest renewal of the trust window was answered. Down costs readiness when the window has ended.' }),
  standbys: Type.Union([Type.Object({
    count: Type.Integer(),
    not_waited_for: Type.Integer({ description: 'Those that may lack what a commit has confirmed. A failover to one loses revocations that were answered.' })
  }), Type.Null()], { description: 'Servers that follow the database, as of a few seconds ago; null while that is not known. They do not cost readiness.' }),
  redis: Type.Enum(['up', 'refusing', 'down', 'unused'], { description: '`refusing`: it answers, with errors. Neither that nor `down` costs readiness, only speed.' }),
  redis_refusal: Type.Union([Type.String(), Type.Null()], { description: 'The code of what Redis refuses, such as `READONLY` or `OOM`; null while it refuses nothing.' }),
  window: Type.Object({
    state: Type.Enum(['open', 'shut']),
    renewal_age_ms: Type.Union([Type.Integer(), Type.Null()], { description: 'Since the newest renewal was sent; null before the first.' }),
    applied: Type.Integer({ description: 'Place in the revocation log up to which everything is known here.' }),
    floor: Type.Union([Type.Integer(), Type.Null()], { description: 'Entries older than this place are read again; null before the first renewal.' }),
    tail_rows: Type.Integer(),
    members: Type.Integer({ description: 'Replicas that a revocation waits for, as last read; 0 until the first change.' })
  }),
  mcp_upstreams: Type.Optional(Type.Array(Type.Object({
    name: Type.String(),
    state: Type.Enum(['unknown', 'up', 'failing'], { description: 'How the newest request to it ended; `unknown` before the first.' }),
    cause: Type.Union([Type.String(), Type.Null()], { description: 'Why it fails.' })
  }), { description: 'The servers behind the MCP gateway. One that fails does not make this replica unready.' }))
}, { title: 'Readiness', description: 'What is there and what is away, as far as it is known. No store is asked.' })

export interface OperationsOptions {
  readonly keys: Keys
  isDraining (): boolean
  /** The servers behind the MCP gateway; absent where there is none. */
  readonly mcpUpstreams?: (() => ReadonlyArray<{ readonly name: string, readonly state: 'unknown' | 'up' | 'failing', readonly cause: string | undefined }>) | undefined
  /** Prometheus' text format. */
  metrics (): Promise<Buffer>
}

/** For those who run the service. No credential: nothing here names a key, a workspace or a token. */
export const operationRoutes: FastifyPluginAsyncTypebox<OperationsOptions> = async (app, { keys, isDraining, mcpUpstreams, metrics }) => {
  const tags = ['operations']
  const config = { isProbe: true, needsNoStore: true }
  app.addHook('onRequest', app.refuseQueryCredentials)

  app.get('/livez', {
    config,
    schema: { tags, operationId: 'livez', summary: 'The process turns', response: { 200: Type.Object({ status: Type.Literal('live') }, { description: 'It does.' }) } }
  }, async function livez () {
    return { status: 'live' as const }
  })

  app.get('/readyz', {
    config,
    schema: { tags, operationId: 'readyz', summary: 'Whether requests should be sent here', response: { 200: readySchema, 503: readySchema } }
  }, async function readyz (_request, reply) {
    const health = keys.health()
    const { renewalAgeMs, applied, floor, recentRows, members } = keys.window.snapshot()
    // Not Postgres: keys that are cached are verified without it for as long as the window is open.
    const isReady = health.window === 'open'
    reply.code(isReady && !isDraining() ? 200 : 503)
    return {
      status: isDraining() ? 'stopping' as const : isReady ? 'ready' as const : 'not_ready' as const,
      postgres: health.postgres,
      standbys: health.standbys === undefined ? null : { count: health.standbys.count, not_waited_for: health.standbys.notWaitedFor },
      redis: health.redis,
      redis_refusal: health.redisRefusal ?? null,
      window: {
        state: health.window,
        renewal_age_ms: renewalAgeMs === undefined ? null : Math.round(renewalAgeMs),
        applied,
        floor: floor ?? null,
        tail_rows: recentRows,
        members
      },
      ...(mcpUpstreams === undefined ? {} : { mcp_upstreams: mcpUpstreams().map(({ name, state, cause = null }) => ({ name, state, cause })) })
    }
  })

  app.get('/metrics', {
    config,
    schema: { tags, operationId: 'metrics', summary: 'Prometheus metrics', response: { 200: { description: 'Text format 0.0.4; at most a second old.', content: { 'text/plain': { schema: Type.String() } } } } }
  }, async function scrape (_request, reply) {
    return await reply.type('text/plain; version=0.0.4; charset=utf-8').send(await metrics() as unknown as string)
  })
}
