import type { Clock } from '../core/clock.ts'

/** Work that can stop and go on. */
export interface Sliced {
  /** Does about `bytesMax` more of it. Answers whether all is done. */
  advance (bytesMax: number): boolean
}

interface Job {
  readonly work: Sliced
  /** Whether what follows, with all of a large body, gets the rest of the turn. */
  readonly isLarge: boolean
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

const stepBytes = 16 * 1024
const turnMs = 4
// What it costs to hand on a piece of an answer, beside what is done with its bytes.
const passingMs = 0.1
const passingMsPerByte = 1 / (512 * 1024)

/**
 * Shares the event loop between pieces of work of many keys: in each turn of the loop a few milliseconds of it, one step of each key after
 * the other. A key with much work waits for itself; everything else that the loop has to do goes on in between.
 */
export class TimeSlices {
  readonly #clock: Clock
  readonly #jobs = new Map<string, Job[]>()
  /** Of this turn of the loop. */
  #spentMs = 0
  #willTurn = false

  constructor (clock: Clock) {
    this.#clock = clock
  }

  /** Resolves when `work` is done; rejects with what it throws. What fits into one step is done at once, while there is time in this turn. */
  async run (keyId: string, work: Sliced, bytes: number): Promise<void> {
    if (bytes <= stepBytes && this.#jobs.size === 0 && this.#spentMs < turnMs && this.#isDone(work)) return
    await new Promise<void>((resolve, reject) => { this.#add(keyId, { work, isLarge: bytes > stepBytes, done: resolve, failed: reject }) })
  }

  /** Resolves when a piece of an answer may be handed on, so that many answers together do not hold the loop either. */
  async pass (keyId: string, bytes: number): Promise<void> {
    await this.run(keyId, { advance: () => { this.#spentMs += passingMs + bytes * passingMsPerByte; return true } }, 0)
  }

  #isDone (work: Sliced): boolean {
    this.#turnLater()
    const start = this.#clock.monotonicMs()
    try {
      return work.advance(stepBytes)
    } finally {
      this.#spentMs += this.#clock.monotonicMs() - start
    }
  }

  #add (keyId: string, job: Job): void {
    this.#turnLater()
    const jobs = this.#jobs.get(keyId)
    if (jobs === undefined) this.#jobs.set(keyId, [job])
    else jobs.push(job)
  }

  #turnLater (): void {
    if (this.#willTurn) return
    this.#willTurn = true
    setImmediate(() => { this.#turn() })
  }

  #turn (): void {
    this.#willTurn = false
    this.#spentMs = 0
    while (this.#jobs.size > 0 && this.#spentMs < turnMs) this.#step()
    if (this.#jobs.size > 0) this.#turnLater()
  }

  // The key that has waited longest goes first, and then to the end of the line.
  #step (): void {
    const [[keyId, jobs] = ['', []]] = this.#jobs
    const [job] = jobs
    this.#jobs.delete(keyId)
    if (job === undefined) return
    if (this.#isOver(job)) jobs.shift()
    if (jobs.length > 0) this.#jobs.set(keyId, jobs)
  }

  #isOver ({ work, isLarge, done, failed }: Job): boolean {
    try {
      if (!this.#isDone(work)) return false
      done()
    } catch (error) {
      failed(error)
    }
    if (isLarge) this.#spentMs = turnMs
    return true
  }
}
