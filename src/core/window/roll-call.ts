import type { Clock } from '../clock.ts'
import { renewalPeriodMs } from './durations.ts'
import type { Guards } from './guards.ts'
import { Latencies, type Histogram } from './latencies.ts'
import { noSightings, sight, type Sightings } from './reaper.ts'
import { within, type Scheduler } from './scheduler.ts'
import type { WindowStore } from './store.ts'
import type { CommittedChange, ForcePath } from './trust.ts'
import { settled, slowAt, type Roll, type Wait } from './waits.ts'
import { failureOf, type WindowLog } from './window-log.ts'

export interface RollCallOptions {
  readonly store: WindowStore
  readonly clock: Clock
  readonly scheduler: Scheduler
  readonly windowMs: number
  /** Whether acknowledgements may end a wait; without, every wait is waited out. */
  readonly acks: boolean
  readonly guards: Guards
  readonly log: WindowLog
  /** Log rows that the table keeps. */
  readonly logRowsKept: number
}

export interface RollCallSnapshot {
  readonly members: number
  readonly waiting: number
  readonly reaped: number
  readonly pruned: number
  readonly inForce: Readonly<Record<ForcePath, Histogram>>
}

interface Waiting {
  readonly wait: Wait
  resolve (path: ForcePath): void
}

const callTimeoutMs = 1000
const firstPauseMs = 2
const pruneEveryMs = 30_000

/** Reads the members, one statement at a time, for everyone who needs to know them: waiting changes and the reaper. */
export class RollCall {
  readonly #options: RollCallOptions
  readonly #waiting = new Set<Waiting>()
  readonly #latencies = new Latencies()
  readonly #pauseMaxMs: number
  readonly #keepEveryMs: number
  #roll: Roll | undefined
  #calling = false
  #again = false
  #pauseMs = firstPauseMs
  #cancelCall = () => {}
  #cancelSlow = () => {}
  #sightings: Sightings = noSightings
  #keeping = false
  #cancelKeeping = () => {}
  #prunedAt = -Infinity
  #reaped = 0
  #pruned = 0

  constructor (options: RollCallOptions) {
    this.#options = options
    this.#pauseMaxMs = renewalPeriodMs(options.windowMs) / 2
    this.#keepEveryMs = Math.min(1000, options.windowMs / 4)
  }

  /** Resolves when the change is in force: every living member has acknowledged it, or every older window has ended. */
  inForce (change: CommittedChange): Promise<ForcePath> {
    const known = new Set(this.#roll?.members.map((member) => member.id))
    return new Promise((resolve) => {
      this.#waiting.add({ wait: { change, known }, resolve })
      this.#pauseMs = firstPauseMs
      this.#settle(undefined)
      this.#waitOut()
      if (this.#options.acks) this.call()
    })
  }

  /** Reads the members now, or again right after the reading under way, whose answer may be too old to use. */
  call (): void {
    if (this.#calling) this.#again = true
    else this.#call()
  }

  /** Whether a reading now could end a wait. */
  get isAwaited (): boolean {
    return this.#options.acks && this.#waiting.size > 0
  }

  /** Begins to count out silent members and to prune the log. */
  startKeeping (): void {
    this.#keeping = true
    this.#keepLater()
  }

  /** Ends the upkeep. Changes that wait go on waiting. */
  stopKeeping (): void {
    this.#keeping = false
    this.#cancelKeeping()
  }

  snapshot (): RollCallSnapshot {
    return {
      members: this.#roll?.members.length ?? 0,
      waiting: this.#waiting.size,
      reaped: this.#reaped,
      pruned: this.#pruned,
      inForce: this.#latencies.snapshot()
    }
  }

  async #call (): Promise<void> {
    const { store, clock, scheduler, log, acks } = this.#options
    this.#cancelCall()
    this.#calling = true
    this.#again = false
    const sentAt = clock.monotonicMs()
    try {
      const members = await within(scheduler, callTimeoutMs, (signal) => store.members(signal))
      this.#roll = { sentAt, answeredAt: clock.monotonicMs(), members }
      this.#settle(acks ? this.#roll : undefined)
    } catch (error) {
      log.warn(failureOf(error), 'the members of the trust window could not be read')
    }
    this.#calling = false
    this.#callLater()
  }

  #callLater (): void {
    if (!this.isAwaited) return
    if (this.#again) return this.call()
    this.#cancelCall()
    this.#cancelCall = this.#options.scheduler.after(this.#pauseMs, () => this.call())
    this.#pauseMs = Math.min(this.#pauseMaxMs, this.#pauseMs * 1.5)
  }

  #settle (roll: Roll | undefined): void {
    const { clock, guards } = this.#options
    const now = clock.monotonicMs()
    for (const waiting of this.#waiting) {
      const path = settled(waiting.wait, now, roll, guards)
      if (path === undefined) continue
      this.#waiting.delete(waiting)
      this.#latencies.record(path, now - waiting.wait.change.committedAt)
      waiting.resolve(path)
    }
  }

  // Timers fire early at times: what counts is the clock, read again.
  #waitOut (): void {
    const { clock, scheduler, guards } = this.#options
    this.#cancelSlow()
    if (this.#waiting.size === 0) return
    const ends = [...this.#waiting].map(({ wait }) => slowAt(wait.change, guards))
    this.#cancelSlow = scheduler.after(Math.min(...ends) - clock.monotonicMs(), () => {
      this.#settle(undefined)
      this.#waitOut()
    })
  }

  #keepLater (): void {
    this.#cancelKeeping()
    if (!this.#keeping) return
    this.#cancelKeeping = this.#options.scheduler.after(this.#keepEveryMs, () => { this.#keep() })
  }

  async #keep (): Promise<void> {
    const { clock, log } = this.#options
    try {
      if (!this.#calling) await this.#call()
      if (this.#roll !== undefined) await this.#reap(this.#roll)
      if (this.#keeping && clock.monotonicMs() - this.#prunedAt >= pruneEveryMs) await this.#prune()
    } catch (error) {
      log.warn(failureOf(error), 'the upkeep of the trust window failed and will be tried again')
    }
    this.#keepLater()
  }

  async #reap (roll: Roll): Promise<void> {
    const { store, scheduler, guards, log } = this.#options
    const { sightings, silent } = sight(this.#sightings, roll, { guards, gapMaxMs: callTimeoutMs + this.#keepEveryMs })
    this.#sightings = sightings
    for (const { id, renewals } of silent) {
      const expected = guards.reapedIfSilent ? renewals : undefined
      if (!await within(scheduler, callTimeoutMs, (signal) => store.reap(id, expected, signal))) continue
      this.#reaped++
      log.warn({ member: id }, 'a member of the trust window fell silent and was counted out')
    }
  }

  async #prune (): Promise<void> {
    const { store, scheduler, clock, logRowsKept } = this.#options
    const deleted = await within(scheduler, callTimeoutMs, (signal) => store.prune(logRowsKept, signal))
    this.#pruned += deleted
    if (deleted === 0) this.#prunedAt = clock.monotonicMs()
  }
}
