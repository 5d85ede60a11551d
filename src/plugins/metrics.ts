import fp from 'fastify-plugin'
import { Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import { expose } from './exposition.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Where plugins with figures of their own register them. */
    readonly metricsRegistry: Registry
    /** Everything that is measured, in Prometheus' text format. */
    metrics (): Promise<string>
  }
}

/** Counts requests by the pattern of their route, never by URL, and shows the engine's counters beside them. */
export const metrics = fp(async (app) => {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const durations = new Histogram({
    name: 'navis_keys_http_request_duration_seconds',
    help: 'From the first look at the request to the last byte of the answer. The status is none where the client went away before it was told.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers: [registry]
  })
  const known = new Set<string>(app.supportedMethods)
  app.onEnding(({ request, route = 'none', elapsedMs, status }) => {
    const method = known.has(request.method) ? request.method : 'other'
    durations.observe({ method, route, status: status === undefined ? 'none' : String(status) }, elapsedMs / 1000)
  })
  app.addHook('onClose', async () => { registry.clear() })
  app.decorate('metricsRegistry', registry)
  app.decorate('metrics', async () => await registry.metrics() + expose(app.apiKeys.stats(), app.apiKeys.window.snapshot()))
}, { name: 'metrics', dependencies: ['api-keys', 'endings'], fastify: '5.x' })
