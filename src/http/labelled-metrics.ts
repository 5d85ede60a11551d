import { headOf, labelOf, linesOfPart, type Metrics } from './metrics-registry.ts'

type LabelValue = string | number

interface LabelledOptions {
  readonly name: string
  readonly help: string
  /** Of at most three labels. Their values must be few: each series is kept. */
  readonly labels: readonly string[]
}

/** The series of a metric by the values of its labels. */
class SeriesByLabels<Series> {
  readonly all: Series[] = []
  readonly #labels: readonly string[]
  readonly #add: (labels: string) => Series
  // Nested maps, one per label: no string has to be built to find a series.
  readonly #byLabels = new Map<LabelValue, Map<LabelValue, Map<LabelValue | undefined, Series>>>()

  constructor (labels: readonly string[], add: (labels: string) => Series) {
    this.#labels = labels
    this.#add = add
  }

  of (first: LabelValue, second: LabelValue, third: LabelValue | undefined): Series {
    return this.#byLabels.get(first)?.get(second)?.get(third) ?? this.#addOf(first, second, third)
  }

  #addOf (first: LabelValue, second: LabelValue, third: LabelValue | undefined): Series {
    const values = [first, second, third]
    const series = this.#add(this.#labels.map((label, place) => labelOf(label, String(values[place]))).join(','))
    const seconds = this.#byLabels.get(first) ?? new Map<LabelValue, Map<LabelValue | undefined, Series>>()
    const thirds = seconds.get(second) ?? new Map<LabelValue | undefined, Series>()
    this.#byLabels.set(first, seconds.set(second, thirds.set(third, series)))
    this.all.push(series)
    return series
  }
}

/** A counter with labels. */
export class LabelledCounter implements Metrics {
  readonly names: readonly string[]
  readonly #head: string
  readonly #series: SeriesByLabels<CountSeries>

  constructor ({ name, help, labels }: LabelledOptions) {
    this.names = [name]
    this.#head = headOf(name, 'counter', help)
    this.#series = new SeriesByLabels(labels, (text) => new CountSeries(`${name}{${text}} `))
  }

  of (first: LabelValue, second: LabelValue, third?: LabelValue): { add (): void } {
    return this.#series.of(first, second, third)
  }

  * parts (): Generator<string> {
    let [text, lines] = [this.#head, 0]
    for (const series of this.#series.all) {
      text += series.text()
      if (++lines % linesOfPart > 0) continue
      yield text
      text = ''
    }
    yield text
  }
}

class CountSeries {
  readonly #head: string
  #count = 0

  constructor (head: string) {
    this.#head = head
  }

  add (): void {
    this.#count++
  }

  text (): string {
    return `${this.#head}${this.#count}\n`
  }
}

interface DurationOptions extends LabelledOptions {
  /** Upper bounds of the buckets. */
  readonly boundsMs: readonly number[]
}

/**
 * A histogram of durations with labels, in seconds. The buckets are summed up at a scrape, not for each duration: prom-client's Histogram builds and looks up a string of
 * the labels each time, which took half as long as a verification. A series without new durations keeps its bytes, since histograms have by far the most lines.
 */
export class DurationHistogram implements Metrics {
  readonly names: readonly string[]
  readonly #head: string
  readonly #series: SeriesByLabels<DurationSeries>

  constructor ({ name, help, labels, boundsMs }: DurationOptions) {
    this.names = [name]
    this.#head = headOf(name, 'histogram', help)
    const buckets = [...boundsMs.map((bound) => String(bound / 1000)), '+Inf']
    this.#series = new SeriesByLabels(labels, (text) => new DurationSeries(boundsMs, [
      ...buckets.map((le) => `${name}_bucket{le="${le}",${text}} `),
      `${name}_sum{${text}} `,
      `${name}_count{${text}} `
    ]))
  }

  of (first: LabelValue, second: LabelValue, third?: LabelValue): { note (elapsedMs: number): void } {
    return this.#series.of(first, second, third)
  }

  * parts (): Generator<string | Buffer> {
    yield this.#head
    for (const series of this.#series.all) yield series.bytes()
  }
}

class DurationSeries {
  readonly #boundsMs: readonly number[]
  /** The beginnings of its lines: the buckets, the sum and the count. */
  readonly #heads: readonly string[]
  /** The number of durations in each bucket; the last bucket has no upper bound. */
  readonly #counts: number[]
  #sumMs = 0
  /** Its lines in a scrape; `undefined` after a new duration. */
  #bytes: Buffer | undefined

  constructor (boundsMs: readonly number[], heads: readonly string[]) {
    this.#boundsMs = boundsMs
    this.#heads = heads
    this.#counts = new Array<number>(boundsMs.length + 1).fill(0)
  }

  note (elapsedMs: number): void {
    const bounds = this.#boundsMs
    let place = 0
    while (place < bounds.length && elapsedMs > bounds[place]!) place++
    this.#counts[place]!++
    this.#sumMs += elapsedMs
    this.#bytes = undefined
  }

  bytes (): Buffer {
    this.#bytes ??= Buffer.from(this.#text())
    return this.#bytes
  }

  #text (): string {
    const [heads, buckets] = [this.#heads, this.#counts.length]
    let [text, count] = ['', 0]
    for (let place = 0; place < buckets; place++) {
      count += this.#counts[place]!
      text += `${heads[place]!}${count}\n`
    }
    return `${text}${heads[buckets]!}${this.#sumMs / 1000}\n${heads[buckets + 1]!}${count}\n`
  }
}
