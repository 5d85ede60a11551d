import type { Clock } from '../core/clock.ts'

/** Work that can be interrupted and continued. */
export interface Sliced {
  /** Does about `bytesMax` more of the work. Returns whether it is complete. */
  advance (bytesMax: number): boolean
}

interface Job {
  readonly work: Sliced
  /** Whether the end of this work uses up the turn: what follows needs time too, with all of a large body. */
  readonly isLarge: boolean
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

const stepBytes = 16 * 1024
// For work that waits, in each turn of the event loop; and with the work that is done at once.
const turnMs = 3
const allMs = 4
// An estimate of what it costs to pass on a piece of an answer, in addition to any work on its bytes.
const passingMs = 0.1
const passingMsPerByte = 1 / (512 * 1024)

/**
 * Shares the event loop between the work of many keys. Each turn of the loop does a few milliseconds of it, one step for each key in turn.
 * A key with much work waits for its own work; everything else continues between the turns.
 */
export class TimeSlices {
  readonly #clock: Clock
  readonly #jobs = new Map<string, Job[]>()
  /** Of the current turn of the event loop. */
  #spentMs = 0
  #willTurn = false

  constructor (clock: Clock) {
    this.#clock = clock
  }

  /**
   * Resolves when `work` is complete; rejects with what it throws. Work that fits into one step is done at once while the turn has time left, unless its
   * key already waits: small requests do not queue behind large bodies of other keys.
   */
  async run (keyId: string, work: Sliced, bytes: number): Promise<void> {
    if (bytes <= stepBytes && !this.#jobs.has(keyId) && this.#spentMs < allMs && this.#isDone(work)) return
    await new Promise<void>((resolve, reject) => { this.#add(keyId, { work, isLarge: bytes > stepBytes, done: resolve, failed: reject }) })
  }

  /** Resolves when a piece of an answer may be passed on, so that many answers together do not block the event loop. */
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

  // Round robin: the key that has waited longest goes first, and then to the end of the queue.
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
    if (isLarge) this.#spentMs = allMs
    return true
  }
}
