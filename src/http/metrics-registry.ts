/** Metrics in Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/ */
export interface Metrics {
  readonly names: readonly string[]
  /** Their lines in a scrape, in parts of which each is made in a fraction of a millisecond. */
  parts (): Iterable<string | Buffer>
}

/** So many lines are written in a fraction of a millisecond. */
export const linesOfPart = 60

/** All metrics of a process. */
export class MetricsRegistry {
  readonly #all: Metrics[] = []
  readonly #names = new Set<string>()

  register (metrics: Metrics): void {
    for (const name of metrics.names) {
      if (this.#names.has(name)) throw new Error(`There are two metrics with the name ${name}.`)
      this.#names.add(name)
    }
    this.#all.push(metrics)
  }

  * parts (): Generator<string | Buffer> {
    for (const metrics of this.#all) yield * metrics.parts()
  }
}

type Labels = Readonly<Record<string, string>>

export interface Sample {
  readonly value: number
  /** The same object at each scrape: its text is remembered. */
  readonly labels: Labels
  /** Only in histograms, whose series have other names than the metric. */
  readonly metricName?: string
}

export interface CollectedMetric<Reading> {
  readonly name: string
  readonly help: string
  /** Otherwise a counter when its name ends in `_total`, else a gauge. */
  readonly type?: 'histogram'
  /** Empty if there is nothing to measure, such as a tier that is switched off. */
  samples (reading: Reading): readonly Sample[]
}

interface CollectedMetricsOptions<Reading> {
  /** Called once for each scrape, for all of these metrics. */
  read (): Reading
  readonly metrics: ReadonlyArray<CollectedMetric<Reading>>
}

/** Metrics that hold no values: what they show is known elsewhere, and is read at each scrape. */
export class CollectedMetrics<Reading> implements Metrics {
  readonly names: readonly string[]
  readonly #options: CollectedMetricsOptions<Reading>
  readonly #heads: readonly string[]
  readonly #pairs = new Map<Labels, string>()

  constructor (options: CollectedMetricsOptions<Reading>) {
    this.#options = options
    this.names = options.metrics.map(({ name }) => name)
    this.#heads = options.metrics.map(({ name, help, type }) => headOf(name, type ?? (name.endsWith('_total') ? 'counter' : 'gauge'), help))
  }

  * parts (): Generator<string> {
    const { read, metrics } = this.#options
    const reading = read()
    for (let i = 0; i < metrics.length; i++) {
      const metric = metrics[i]!
      let [text, lines] = [this.#heads[i]!, 0]
      for (const { value, labels, metricName = metric.name } of metric.samples(reading)) {
        text += `${metricName}${this.#pairsOf(labels)} ${value}\n`
        if (++lines % linesOfPart > 0) continue
        yield text
        text = ''
      }
      yield text
    }
  }

  #pairsOf (labels: Labels): string {
    const known = this.#pairs.get(labels)
    if (known !== undefined) return known
    const all = Object.entries(labels).map(([label, value]) => labelOf(label, value))
    const pairs = all.length === 0 ? '' : `{${all.join(',')}}`
    this.#pairs.set(labels, pairs)
    return pairs
  }
}

const noLabels: Labels = {}

/** One sample, or none for `undefined`. */
export function one (value: number | undefined): Sample[] {
  return value === undefined ? [] : [{ value, labels: noLabels }]
}

/** Makes samples with the name of each value as a label. There must be few names: each set of labels is kept. */
export function samplesBy (label: string, others: Labels = noLabels): (values: Readonly<Record<string, number>>) => Sample[] {
  const sets = new Map<string, Labels>()
  const labelsOf = (name: string) => {
    const known = sets.get(name)
    if (known !== undefined) return known
    const labels = { ...others, [label]: name }
    sets.set(name, labels)
    return labels
  }
  return (values) => Object.entries(values).map(([name, value]) => ({ value, labels: labelsOf(name) }))
}

/** The two lines before the samples of a metric. */
export function headOf (name: string, type: string, help: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`
}

export function labelOf (label: string, value: string): string {
  return `${label}="${value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"')}"`
}
