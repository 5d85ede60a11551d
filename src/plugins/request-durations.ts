const name = 'navis_keys_http_request_duration_seconds'
const help = 'From the start of the request to the last byte of the answer. The status is none if the client closed the connection before the status was sent.'
const boundsMs = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000] as const

const partLength = 4

interface Series {
  /** The beginnings of its lines in a scrape: the buckets, the sum and the count. */
  readonly heads: readonly string[]
  /** The number of requests in each bucket; the last bucket has no upper bound. */
  readonly counts: number[]
  sumMs: number
  /** Its lines in a scrape; `undefined` after a request. */
  text: string | undefined
}

/**
 * Durations of requests by method, route and status. The buckets are summed up at a scrape, not at each request: prom-client's Histogram builds and looks up a string
 * of the labels for each request, which took half as long as a verification. For the same reason they write their own text: as the metric with by far the most lines
 * they would hold up the event loop for milliseconds.
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
    series.text = undefined
  }

  /** The lines of a scrape, in parts of which each is made in a fraction of a millisecond. */
  * parts (): Generator<string> {
    yield `# HELP ${name} ${help}\n# TYPE ${name} histogram\n`
    const all = [...this.#series.values()].flatMap((methods) => [...methods.values()].flatMap((statuses) => [...statuses.values()]))
    for (let from = 0; from < all.length; from += partLength) yield all.slice(from, from + partLength).map(lastTextOf).join('')
  }

  #add (method: string, route: string, status: number | undefined): Series {
    const methods = this.#series.get(route) ?? new Map<string, Map<number | undefined, Series>>()
    const statuses = methods.get(method) ?? new Map<number | undefined, Series>()
    const labels = `method="${escaped(method)}",route="${escaped(route)}",status="${status ?? 'none'}"`
    const series = { heads: headsOf(labels), counts: new Array<number>(boundsMs.length + 1).fill(0), sumMs: 0, text: undefined }
    this.#series.set(route, methods.set(method, statuses.set(status, series)))
    return series
  }
}

function lastTextOf (series: Series): string {
  series.text ??= textOf(series)
  return series.text
}

function textOf ({ heads, counts, sumMs }: Series): string {
  let [text, count] = ['', 0]
  for (let place = 0; place < counts.length; place++) {
    count += counts[place]!
    text += `${heads[place]!}${count}\n`
  }
  return `${text}${heads[counts.length]!}${sumMs / 1000}\n${heads[counts.length + 1]!}${count}\n`
}

function headsOf (labels: string): string[] {
  const buckets = [...boundsMs.map((bound) => String(bound / 1000)), '+Inf'].map((le) => `${name}_bucket{le="${le}",${labels}} `)
  return [...buckets, `${name}_sum{${labels}} `, `${name}_count{${labels}} `]
}

/** The value of a label: https://prometheus.io/docs/instrumenting/exposition_formats/#comments-help-text-and-type-information */
export function escaped (value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"')
}
