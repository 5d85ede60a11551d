import type { Counter, Registry } from 'prom-client'

const name = 'navis_keys_http_request_duration_seconds'
const help = 'From the start of the request to the last byte of the answer. The status is none if the client closed the connection before the status was sent.'
const boundsMs = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000] as const

interface Series {
  readonly labels: { readonly method: string, readonly route: string, readonly status: string }
  /** The number of requests in each bucket; the last bucket has no upper bound. */
  readonly counts: number[]
  sumMs: number
}

/**
 * Durations of requests by method, route and status. The buckets are summed up at a scrape, not at each request: prom-client's Histogram builds and looks up a string
 * of the labels for each request, which took half as long as a verification.
 */
export class RequestDurations {
  readonly name = name
  // Nested maps, one per label: no string has to be built.
  readonly #series = new Map<string, Map<string, Map<number | undefined, Series>>>()

  /** `status` is `undefined` if none was sent. */
  note (method: string, route: string, status: number | undefined, elapsedMs: number): void {
    const series = this.#series.get(route)?.get(method)?.get(status) ?? this.#add(method, route, status)
    let place = 0
    while (place < boundsMs.length && elapsedMs > boundsMs[place]!) place++
    series.counts[place]!++
    series.sumMs += elapsedMs
  }

  register (registry: Registry): void {
    registry.registerMetric(this as unknown as Counter)
  }

  /** Called by prom-client at a scrape. */
  async get () {
    const all = [...this.#series.values()].flatMap((methods) => [...methods.values()].flatMap((statuses) => [...statuses.values()]))
    return { name, help, type: 'histogram', values: all.flatMap(samplesOf), aggregator: 'sum' }
  }

  #add (method: string, route: string, status: number | undefined): Series {
    const methods = this.#series.get(route) ?? new Map<string, Map<number | undefined, Series>>()
    const statuses = methods.get(method) ?? new Map<number | undefined, Series>()
    const series = { labels: { method, route, status: status === undefined ? 'none' : String(status) }, counts: new Array<number>(boundsMs.length + 1).fill(0), sumMs: 0 }
    this.#series.set(route, methods.set(method, statuses.set(status, series)))
    return series
  }
}

function samplesOf ({ labels, counts, sumMs }: Series) {
  let count = 0
  const buckets = [...boundsMs.map((bound) => bound / 1000), '+Inf' as const].map((le, place) => {
    count += counts[place]!
    return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count }
  })
  return [...buckets, { metricName: `${name}_sum`, labels, value: sumMs / 1000 }, { metricName: `${name}_count`, labels, value: count }]
}
