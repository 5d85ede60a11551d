import type { Redis } from 'ioredis'
import type { Clock } from '../core/clock.ts'
import type { Digest } from '../core/key-record.ts'
import type { Entry, Lookup } from '../core/lookup.ts'
import { assertAskedFor } from './assert-asked-for.ts'
import { decodeRow, encodeRow, rowBytesMax, rowName, type RowSeal } from './redis-row.ts'

interface RedisTierOptions {
  readonly under: Lookup
  /** A client that queues nothing, resends nothing and gives a command up after a short time (R0). */
  readonly redis: Pick<Redis, 'getrange' | 'set'>
  readonly clock: Clock
  /** What rows are sealed with at this moment; `undefined` while none may be believed or written: then Redis is passed by. */
  readonly seal: () => RowSeal | undefined
  /** Up to where the log is applied: a row beyond it is of a history that has not been proven ours, and a miss (R5). */
  readonly applied: () => number
  /** How long a row stays in Redis, in milliseconds. An hour. */
  readonly ttlMs?: number
  /** How long Redis is passed by after it failed, in milliseconds. 1000. */
  readonly breakMs?: number
  /** The most rows that wait or are being written; further ones are not written. 1000. */
  readonly writesMax?: number
}

// After this many existing keys in a row that were not in Redis, it counts as empty, and most lookups skip it.
const emptyAfter = 64
// While Redis counts as empty, one lookup in this many asks it. The first hit shows that it has been filled.
const askOneIn = 16
const rowsPerSlice = 16
// The part of the time for sealing and sending rows. Reading Redis's answers to them costs twice as much again: about a tenth in all.
const shareOfTime = 0.03

interface Waiting {
  readonly entry: Entry
  readonly seal: RowSeal
}

/**
 * Copies that replicas share. Nothing that Redis holds, loses, delays or invents decides anything: a row counts only
 * with the HMAC of this history, and then only as far as its `asof` carries. Redis away costs time, never an answer.
 *
 * A Redis that has none of the keys is asked for few of them. Rows are sealed and written after the answers, for about a tenth of the time
 * (docs/decisions/0251).
 */
export class RedisTier implements Lookup {
  readonly #under: Lookup
  readonly #redis: RedisTierOptions['redis']
  readonly #clock: Clock
  readonly #seal: () => RowSeal | undefined
  readonly #applied: () => number
  readonly #ttlMs: number
  readonly #breakMs: number
  readonly #writesMax: number
  #passedByUntil = -Infinity
  #missesInARow = 0
  #lookups = 0
  #waiting: Waiting[] = []
  #isWritingSoon = false
  #writes = 0
  readonly #counts = { hits: 0, misses: 0, errors: 0, badRows: 0, passedBy: 0, unasked: 0, written: 0, writesFailed: 0, writesSkipped: 0 }

  constructor (options: RedisTierOptions) {
    this.#under = options.under
    this.#redis = options.redis
    this.#clock = options.clock
    this.#seal = options.seal
    this.#applied = options.applied
    this.#ttlMs = options.ttlMs ?? 3_600_000
    this.#breakMs = options.breakMs ?? 1000
    this.#writesMax = options.writesMax ?? 1000
  }

  // One function on purpose: each further one that waits costs every lookup a promise.
  async find (digest: Digest): Promise<Entry | undefined> {
    const seal = this.#seal()
    if (seal === undefined || this.#isPassedBy()) {
      this.#counts.passedBy++
      return await this.findFresh(digest)
    }
    if (this.#missesInARow >= emptyAfter && ++this.#lookups % askOneIn !== 0) {
      this.#counts.unasked++
      return await this.findFresh(digest)
    }
    let entry: Entry | undefined
    let isMissing = false
    try {
      // GETRANGE: whoever can write to Redis could make us read half a gigabyte for each request with GET.
      const text = await this.#redis.getrange(rowName(digest, seal.key), 0, rowBytesMax)
      isMissing = text === ''
      entry = this.#open(text, digest, seal)
    } catch (error) {
      this.#counts.errors++
      // An answer that says no, such as WRONGTYPE, is one about this row alone.
      if (!isReply(error)) this.#passBy()
    }
    if (entry !== undefined) {
      this.#missesInARow = 0
      return entry
    }
    const found = await this.findFresh(digest)
    // Unknown tokens do not count: anyone can invent them.
    if (isMissing && found !== undefined) this.#missesInARow++
    return found
  }

  async findFresh (digest: Digest): Promise<Entry | undefined> {
    const seal = this.#seal()
    const entry = assertAskedFor(digest, await this.#under.findFresh(digest))
    // `seal` is from before the read, so that a row never passes for one of a later history.
    if (entry !== undefined && seal !== undefined) this.#writeLater({ entry, seal })
    return entry
  }

  stats () {
    return { ...this.#counts, writesUnderWay: this.#writes + this.#waiting.length }
  }

  #open (text: string, digest: Digest, seal: RowSeal): Entry | undefined {
    if (text === '') {
      this.#counts.misses++
      return undefined
    }
    const entry = decodeRow(text, digest, seal)
    if (entry !== undefined && entry.asof > this.#applied()) {
      this.#counts.misses++
      return undefined
    }
    this.#counts[entry === undefined ? 'badRows' : 'hits']++
    return entry
  }

  #writeLater (waiting: Waiting): void {
    if (this.#writes + this.#waiting.length >= this.#writesMax || this.#isPassedBy()) {
      this.#counts.writesSkipped++
      return
    }
    this.#waiting.push(waiting)
    if (this.#isWritingSoon) return
    this.#isWritingSoon = true
    // After the answers of this turn.
    setImmediate(() => { this.#writeSlice() })
  }

  #writeSlice (): void {
    const start = this.#clock.monotonicMs()
    for (const { entry, seal } of this.#waiting.splice(0, rowsPerSlice)) this.#write(entry, seal).catch(() => {})
    this.#isWritingSoon = this.#waiting.length > 0
    if (!this.#isWritingSoon) return
    const tookMs = this.#clock.monotonicMs() - start
    setTimeout(() => { this.#writeSlice() }, tookMs / shareOfTime - tookMs).unref()
  }

  async #write (entry: Entry, seal: RowSeal): Promise<void> {
    const row = encodeRow(entry, seal)
    if (this.#isPassedBy() || Buffer.byteLength(row) > rowBytesMax) {
      this.#counts.writesSkipped++
      return
    }
    this.#writes++
    try {
      await this.#redis.set(rowName(entry.record.digest, seal.key), row, 'PX', this.#ttlMs)
      this.#counts.written++
    } catch (error) {
      this.#counts.writesFailed++
      if (!isReply(error)) this.#passBy()
    } finally {
      this.#writes--
    }
  }

  #isPassedBy (): boolean {
    return this.#clock.monotonicMs() < this.#passedByUntil
  }

  #passBy (): void {
    this.#passedByUntil = this.#clock.monotonicMs() + this.#breakMs
  }
}

function isReply (error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError'
}
