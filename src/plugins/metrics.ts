import { setImmediate as nextTurn } from 'node:timers/promises'
import fp from 'fastify-plugin'
import { Gauge, Registry, collectDefaultMetrics } from 'prom-client'
import { registerEngineMetrics, type Reading } from './engine-metrics.ts'
import { RequestDurations } from './request-durations.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Other plugins register their metrics here. */
    readonly metricsRegistry: Registry
    /** All metrics in Prometheus' text format; at most one second old. */
    metrics (): Promise<Buffer>
  }
}

// These default metrics have names that are not allowed for gauges, and they visit every open connection.
const leftOut = ['handles', 'requests', 'resources'].flatMap((what) => [`nodejs_active_${what}`, `nodejs_active_${what}_total`])

/** Counts requests by the pattern of their route, never by URL, and shows the engine's counters beside them. */
export const metrics = fp<{ readonly version: string }>(async (app, { version }) => {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const name of leftOut) registry.removeSingleMetric(name)
  new Gauge({ name: 'navis_keys_build_info', help: 'The version of the service and of Node.js, as labels; always 1.', labelNames: ['version', 'node'], registers: [registry] })
    .set({ version, node: process.version }, 1)
  const durations = new RequestDurations()
  const known = new Set<string>(app.supportedMethods)
  app.onRequestEnd(({ request, route = 'none', elapsedMs, status }) => {
    const method = known.has(request.method) ? request.method : 'other'
    durations.note(method, route, status, elapsedMs)
  })

  let reading: Reading | undefined
  registerEngineMetrics(registry, () => {
    reading ??= { stats: app.apiKeys.stats(), window: app.apiKeys.window.snapshot() }
    return reading
  })
  const scrapes = new Scrapes({ registry, durations, begin: () => { reading = undefined } })
  app.addHook('onClose', async () => { registry.clear() })
  app.decorate('metricsRegistry', registry)
  app.decorate('metrics', () => scrapes.newest())
}, { name: 'metrics', dependencies: ['api-keys', 'request-end'], fastify: '5.x' })

interface ScrapesOptions {
  readonly registry: Registry
  readonly durations: RequestDurations
  /** Called before the metrics are read. */
  begin (): void
}

const freshMs = 1000

/**
 * The text of a scrape, generated at most once a second: `/metrics` needs no credential, so requests to it must not be able to slow down
 * verifications. It is generated one metric, or a few series, per event-loop turn, so that no request waits for the whole.
 */
class Scrapes {
  readonly #options: ScrapesOptions
  #text: Promise<Buffer> | undefined
  #madeAt = -Infinity

  constructor (options: ScrapesOptions) {
    this.#options = options
  }

  newest (): Promise<Buffer> {
    const now = performance.now()
    if (this.#text === undefined || now >= this.#madeAt + freshMs) {
      this.#madeAt = now
      this.#text = this.#make()
      this.#text.catch(() => { this.#text = undefined })
    }
    return this.#text
  }

  async #make (): Promise<Buffer> {
    const { registry, durations, begin } = this.#options
    begin()
    const lines: string[] = []
    for (const part of durations.parts()) {
      lines.push(part)
      await nextTurn()
    }
    const families = [lines.join('\n')]
    for (const { name } of registry.getMetricsAsArray()) {
      families.push(await registry.getSingleMetricAsString(name))
      await nextTurn()
    }
    return Buffer.from(`${families.join('\n\n')}\n`)
  }
}
