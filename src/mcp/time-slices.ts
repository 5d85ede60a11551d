import type { Clock } from '../core/clock.ts'

/** Work that can stop and go on. */
export interface Sliced {
  /** Does about `bytesMax` more of it. Answers whether all is done. */
  advance (bytesMax: number): boolean
}

interface Job {
  readonly work: Sliced
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

const stepBytes = 16 * 1024
const turnMs = 4

/**
 * Shares the event loop between pieces of work of many keys: in each turn of the loop a few milliseconds of it, one step of each key after
 * the other. A key with much work waits for itself; everything else that the loop has to do goes on in between.
 */
export class TimeSlices {
  readonly #clock: Clock
  readonly #jobs = new Map<string, Job[]>()

  constructor (clock: Clock) {
    this.#clock = clock
  }

  /** Resolves when `work` is done; rejects with what it throws. What fits into one step is done at once. */
  async run (keyId: string, work: Sliced, bytes: number): Promise<void> {
    if (bytes <= stepBytes) {
      work.advance(bytes)
      return
    }
    await new Promise<void>((resolve, reject) => { this.#add(keyId, { work, done: resolve, failed: reject }) })
  }

  #add (keyId: string, job: Job): void {
    if (this.#jobs.size === 0) setImmediate(() => { this.#turn() })
    const jobs = this.#jobs.get(keyId)
    if (jobs === undefined) this.#jobs.set(keyId, [job])
    else jobs.push(job)
  }

  #turn (): void {
    const until = this.#clock.monotonicMs() + turnMs
    do this.#step(); while (this.#jobs.size > 0 && this.#clock.monotonicMs() < until)
    if (this.#jobs.size > 0) setImmediate(() => { this.#turn() })
  }

  // The key that has waited longest goes first, and then to the end of the line.
  #step (): void {
    const [[keyId, jobs] = ['', []]] = this.#jobs
    const [job] = jobs
    this.#jobs.delete(keyId)
    if (job === undefined) return
    if (isOver(job)) jobs.shift()
    if (jobs.length > 0) this.#jobs.set(keyId, jobs)
  }
}

function isOver ({ work, done, failed }: Job): boolean {
  try {
    if (!work.advance(stepBytes)) return false
    done()
  } catch (error) {
    failed(error)
  }
  return true
}
