import type { LoadOptions, LoadResult } from './load.ts'

interface PaceOptions {
  /** Requests a second that are wanted. */
  readonly perSecond: number
  /** Mean pause of a connection. 5. */
  readonly thinkMs?: number
}

const triesMax = 3

/** A load at a rate. wrk knows connections and their pauses only, so their number is corrected by what they reached. */
export class Pace {
  readonly perSecond: number
  readonly #thinkMs: number
  #connections: number

  constructor ({ perSecond, thinkMs = 5 }: PaceOptions) {
    this.perSecond = perSecond
    this.#thinkMs = thinkMs
    this.#connections = Math.max(1, Math.round(perSecond * thinkMs / 1000))
  }

  get load (): Pick<LoadOptions, 'connections' | 'thinkMs'> {
    return { connections: this.#connections, thinkMs: this.#thinkMs }
  }

  /** Sends at this rate, and again where the rate was off by more than a tenth. */
  async reach (send: (load: Pace['load']) => Promise<LoadResult>): Promise<LoadResult> {
    for (let tries = 1; ; tries++) {
      const result = await send(this.load)
      if (this.isKept(result) || tries === triesMax) return result
      this.correct(result)
    }
  }

  correct (result: LoadResult): void {
    if (this.isKept(result)) return
    // A load that met a stall is no reason to send ten times as much from then on.
    const factor = Math.min(2, Math.max(0.5, this.perSecond / result.perSecond))
    this.#connections = Math.max(1, Math.round(this.#connections * factor))
  }

  isKept ({ perSecond }: LoadResult): boolean {
    return Math.abs(perSecond / this.perSecond - 1) <= 0.1
  }
}
