import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import type { Keys } from '../engine/open-keys.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Logged at level debug: probes and scrapes are frequent and not interesting. */
    readonly isProbe?: boolean
  }
}

const readySchema = Type.Object({
  status: Type.Enum(['ready', 'not_ready', 'stopping'], { description: '`stopping`: the process got SIGTERM.' }),
  postgres: Type.Enum(['up', 'down'], { description: 'Whether the newest renewal of the trust window was answered. The replica becomes not ready when it is down and the window has ended.' }),
  standbys: Type.Union([Type.Object({
    count: Type.Integer({ description: 'Number of standbys.' }),
    not_waited_for: Type.Integer({ description: 'Standbys that may lack confirmed commits. A failover to one of them loses confirmed revocations.' })
  }), Type.Null()], { description: 'Standbys of the database, as known a few seconds ago; null while that is not known. They do not affect readiness.' }),
  redis: Type.Enum(['up', 'refusing', 'down', 'unused'], { description: '`refusing`: Redis answers with errors. `refusing` and `down` make requests slower but do not affect readiness.' }),
  redis_refusal: Type.Union([Type.String(), Type.Null()], { description: 'The code of what Redis refuses, such as `READONLY` or `OOM`; null while it refuses nothing.' }),
  window: Type.Object({
    state: Type.Enum(['open', 'shut'], { description: 'While it is `shut`, this replica accepts no key.' }),
    renewal_age_ms: Type.Union([Type.Integer(), Type.Null()], { description: 'Since the newest renewal was sent; null before the first.' }),
    applied: Type.Integer({ description: 'Position in the revocation log up to which this replica knows all changes.' }),
    floor: Type.Union([Type.Integer(), Type.Null()], { description: 'Cached entries that are older than this position are read again; null before the first renewal.' }),
    tail_rows: Type.Integer({ description: 'Number of recent changes that this replica remembers.' }),
    members: Type.Integer({ description: 'Number of replicas that a revocation waits for, as last read; 0 until the first change.' })
  }, { description: 'The trust window of this replica.' }),
  mcp_upstreams: Type.Optional(Type.Array(Type.Object({
    name: Type.String({ description: 'The name of the MCP server.' }),
    state: Type.Enum(['unknown', 'up', 'failing'], { description: 'The outcome of the newest request to it; `unknown` before the first.' }),
    cause: Type.Union([Type.String(), Type.Null()], { description: 'Why it fails.' })
  }), { description: 'The servers behind the MCP gateway. A failing server does not affect readiness.' }))
}, { title: 'Readiness', description: 'The known state of each dependency. This call sends no request to them.' })

export interface OperationsOptions {
  readonly keys: Keys
  isDraining (): boolean
  /** The servers behind the MCP gateway; absent where there is none. */
  readonly mcpUpstreams?: (() => ReadonlyArray<{ readonly name: string, readonly state: 'unknown' | 'up' | 'failing', readonly cause: string | undefined }>) | undefined
  /** Prometheus' text format. */
  metrics (): Promise<Buffer>
}

/** Probes and metrics. They need no credential, because no answer names a key, a workspace or a token. */
export const operationRoutes: FastifyPluginAsyncTypebox<OperationsOptions> = async (app, { keys, isDraining, mcpUpstreams, metrics }) => {
  const tags = ['operations']
  const config = { isProbe: true, needsNoStore: true }
  app.addHook('onRequest', app.refuseQueryCredentials)

  app.get('/livez', {
    config,
    schema: { tags, operationId: 'livez', summary: 'Check that the process runs', response: { 200: Type.Object({ status: Type.Literal('live') }, { description: 'The process runs.' }) } }
  }, async function livez (_request, reply) {
    asPlainJson(reply)
    return { status: 'live' as const }
  })

  app.get('/readyz', {
    config,
    schema: { tags, operationId: 'readyz', summary: 'Check whether this replica should get requests', response: { 200: readySchema, 503: readySchema } }
  }, async function readyz (_request, reply) {
    const health = keys.health()
    const { renewalAgeMs, applied, floor, recentRows, members } = keys.window.snapshot()
    // Independent of Postgres: cached keys are verified without it while the window is open.
    const isReady = health.window === 'open'
    asPlainJson(reply).code(isReady && !isDraining() ? 200 : 503)
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
    schema: { tags, operationId: 'metrics', summary: 'Prometheus metrics', response: { 200: { description: 'Text format 0.0.4; at most one second old.', content: { 'text/plain': { schema: Type.String() } } } } }
  }, async function scrape (_request, reply) {
    return await reply.type('text/plain; version=0.0.4; charset=utf-8').send(await metrics() as unknown as string)
  })
}

/** Without the serializer of the schema: a process that answers only probes then need not load what makes serializers. */
function asPlainJson (reply: FastifyReply): FastifyReply {
  return reply.type('application/json; charset=utf-8').serializer(JSON.stringify)
}
