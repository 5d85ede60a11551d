import { setImmediate as nextTurn } from 'node:timers/promises'
import fp from 'fastify-plugin'
import { Registry, type MetricObject } from 'prom-client'
import { CollectedMetric } from './collected-metrics.ts'
import { registerEngineMetrics, type Reading } from './engine-metrics.ts'
import { registerProcessMetrics } from './process-metrics.ts'
import { RequestDurations } from './request-durations.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Other plugins register their metrics here. */
    readonly metricsRegistry: Registry
    /** All metrics in Prometheus' text format; at most one second old. */
    metrics (): Promise<Buffer>
  }
}

/** Counts requests by the pattern of their route, never by URL, and shows the engine's counters beside them. */
export const metrics = fp<{ readonly version: string }>(async (app, { version }) => {
  const registry = new Registry()
  const endProcessMetrics = registerProcessMetrics(registry)
  const build = [{ value: 1, labels: { version, node: process.version } }]
  new CollectedMetric({ name: 'navis_keys_build_info', help: 'The version of the service and of Node.js, as labels; always 1.', read: () => build }).register(registry)
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
  app.addHook('onClose', async () => {
    endProcessMetrics()
    registry.clear()
  })
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
/** A turn of the event loop ends after this time, so that requests that came in meanwhile are answered. Shorter turns would cost more than the metrics. */
const turnMs = 0.15

/**
 * The text of a scrape, generated at most once a second: `/metrics` needs no credential, so requests to it must not be able to slow down
 * verifications. It is generated in several short turns of the event loop, so that no request waits for the whole.
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
    const parts: Buffer[] = []
    let turnEndsAt = performance.now() + turnMs
    const add = async (text: string): Promise<void> => {
      parts.push(Buffer.from(text))
      if (performance.now() < turnEndsAt) return
      await nextTurn()
      turnEndsAt = performance.now() + turnMs
    }
    for (const part of durations.parts()) await add(part)
    for (const metric of registry.getMetricsAsArray() as ReadonlyArray<MetricObject | CollectedMetric>) {
      await add(metric instanceof CollectedMetric ? metric.text() : `${await registry.getSingleMetricAsString(metric.name)}\n`)
    }
    return Buffer.concat(parts)
  }
}
