import { unavailable } from '../core/errors.ts'
import type { Digest, KeyRecord } from '../core/key-record.ts'
import type { Entry, Lookup } from '../core/lookup.ts'
import { AnswerRefused } from '../core/window/store.ts'
import { assertAskedFor } from './assert-asked-for.ts'

/** What one statement found: the records there are, the position of the revocation clock that all of them show, and where the database stands. */
export interface FoundKeys {
  readonly seq: number
  /** Timeline and server start. */
  readonly place: string
  readonly records: ReadonlyMap<Digest, KeyRecord>
}

export type ReadKeys = (digests: readonly Digest[]) => Promise<FoundKeys>

/** What is known before a read is sent: up to where the log is applied, and where the database stood; `undefined`: before the first renewal. */
export interface KnownPosition {
  readonly applied: number
  readonly place: string | undefined
}

interface PostgresTierOptions {
  /** Reads keys from the primary in one statement. */
  readonly read: ReadKeys
  /** As of the newest renewal. */
  readonly position: () => KnownPosition
  /** Another server answers than the renewals know: resolves when a renewal has found out. */
  readonly onElsewhere: () => Promise<void>
  /** Called when a statement has not been answered in time, or not by the primary, so that its connection can be given up. */
  readonly onStuck?: (error?: unknown) => void
  /** How long a statement, or the wait for its turn, may take, in milliseconds. 800. */
  readonly timeoutMs?: number
  /** Statements under way at most. 4. */
  readonly statementsMax?: number
  /** Keys in one statement at most. 1000. */
  readonly digestsPerStatementMax?: number
  /** Keys that wait for a statement at most; beyond that the answer is `unavailable`. 20,000. */
  readonly waitingMax?: number
}

/**
 * The authority. All keys that are asked for in one turn of the event loop, and all that come while the statements
 * under way are as many as may be, are read by one statement. A statement that was sent takes no more keys: so
 * every read is a fresh one.
 */
export class PostgresTier implements Lookup {
  readonly #read: PostgresTierOptions['read']
  readonly #position: PostgresTierOptions['position']
  readonly #onElsewhere: PostgresTierOptions['onElsewhere']
  readonly #onStuck: (error?: unknown) => void
  /** How often connections were given up. */
  #givenUp = 0
  readonly #timeoutMs: number
  readonly #statementsMax: number
  readonly #digestsPerStatementMax: number
  readonly #waitingMax: number
  #waiting: Batch[] = []
  #waitingDigests = 0
  #statementsUnderWay = 0
  #isSendingSoon = false
  #counts = { statements: 0, digests: 0, found: 0, absent: 0, failed: 0, refused: 0, answersRefused: 0 }

  constructor (options: PostgresTierOptions) {
    this.#read = options.read
    this.#position = options.position
    this.#onElsewhere = options.onElsewhere
    this.#onStuck = options.onStuck ?? (() => {})
    this.#timeoutMs = options.timeoutMs ?? 800
    this.#statementsMax = options.statementsMax ?? 4
    this.#digestsPerStatementMax = options.digestsPerStatementMax ?? 1000
    this.#waitingMax = options.waitingMax ?? 20_000
  }

  find (digest: Digest): Promise<Entry | undefined> {
    return this.findFresh(digest)
  }

  async findFresh (digest: Digest): Promise<Entry | undefined> {
    const { asof, seq, records } = await this.#ask(digest)
    const record = records.get(digest)
    this.#counts[record === undefined ? 'absent' : 'found']++
    return assertAskedFor(digest, record && { record, asof, seq })
  }

  stats () {
    return { ...this.#counts, statementsUnderWay: this.#statementsUnderWay, digestsWaiting: this.#waitingDigests }
  }

  #ask (digest: Digest): Promise<Keys> {
    const last = this.#waiting.at(-1)
    if (last?.has(digest) === true) return last.answer
    if (this.#waitingDigests >= this.#waitingMax) {
      this.#counts.refused++
      return Promise.reject(unavailable('Too many keys are being looked up at the same time. Try again.'))
    }
    const batch = last !== undefined && last.size < this.#digestsPerStatementMax ? last : this.#newBatch()
    batch.add(digest)
    this.#waitingDigests++
    this.#sendSoon()
    return batch.answer
  }

