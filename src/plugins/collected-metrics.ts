import type { Counter, Registry } from 'prom-client'
import { escaped } from './request-durations.ts'

type Labels = Readonly<Record<string, string>>

export interface Sample {
  readonly value: number
  /** The same object at each scrape: its text is remembered. */
  readonly labels: Labels
  /** Only in histograms, whose series have other names than the metric. */
  readonly metricName?: string
}

interface CollectedOptions {
  readonly name: string
  readonly help: string
  /** Otherwise a counter when its name ends in `_total`, else a gauge. */
  readonly type?: 'histogram'
  /** Empty if there is nothing to measure, such as a tier that is switched off. */
  read (): readonly Sample[]
}

/**
 * A metric that holds no value: it is read at each scrape, and writes its own lines. A Counter or a Gauge of prom-client would have to be emptied and filled again, and formats
 * help and labels anew each time, which takes several times as long (docs/decisions/0315).
 */
export class CollectedMetric {
  readonly name: string
  readonly #type: string
  readonly #help: string
  readonly #head: string
  readonly #heads = new Map<Labels, string>()
  readonly #read: () => readonly Sample[]

  constructor ({ name, help, type, read }: CollectedOptions) {
    this.name = name
    this.#type = type ?? (name.endsWith('_total') ? 'counter' : 'gauge')
    this.#help = help
    this.#head = `# HELP ${name} ${help}\n# TYPE ${name} ${this.#type}\n`
    this.#read = read
  }

  register (registry: Registry): void {
    registry.registerMetric(this as unknown as Counter)
  }

  /** Its lines in a scrape. */
  text (): string {
    let text = this.#head
    for (const { value, labels, metricName } of this.#read()) text += `${this.#headOf(labels, metricName)}${value}\n`
    return text
  }

  /** For prom-client, where it is asked for the whole registry. */
  get () {
    return { name: this.name, help: this.#help, type: this.#type, values: this.#read(), aggregator: 'sum' }
  }

  #headOf (labels: Labels, metricName = this.name): string {
    const known = this.#heads.get(labels)
    if (known !== undefined) return known
    const pairs = Object.entries(labels).map(([label, value]) => `${label}="${escaped(value)}"`)
    const head = `${metricName}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} `
    this.#heads.set(labels, head)
    return head
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
