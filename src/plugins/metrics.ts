import fp from 'fastify-plugin'
import { CollectedMetrics, MetricsRegistry } from '../http/metrics-registry.ts'
import { engineMetrics } from './engine-metrics.ts'
import { processMetrics } from './process-metrics.ts'
import { requestDurations } from './request-durations.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Other plugins register their metrics here. */
    readonly metricsRegistry: MetricsRegistry
    /** All metrics in Prometheus' text format; at most one second old. */
    metrics (): Promise<Buffer>
  }
}

/** Counts requests by the pattern of their route, never by URL, and shows the engine's counters beside them. */
export const metrics = fp<{ readonly version: string }>(async (app, { version }) => {
  const registry = new MetricsRegistry()
  const durations = requestDurations()
  const known = new Set<string>(app.supportedMethods)
  app.onRequestEnd(({ request, route = 'none', elapsedMs, status }) => {
    const method = known.has(request.method) ? request.method : 'other'
    durations.of(method, route, status ?? 'none').note(elapsedMs)
  })
  const build = [{ value: 1, labels: { version, node: process.version } }]
  registry.register(durations)
  registry.register(new CollectedMetrics({
    read: () => {},
    metrics: [{ name: 'navis_keys_build_info', help: 'The version of the service and of Node.js, as labels; always 1.', samples: () => build }]
  }))
  registry.register(engineMetrics(app.apiKeys))
  const ofProcess = processMetrics()
  registry.register(ofProcess.metrics)
  app.addHook('onClose', async () => { ofProcess.end() })
  const scrapes = new Scrapes(registry)
  app.decorate('metricsRegistry', registry)
  app.decorate('metrics', () => scrapes.newest())
}, { name: 'metrics', dependencies: ['api-keys', 'request-end'], fastify: '5.x' })

const freshMs = 1000
/** A turn of the event loop ends after this time, so that requests that came in meanwhile are answered. Shorter turns would cost more than the metrics. */
const turnMs = 0.15

/**
 * The text of a scrape, generated at most once a second: `/metrics` needs no credential, so requests to it must not be able to slow down
 * verifications. It is generated in several short turns of the event loop, so that no request waits for the whole.
 */
class Scrapes {
  readonly #registry: MetricsRegistry
  #text: Promise<Buffer> | undefined
  #madeAt = -Infinity

  constructor (registry: MetricsRegistry) {
    this.#registry = registry
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
    const written: Buffer[] = []
    let text = ''
    const write = () => {
      if (text !== '') written.push(Buffer.from(text))
      text = ''
    }
    let turnEndsAt = performance.now() + turnMs
    for (const part of this.#registry.parts()) {
      if (typeof part === 'string') {
        text += part
      } else {
        write()
        written.push(part)
      }
      if (performance.now() < turnEndsAt) continue
      write()
      await new Promise(setImmediate)
      turnEndsAt = performance.now() + turnMs
    }
    write()
    return Buffer.concat(written)
  }
}
