import { randomUUID } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { failureOf, type Logger } from '../logger.ts'
import type { Acknowledgement } from './announcements.ts'
import { Latencies, type Histogram } from './latencies.ts'
import { within, type Scheduler } from './scheduler.ts'
import type { Announcement } from './step.ts'
import type { OwnRow, WindowStore } from './store.ts'
import type { CommittedChange, ForcePath } from './trust.ts'
import { acknowledgedBy, missingFrom, settled, slowAt, type Roll, type Wait } from './waits.ts'

/**
 * Which acknowledgements may end a wait: `all`, those over Redis and those that renewals bring to Postgres; `postgres`, only the
 * latter; `off`, none: every change waits until every older window has ended.
 */
export type AcknowledgementMode = 'all' | 'postgres' | 'off'

interface AcknowledgementsOptions {
  readonly store: WindowStore
  readonly clock: Clock
  readonly scheduler: Scheduler
  readonly mode: AcknowledgementMode
  readonly log: Logger
  /** The longest pause between two readings of the members, at this moment. */
  pauseMaxMs (): number
  /** Our row; `undefined` while we are no member. */
  ownRow (): OwnRow | undefined
  /** Until when only the slow path counts. */
  slowUntil (): number
  /** Tells every replica, this one included. */
  announce (news: Pick<Announcement, 'change' | 'nonce' | 'renew'>): void
  /** The members were read. */
  counted (roll: Roll): void
}

export interface AcknowledgementsSnapshot {
  readonly members: number
  readonly waiting: number
  readonly inForce: Readonly<Record<ForcePath, Histogram>>
}

interface Waiting {
  wait: Wait
  readonly announcedAt: number
  resolve (path: ForcePath): void
  cancelAgain (): void
}

const readTimeoutMs = 1000
const firstPauseMs = 50
// The part by which the longest time to an acknowledgement shrinks with each acknowledgement.
const decay = 0.01

/**
 * Changes that wait to be in force (R8). One statement reads the living members after the commit; the wait ends when each of
 * them has acknowledged, over Redis or in its row. After 50 ms the members that have not acknowledged are told to renew, and the members are read again. Where
 * acknowledgements have recently taken longer, as with replicas in distant regions, this is after 1.5 times as long: otherwise each change would make all replicas renew.
 */
export class Acknowledgements {
  readonly #options: AcknowledgementsOptions
  readonly #waiting = new Map<string, Waiting>()
  readonly #latencies = new Latencies()
  /** The longest that an acknowledgement has recently taken. */
  #longestMs = 0
  #roll: Roll | undefined
  #reading: Promise<Roll | undefined> | undefined
  #next: Promise<Roll | undefined> | undefined
  #cancelSlow = () => {}

  constructor (options: AcknowledgementsOptions) {
    this.#options = options
  }

  /** Resolves when the change is in force: every living member has acknowledged it, or every older window has ended. */
  inForce (change: CommittedChange): Promise<ForcePath> {
    const { mode, clock } = this.#options
    return new Promise((resolve) => {
      const nonce = randomUUID()
      const waiting: Waiting = { wait: { nonce, change, acknowledgedBy: new Set() }, announcedAt: clock.monotonicMs(), resolve, cancelAgain () {} }
      this.#waiting.set(nonce, waiting)
      this.#announce(waiting, mode === 'postgres' ? 'all' : 'none')
      this.#settle()
      this.#waitOut()
      if (mode === 'off') return
      this.#askAgain(waiting, Math.max(firstPauseMs, 1.5 * this.#longestMs))
      this.read().catch(() => {})
    })
  }

  /** What an id says of the entries it will accept. Counts for the wait that the nonce names, and for that id alone. */
  acknowledged (acknowledgement: Acknowledgement): void {
    const waiting = this.#waiting.get(acknowledgement.nonce)
    if (waiting === undefined || this.#options.mode !== 'all') return
    waiting.wait = acknowledgedBy(waiting.wait, acknowledgement)
    this.#longestMs = Math.max(this.#options.clock.monotonicMs() - waiting.announcedAt, this.#longestMs * (1 - decay))
    this.#settle()
  }

  /** Reads the members by a statement sent after this call; `undefined`: not known. One statement is under way at a time. */
  read (): Promise<Roll | undefined> {
    if (this.#reading === undefined) return this.#read()
    this.#next ??= this.#reading.then(() => this.#read())
    return this.#next
  }

  snapshot (): AcknowledgementsSnapshot {
    return { members: this.#roll?.members.length ?? 0, waiting: this.#waiting.size, inForce: this.#latencies.snapshot() }
  }

  async #read (): Promise<Roll | undefined> {
    this.#next = undefined
    this.#reading = this.#call()
    try {
      return await this.#reading
    } finally {
      this.#reading = undefined
    }
  }

  async #call (): Promise<Roll | undefined> {
    const { store, clock, scheduler, log, ownRow, counted } = this.#options
    const own = ownRow()
    if (own === undefined) return undefined
    const sentAt = clock.monotonicMs()
    try {
      const answer = await within(scheduler, readTimeoutMs, (signal) => store.roll(own, signal))
      const roll: Roll = { ...answer, sentAt, answeredAt: clock.monotonicMs() }
      this.#roll = roll
      counted(roll)
      this.#settle()
      return roll
    } catch (error) {
      log.warn(failureOf(error), 'the members of the trust window could not be read')
      return undefined
    }
  }

  #announce ({ wait: { change: { seq, target, action }, nonce } }: Waiting, renew: Announcement['renew']): void {
    this.#options.announce({ change: { seq, target, action }, nonce: this.#options.mode === 'all' ? nonce : undefined, renew })
  }

  /** Until it is over: those that are missing renew at once, and the members are read again, at growing intervals. */
  #askAgain (waiting: Waiting, pauseMs: number): void {
    const { scheduler, pauseMaxMs } = this.#options
    waiting.cancelAgain = scheduler.after(Math.min(pauseMs, pauseMaxMs()), () => {
      const missing = this.#roll === undefined ? [] : missingFrom(waiting.wait, this.#roll).map(({ id }) => id)
      // Few are called by name: the others need not renew for their sake.
      this.#announce(waiting, missing.length > 0 && missing.length <= 8 ? missing : 'all')
      // Our own acknowledgement comes within that call, and may be the last one.
      if (!this.#waiting.has(waiting.wait.nonce)) return
      this.read().catch(() => {})
      this.#askAgain(waiting, pauseMs * 2)
    })
  }

  #settle (): void {
    const { clock, mode, slowUntil } = this.#options
    const now = clock.monotonicMs()
    const roll = mode === 'off' ? undefined : this.#roll
    for (const waiting of this.#waiting.values()) {
      const path = settled(waiting.wait, now, roll, slowUntil())
      if (path === undefined) continue
      waiting.cancelAgain()
      this.#waiting.delete(waiting.wait.nonce)
      this.#latencies.record(path, now - waiting.wait.change.committedAt)
      waiting.resolve(path)
    }
    // A timer that is left keeps the process of a host application alive after the plugin has closed.
    if (this.#waiting.size === 0) this.#cancelSlow()
  }

  // Timers fire early at times: what counts is the clock, read again.
  #waitOut (): void {
    const { clock, scheduler } = this.#options
    this.#cancelSlow()
    this.#cancelSlow = () => {}
    if (this.#waiting.size === 0) return
    const ends = [...this.#waiting.values()].map(({ wait }) => slowAt(wait.change))
    this.#cancelSlow = scheduler.after(Math.min(...ends) - clock.monotonicMs(), () => {
      this.#settle()
      this.#waitOut()
    })
  }
}
