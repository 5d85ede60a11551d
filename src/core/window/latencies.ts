import type { ForcePath } from './trust.ts'

/** Upper bounds in milliseconds; what is above the last is only in `count`. */
export const latencyBoundsMs = [1, 2.5, 5, 10, 25, 50, 100, 150, 250, 500, 1000, 2500, 5000, 10000, 10500, 15000, 60000] as const

export interface Histogram {
  /** How many took at most the bound of the same place in `latencyBoundsMs`, those of smaller bounds included. */
  readonly atMost: readonly number[]
  readonly count: number
  readonly sumMs: number
}

/** How long changes took from their commit until they were in force, by path. */
export class Latencies {
  readonly #of: Record<ForcePath, { atMost: number[], count: number, sumMs: number }> = { fast: empty(), slow: empty() }

  record (path: ForcePath, tookMs: number): void {
    const histogram = this.#of[path]
    histogram.count++
    histogram.sumMs += tookMs
    latencyBoundsMs.forEach((bound, place) => {
      if (tookMs <= bound) histogram.atMost[place] = (histogram.atMost[place] ?? 0) + 1
    })
  }

  snapshot (): Readonly<Record<ForcePath, Histogram>> {
    const copyOf = (histogram: Histogram) => ({ ...histogram, atMost: [...histogram.atMost] })
    return { fast: copyOf(this.#of.fast), slow: copyOf(this.#of.slow) }
  }
}

function empty () {
  return { atMost: latencyBoundsMs.map(() => 0), count: 0, sumMs: 0 }
}
