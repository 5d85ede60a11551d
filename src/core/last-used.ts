import type { Clock } from './clock.ts'
import type { Logger } from './logger.ts'

interface LastUsedOptions {
  readonly clock: Clock
  readonly log: Logger
  /**
   * Writes down how long ago each key was last used, in milliseconds, by the database's own clock. Settles in bounded
   * time; writing the same twice does no harm.
   */
  record (ages: ReadonlyMap<string, number>): Promise<void>
  /** Writes down that the newest token of a key was used for the first time, so many milliseconds ago. As `record`; repeating it does no harm. */
  recordFirst? (keyId: string, ageMs: number): Promise<void>
  /** Milliseconds between two writes. */
  readonly flushEveryMs: number
  /** Keys remembered at most; a write begins when there are half as many. Uses of further keys are dropped, and counted. 200,000. */
  readonly keysMax?: number
  /** How long `close` waits for the last write, in milliseconds. 2000. */
  readonly closeTimeoutMs?: number
}

const keysPerWrite = 10_000
const firstUsesMax = 1000

export interface LastUsedStats {
  readonly pending: number
  readonly flushed: number
  readonly dropped: number
  readonly flushes: number
  readonly failures: number
}

/**
 * When each key was last used, gathered in memory and written together every few seconds: never on the way of
 * a request. What can be lost stands in docs/decisions/0012 and 0054.
 */
export class LastUsedBatcher {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #record: LastUsedOptions['record']
  readonly #recordFirst: NonNullable<LastUsedOptions['recordFirst']>
  readonly #keysMax: number
  /** So many keys do not wait for the timer. */
  readonly #earlyAt: number
  readonly #closeTimeoutMs: number
  readonly #timer: NodeJS.Timeout
  #uses = new Map<string, number>()
  // Of keys that were rotated lately. What is over the bound is noted by a later use: the record says for as long that it is awaited.
  readonly #firstUses = new Map<string, number>()
  #flushing: Promise<void> | undefined
  #flushed = 0
  #dropped = 0
  #flushes = 0
  #failures = 0

  constructor ({ clock, log, record, recordFirst = async () => {}, flushEveryMs, keysMax = 200_000, closeTimeoutMs = 2000 }: LastUsedOptions) {
    this.#clock = clock
    this.#log = log
    this.#record = record
    this.#recordFirst = recordFirst
    this.#keysMax = keysMax
    this.#earlyAt = Math.ceil(keysMax / 2)
    this.#closeTimeoutMs = closeTimeoutMs
    this.#timer = setInterval(() => { this.flush() }, flushEveryMs).unref()
  }

  /** Notes a use at the monotonic time `now`. On the way of every accepted request: one write into a map. */
  note (keyId: string, now: number): void {
    const keys = this.#uses.size
    if (keys >= this.#keysMax && !this.#uses.has(keyId)) {
      this.#dropped++
      return
    }
    this.#uses.set(keyId, now)
    if (keys < this.#uses.size && this.#uses.size === this.#earlyAt) this.flush()
  }

  /** Notes that the newest token of a key was used, while its first use is awaited. */
  noteFirst (keyId: string, now: number): void {
    if (!this.#firstUses.has(keyId) && this.#firstUses.size < firstUsesMax) this.#firstUses.set(keyId, now)
  }

  /** Writes what has been noted; joins the write under way, if there is one. Never rejects. */
  async flush (): Promise<void> {
    this.#flushing ??= this.#write().finally(() => { this.#flushing = undefined })
    await this.#flushing
  }

  /** Writes what is left, within a bound: a database that does not answer keeps nobody from stopping. */
  async close (): Promise<void> {
    clearInterval(this.#timer)
    let timer: NodeJS.Timeout | undefined
    const bound = new Promise<void>((resolve) => { timer = setTimeout(resolve, this.#closeTimeoutMs) })
    await Promise.race([this.#writeLast(), bound])
    clearTimeout(timer)
    if (this.#uses.size > 0) this.#log.warn({ keys: this.#uses.size }, 'last uses of keys were not written')
  }

  stats (): LastUsedStats {
    return {
      pending: this.#uses.size,
      flushed: this.#flushed,
      dropped: this.#dropped,
      flushes: this.#flushes,
      failures: this.#failures
    }
  }

  async #writeLast (): Promise<void> {
    await this.#flushing
    await this.flush()
  }

  async #write (): Promise<void> {
    await this.#writeFirstUses()
    if (this.#uses.size === 0) return
    const uses = this.#uses
    this.#uses = new Map()
    try {
      for (const part of partsOf(uses)) {
        await this.#record(agesOf(part, this.#clock.monotonicMs()))
        this.#flushes++
        this.#flushed += part.length
      }
    } catch {
      this.#failures++
      this.#mergeBack(uses)
      this.#log.warn({ keys: uses.size }, 'writing when keys were last used failed; it is tried again')
    }
  }

  async #writeFirstUses (): Promise<void> {
    for (const [keyId, usedAt] of this.#firstUses) {
      try {
        await this.#recordFirst(keyId, Math.max(0, this.#clock.monotonicMs() - usedAt))
        this.#firstUses.delete(keyId)
      } catch {
        this.#log.warn({}, 'writing that a rotated key was used for the first time failed; it is tried again')
        return
      }
    }
  }

  // What was noted during the failed write is newer.
  #mergeBack (uses: ReadonlyMap<string, number>): void {
    for (const [keyId, usedAt] of uses) {
      if (!this.#uses.has(keyId)) this.note(keyId, usedAt)
    }
  }
}

type Use = readonly [keyId: string, usedAt: number]

/** One after the other as they are written: a statement for all at once would stop the process while it is put together. */
function * partsOf (uses: ReadonlyMap<string, number>): Generator<readonly Use[]> {
  let part: Use[] = []
  for (const use of uses) {
    part.push(use)
    if (part.length < keysPerWrite) continue
    yield part
    part = []
  }
  if (part.length > 0) yield part
}

function agesOf (uses: readonly Use[], now: number): Map<string, number> {
  const ages = new Map<string, number>()
  for (const [keyId, usedAt] of uses) ages.set(keyId, Math.max(0, now - usedAt))
  return ages
}
