import { randomUUID } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { unavailable } from '../errors.ts'
import type { ChangeTarget, Entry } from '../lookup.ts'
import { longestMs, renewalPeriodMs } from './durations.ts'
import { allGuards, type Guards } from './guards.ts'
import { noBus, type HintBus } from './hint-bus.ts'
import { isOpen, judge } from './judge.ts'
import { RollCall } from './roll-call.ts'
import { systemScheduler, within, type Scheduler } from './scheduler.ts'
import { initialState, type WindowEffect, type WindowEvent, type WindowState } from './state.ts'
import { step } from './step.ts'
import type { Renewal, WindowStore } from './store.ts'
import type { CommittedChange, Force, ForcePath, LoggedChange, Standing, Trust } from './trust.ts'
import { failureOf, silentLog, type WindowLog } from './window-log.ts'
import { snapshotOf, type WindowSnapshot } from './window-snapshot.ts'

export interface TrustWindowOptions {
  readonly store: WindowStore
  readonly bus?: HintBus | undefined
  readonly clock: Clock
  /** D: how long a replica may accept on the strength of one renewal, in milliseconds. */
  readonly windowMs: number
  /** Whether acknowledgements may put a change in force before every older window has ended. Default: they may. */
  readonly acks?: boolean | undefined
  readonly log?: WindowLog | undefined
  readonly scheduler?: Scheduler | undefined
  /** Rows of the revocation log that a replica holds, and that the table keeps. Default: 10,000. */
  readonly tailRowsMax?: number | undefined
  /** For tests only. */
  readonly guards?: Guards | undefined
}

/** Something cached has to go. `reset`: not because it changed, but because nothing held can be judged any more. */
export interface Drop {
  readonly target: ChangeTarget
  readonly action: 'revoke' | 'change' | 'reset'
}

const renewalTimeoutMs = 1000
const joinTimeoutMs = 2000
const openTimeoutMs = 1000

/** The trust window of this process: carries out what `step` decides, with real stores and real time. */
export class TrustWindow implements Trust, Force {
  readonly #options: TrustWindowOptions
  readonly #bus: HintBus
  readonly #log: WindowLog
  readonly #scheduler: Scheduler
  readonly #guards: Guards
  readonly #rollCall: RollCall
  readonly #listeners = new Set<(drop: Drop) => void>()
  readonly #openWaiters = new Set<() => void>()
  readonly #counts = { renewals: { answered: 0, failed: 0, late: 0 }, joins: 0, hints: 0 }
  #state: WindowState
  #era = 0
  #id: string | undefined
  #rowSecret: Uint8Array | undefined
  #renewal: AbortController | undefined
  #joining: Promise<void> = Promise.resolve()
  #leaving: Promise<void> = Promise.resolve()
  #cancelWake = () => {}

