import type { Situation } from './troubles.ts'

export interface Percentiles {
  readonly count: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/**
 * From outside the two ways show in the time alone: the slow one waits until W after the commit, so what came
 * back sooner than W after it was sent has been acknowledged by every member.
 */
export type Path = 'fast' | 'slow'

interface Sample {
  readonly situation: Situation
  readonly path: Path
  readonly ms: number
}

/** How long the changes took that returned, by situation and by path. */
export class Latencies {
  readonly #samples: Sample[] = []
  readonly #slowMs: number

  /** `slowMs`: W. */
  constructor ({ slowMs }: { slowMs: number }) {
    this.#slowMs = slowMs
  }

  add (situation: Situation, ms: number): void {
    this.#samples.push({ situation, path: ms < this.#slowMs ? 'fast' : 'slow', ms })
  }

  of ({ situation, path }: { situation?: Situation, path?: Path } = {}): Percentiles {
    const chosen = this.#samples.filter((sample) => (situation ?? sample.situation) === sample.situation && (path ?? sample.path) === sample.path)
    return percentiles(chosen.map(({ ms }) => ms))
  }
}

/** Nearest rank; NaN where there is nothing. */
export function percentiles (values: readonly number[]): Percentiles {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number) => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) }
}

/** W of WINDOW.md, in milliseconds: how long a change waits at most for replicas that do not acknowledge it. */
export function waitOf (windowMs: number): number {
  return windowMs * 1.01 / 0.99 + 50
}
