import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'

const readySchema = Type.Object({
  status: Type.Enum(['ready', 'not_ready', 'stopping']),
  postgres: Type.Enum(['up', 'down']),
  redis: Type.Enum(['up', 'down', 'unused'], { description: '`down` costs speed, not readiness.' }),
  window: Type.Object({
    state: Type.Enum(['open', 'shut']),
    renewal_age_ms: Type.Union([Type.Integer(), Type.Null()], { description: 'Since the newest renewal was sent; null before the first.' }),
    applied: Type.Integer({ description: 'Place in the revocation log up to which everything is known here.' }),
    floor: Type.Union([Type.Integer(), Type.Null()], { description: 'Entries older than this place are read again; null before the first renewal.' }),
    tail_rows: Type.Integer(),
    members: Type.Integer({ description: 'Replicas that a revocation waits for, as last read; 0 until the first change.' })
  })
}, { title: 'Readiness', description: 'What is there and what is away.' })

/** For whoever runs the service. No credential: nothing here names a key, a workspace or a token. */
export const operationRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const tags = ['operations']
  app.addHook('onRequest', app.refuseQueryCredentials)

  app.get('/livez', {
    schema: { tags, operationId: 'livez', summary: 'The process turns', response: { 200: Type.Object({ status: Type.Literal('live') }, { description: 'It does.' }) } }
  }, async function livez () {
    return { status: 'live' as const }
  })

  app.get('/readyz', {
    schema: { tags, operationId: 'readyz', summary: 'Whether requests should be sent here', response: { 200: readySchema, 503: readySchema } }
  }, async function readyz (_request, reply) {
    const health = await app.apiKeys.health()
    const { renewalAgeMs, applied, floor, tailRows, members } = app.apiKeys.window.snapshot()
    const isReady = health.window === 'open' && health.postgres === 'up'
    reply.code(isReady && !app.draining ? 200 : 503)
    return {
      status: app.draining ? 'stopping' as const : isReady ? 'ready' as const : 'not_ready' as const,
      postgres: health.postgres,
      redis: health.redis,
      window: {
        state: health.window,
        renewal_age_ms: renewalAgeMs === undefined ? null : Math.round(renewalAgeMs),
        applied,
        floor: floor ?? null,
        tail_rows: tailRows,
        members
      }
    }
  })

  app.get('/metrics', {
    schema: { tags, operationId: 'metrics', summary: 'Prometheus metrics', response: { 200: { description: 'Text format 0.0.4.', content: { 'text/plain': { schema: Type.String() } } } } }
  }, async function metrics (_request, reply) {
    reply.type('text/plain; version=0.0.4; charset=utf-8')
    return await app.metrics()
  })
}