  constructor (options: TrustWindowOptions) {
    this.#options = options
    this.#bus = options.bus ?? noBus
    this.#log = options.log ?? silentLog
    this.#scheduler = options.scheduler ?? systemScheduler
    this.#guards = options.guards ?? allGuards
    const { store, clock, windowMs, acks = true, tailRowsMax = 10_000 } = options
    this.#state = initialState({
      windowMs, renewEveryMs: renewalPeriodMs(windowMs), renewalTimeoutMs, tailRowsMax, guards: this.#guards
    })
    this.#rollCall = new RollCall({
      store, clock, windowMs, acks, scheduler: this.#scheduler, guards: this.#guards, log: this.#log, logRowsKept: tailRowsMax
    })
  }

  /**
   * Joins and renews from now on, through any outage, until `leave`. Resolves when the window is open for the first
   * time, and after a second at the latest: a database that is away is no reason not to start.
   */
  async start (): Promise<void> {
    this.#dispatch({ kind: 'start' })
    this.#rollCall.startKeeping()
    await this.opened().catch(() => {})
  }

  /**
   * Shuts the window at once and for good; resolves when the membership is given up, or could not be, and the store and
   * the bus are closed. A change that still waits then waits its window out.
   */
  async leave (): Promise<void> {
    this.#rollCall.stopKeeping()
    this.#dispatch({ kind: 'leave' })
    await this.#joining
    await this.#leaving
    this.#renewal?.abort()
    await Promise.all([this.#bus.close(), this.#options.store.close()])
  }

  judge (entry: Entry, now: number): Standing {
    return judge(this.#state, entry, now)
  }

  get era (): number {
    return this.#era
  }

  databaseTime (now: number): number {
    const { shown } = this.#state
    return shown === undefined ? Infinity : shown.databaseTime + longestMs(now - shown.at)
  }

  opened (): Promise<void> {
    if (this.isOpen) return Promise.resolve()
    if (this.#state.phase === 'left') return Promise.reject(unavailable('This replica is stopping. Try again.'))
    this.#dispatch({ kind: 'wanted' })
    return new Promise((resolve, reject) => {
      const opened = () => { cancel(); resolve() }
      const cancel = this.#scheduler.after(openTimeoutMs, () => {
        this.#openWaiters.delete(opened)
        reject(unavailable('The service cannot be sure of what has been revoked, because its database does not answer. Try again.'))
      })
      this.#openWaiters.add(opened)
    })
  }

  async inForce (change: CommittedChange): Promise<ForcePath> {
    this.announce(change)
    return this.#rollCall.inForce(change)
  }

  announce (change: LoggedChange): void {
    const hint = { change: { seq: change.seq, target: change.target, action: change.action }, timeline: this.#state.timeline }
    this.#dispatch({ kind: 'hint', ...hint })
    this.#bus.publish(hint)
  }

  /** Calls `listener` in the turn in which something cached has to go, before its going is acknowledged; answers how to stop that. */
  onDrop (listener: (drop: Drop) => void): () => void {
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }

  get isOpen (): boolean {
    return isOpen(this.#state, this.#options.clock.monotonicMs())
  }

  /** The timeline of the primary, as of the newest renewal; `undefined` before the first. Rows from another one are worthless. */
  get timeline (): string | undefined {
    return this.#state.timeline
  }

  /** The key of the HMAC over rows in Redis; `undefined` until the database has been reached once. */
  get rowSecret (): Uint8Array | undefined {
    return this.#rowSecret
  }

  snapshot (): WindowSnapshot {
    return snapshotOf(this.#state, this.#options.clock.monotonicMs(), this.#counts, this.#rollCall.snapshot())
  }

  #dispatch (event: WindowEvent): void {
    const now = this.#options.clock.monotonicMs()
    const [state, effects] = step(this.#state, event, now)
    if (state.timeline !== this.#state.timeline || effects.some(({ kind }) => kind === 'dropAll')) this.#era++
    this.#state = state
    for (const effect of effects) this.#carryOut(effect, now)
    if (this.#openWaiters.size > 0 && this.isOpen) {
      for (const opened of this.#openWaiters) opened()
      this.#openWaiters.clear()
    }
  }

  #carryOut (effect: WindowEffect, now: number): void {
    switch (effect.kind) {
      case 'drop': return this.#drop({ target: effect.target, action: effect.action })
      case 'dropAll': return this.#drop({ target: { kind: 'everything' }, action: 'reset' })
      case 'join': this.#joining = this.#join(effect.fresh); return
      case 'renew': this.#renew(effect.number, now, effect); return
      case 'abandon': this.#renewal?.abort(); return
      case 'leave': this.#leaving = this.#leave(effect.id); return
      case 'wakeAt': {
        this.#cancelWake()
        this.#cancelWake = effect.at === Infinity ? () => {} : this.#scheduler.after(effect.at - now, () => this.#dispatch({ kind: 'tick' }))
      }
    }
  }

  #drop (drop: Drop): void {
    for (const listener of this.#listeners) {
      try {
        listener(drop)
      } catch (error) {
        this.#log.warn(failureOf(error), 'a listener of the trust window failed')
      }
    }
  }

  async #join (fresh: boolean): Promise<void> {
    const { store, windowMs } = this.#options
    // A joining whose outcome is unknown is repeated under the same id, so that it leaves no second row behind.
    if (fresh || this.#id === undefined) this.#id = randomUUID()
    const id = this.#id
    try {
      const { rowSecret, seen } = await within(this.#scheduler, joinTimeoutMs, (signal) => store.join(id, windowMs, signal))
      this.#counts.joins++
      this.#rowSecret = rowSecret
      if (this.#state.phase === 'left') return await this.#leave(id)
      this.#bus.open(rowSecret, (hint) => { this.#counts.hints++; this.#dispatch({ kind: 'hint', ...hint }) })
      this.#dispatch({ kind: 'joined', id, seen })
    } catch (error) {
      this.#log.warn(failureOf(error), 'joining the trust window failed and will be tried again')
      this.#dispatch({ kind: 'joinFailed' })
    }
  }

  async #renew (number: number, sentAt: number, renewal: Renewal): Promise<void> {
    const controller = new AbortController()
    this.#renewal = controller
    const acksNews = renewal.applied > this.#state.acked
    try {
      const answer = await this.#options.store.renew(renewal, controller.signal)
      this.#counts.renewals[this.#state.renewing?.number === number ? 'answered' : 'late']++
      if (!answer.alive) this.#log.warn({ member: renewal.id }, 'this replica was counted out of the trust window and joins again')
      this.#dispatch({ kind: 'renewed', number, answer, sentAt })
      if (acksNews && this.#rollCall.isAwaited) this.#rollCall.call()
    } catch (error) {
      this.#counts.renewals.failed++
      if (this.#state.failures <= 1) this.#log.warn(failureOf(error), 'renewing the trust window failed and will be tried again')
      this.#dispatch({ kind: 'renewFailed', number })
    }
  }

  async #leave (id: string): Promise<void> {
    try {
      await within(this.#scheduler, renewalTimeoutMs, (signal) => this.#options.store.leave(id, signal))
    } catch (error) {
      this.#log.warn(failureOf(error), 'leaving the trust window failed: the other replicas will count this one out')
    }
  }
}