  #newBatch (): Batch {
    const batch: Batch = new Batch(this.#timeoutMs, () => this.#giveUp(batch))
    this.#waiting.push(batch)
    return batch
  }

  // After the poll phase, so that the statement includes all requests that this turn of the event loop has read.
  #sendSoon (): void {
    if (this.#isSendingSoon || this.#statementsUnderWay >= this.#statementsMax) return
    this.#isSendingSoon = true
    setImmediate(() => {
      this.#isSendingSoon = false
      while (this.#waiting.length > 0 && this.#statementsUnderWay < this.#statementsMax) this.#send(this.#takeBatch())
    })
  }

  #takeBatch (): Batch {
    const batch = this.#waiting.shift()!
    this.#waitingDigests -= batch.size
    return batch
  }

  async #send (batch: Batch): Promise<void> {
    this.#statementsUnderWay++
    this.#counts.statements++
    this.#counts.digests += batch.size
    batch.isUnderWay = true
    try {
      batch.resolve(await this.#readFrom(batch))
    } catch (error) {
      this.#counts.failed++
      if (error instanceof AnswerRefused) {
        this.#counts.answersRefused++
        this.#giveUpConnections(error)
      }
      batch.reject(unavailable('The database does not answer. Try again.', error))
    } finally {
      this.#leave(batch)
    }
  }

  // When it is given up, too: on the client of an application, whose connections are not ours to end, a statement may never be answered.
  #leave (batch: Batch): void {
    if (!batch.isUnderWay) return
    batch.isUnderWay = false
    this.#statementsUnderWay--
    this.#sendSoon()
  }

  /**
   * What a read may be kept for: never a position that the renewals had not proven ours when it was sent (R5). An answer from
   * where they have not been decides nothing: a renewal finds out, and the keys are read once more. So they are if connections
   * were given up because of another statement, and this one ended with them.
   */
  async #readFrom (batch: Batch): Promise<Keys> {
    for (let attempt = 0; attempt < 2; attempt++) {
      const { applied, place } = this.#position()
      const givenUp = this.#givenUp
      let found: FoundKeys
      try {
        found = await this.#read(batch.digests())
      } catch (error) {
        if (!batch.isUnderWay || attempt > 0 || givenUp === this.#givenUp) throw error
        continue
      }
      if (place === undefined || place === found.place) return { ...found, asof: Math.min(found.seq, applied) }
      await this.#onElsewhere()
    }
    // Renewals and lookups lead to two servers, as where an address was turned over and one of the two connections stayed open: this one is made anew.
    throw new AnswerRefused('the renewals lead to another place')
  }

  #giveUp (batch: Batch): void {
    batch.reject(unavailable('The database does not answer in time. Try again.'))
    if (batch.isUnderWay) {
      this.#giveUpConnections()
      return this.#leave(batch)
    }
    this.#waiting = this.#waiting.filter((other) => other !== batch)
    this.#waitingDigests -= batch.size
  }

  #giveUpConnections (error?: unknown): void {
    this.#givenUp++
    this.#onStuck(error)
  }
}

interface Keys extends FoundKeys {
  readonly asof: number
}

/** The keys that one statement reads, and the promise of those who wait for it. */
class Batch {
  readonly answer: Promise<Keys>
  /** Sent, and neither answered nor given up. */
  isUnderWay = false
  resolve!: (found: Keys) => void
  reject!: (error: Error) => void
  readonly #digests = new Set<Digest>()

  constructor (timeoutMs: number, onTimeout: () => void) {
    this.answer = new Promise((resolve, reject) => {
      const timer = setTimeout(onTimeout, timeoutMs)
      this.resolve = (found) => { clearTimeout(timer); resolve(found) }
      this.reject = (error) => { clearTimeout(timer); reject(error) }
    })
    this.answer.catch(() => {})
  }

  get size (): number {
    return this.#digests.size
  }

  has (digest: Digest): boolean {
    return this.#digests.has(digest)
  }

  add (digest: Digest): void {
    this.#digests.add(digest)
  }

  digests (): Digest[] {
    return [...this.#digests]
  }
}
