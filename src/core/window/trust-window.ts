import { randomUUID } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { unavailable } from '../errors.ts'
import type { ChangeTarget, Entry } from '../lookup.ts'
import { failureOf, silentLogger, type Logger } from '../logger.ts'
import { Acknowledgements, type AcknowledgementMode, type AcknowledgementsSnapshot } from './acknowledgements.ts'
import { noAnnouncements, type Acknowledgement, type Announcements } from './announcements.ts'
import { longestMs, renewalPeriodMs, waitOutMs } from './durations.ts'
import { admitsUntil, initialState, isOpen, judge, labelOf, placeOf, type WindowState } from './judge.ts'
import { systemScheduler, within, type Scheduler } from './scheduler.ts'
import { step, type Announcement, type RenewEffect, type WindowEffect, type WindowEvent } from './step.ts'
import type { OwnRow, WindowStore } from './store.ts'
import type { CommittedChange, Force, ForcePath, LoggedChange, Standing, Trust } from './trust.ts'
import { Upkeep, type UpkeepCounts } from './upkeep.ts'

export interface TrustWindowOptions {
  readonly store: WindowStore
  readonly announcements?: Announcements | undefined
  readonly clock: Clock
  /** D: how long a replica may accept on the strength of one renewal, in milliseconds. */
  readonly windowMs: number
  /** Which acknowledgements may put a change in force before every older window has ended. `all`. */
  readonly acks?: AcknowledgementMode | undefined
  readonly log?: Logger | undefined
  readonly scheduler?: Scheduler | undefined
  /** Rows of the revocation log that a replica holds, and that the table keeps. 10,000. */
  readonly rowsMax?: number | undefined
}

/** Something cached has to go. `reset`: not because it changed, but because nothing held can be judged any more. */
export interface Drop {
  readonly target: ChangeTarget
  readonly action: 'revoke' | 'change' | 'reset'
}

/** What rows in Redis are bound to: only a replica of this very history writes such a row, and believes it. */
export interface Seal {
  readonly rowSecret: Uint8Array
  readonly lineage: string
  readonly label: string
}

/** Where a read begins: what it may be compared with when its answer comes. */
export interface ReadPosition {
  readonly applied: number
  /** Timeline and server start as of the newest renewal; `undefined` before the first. */
  readonly place: string | undefined
}

/** What is to be known of the window from outside, at one moment. */
export interface WindowSnapshot extends AcknowledgementsSnapshot, UpkeepCounts {
  readonly isOpen: boolean
  /** Whether the newest renewal that ended was answered: what is known of Postgres without asking it. */
  readonly isAnswered: boolean
  readonly phase: WindowState['phase']
  readonly windowMs: number
  /** P, for as many members as there are. */
  readonly renewEveryMs: number
  /** W of this replica's own window. */
  readonly waitOutMs: number
  /** Since the newest renewal that was answered had been sent; `undefined` before the first. */
  readonly renewalAgeMs: number | undefined
  readonly applied: number
  /** `undefined` before the first renewal: nothing can be judged yet. */
  readonly floor: number | undefined
  readonly recentRows: number
  readonly timeline: string | undefined
  /** Whether this replica may use what Redis holds: its row bears the lineage of the database. */
  readonly hasLineage: boolean
  readonly renewals: { readonly answered: number, readonly failed: number, readonly late: number }
  readonly joins: number
  /** Announcements heard from other replicas, those that told nothing new included. */
  readonly announcements: number
  /** Times that everything held became void: another timeline, or a log that contradicts an announcement. */
  readonly resets: number
  /** Keys that a failover had lost the revocation of, and that this replica revoked again. */
  readonly revocationsPutBack: number
  /** Answers that cannot be of the primary, found out by the protocol itself. */
  readonly answersRefused: number
}

const renewalTimeoutMs = 1000
const joinTimeoutMs = 2000
const openTimeoutMs = 1000
const putBackTimeoutMs = 5000
const sentBeatsMax = 64

type Told<T> = T extends WindowEvent ? Omit<T, 'fresh'> : never

/** The trust window of this process: carries out what `step` decides, with real stores and real time. */
export class TrustWindow implements Trust, Force {
  readonly #options: TrustWindowOptions
  readonly #announcements: Announcements
  readonly #log: Logger
  readonly #scheduler: Scheduler
  readonly #acknowledgements: Acknowledgements
  readonly #upkeep: Upkeep
  readonly #listeners = new Set<(drop: Drop) => void>()
  readonly #openWaiters = new Set<() => void>()
  readonly #counts = { renewals: { answered: 0, failed: 0, late: 0 }, joins: 0, announcements: 0, resets: 0, revocationsPutBack: 0, answersRefused: 0 }
  #state: WindowState
  #epoch = 0
  #rowSecret: Uint8Array | undefined
  #opened: string | undefined
  #sentBeats: Array<{ number: number, beat: string }> = []
  #renewal: AbortController | undefined
  #joining: Promise<void> = Promise.resolve()
  #leaving: Promise<void> = Promise.resolve()
  #cancelWake = () => {}

  constructor (options: TrustWindowOptions) {
    this.#options = options
    this.#announcements = options.announcements ?? noAnnouncements
    this.#log = options.log ?? silentLogger
    this.#scheduler = options.scheduler ?? systemScheduler
    const { store, clock, windowMs, acks: mode = 'all', rowsMax = 10_000 } = options
    const isAlone = this.#announcements === noAnnouncements
    this.#state = initialState({ windowMs, renewalTimeoutMs, rowsMax })
    this.#acknowledgements = new Acknowledgements({
      store,
      clock,
      scheduler: this.#scheduler,
      mode,
      log: this.#log,
      // Without Redis the other members hear of a change only when they renew, so read them more often.
      pauseMaxMs: () => this.#renewEveryMs / (isAlone ? 4 : 1),
      ownRow: () => this.#ownRow(),
      slowUntil: () => this.#state.slowUntil,
      announce: (news) => { this.#announce(news) },
      counted: ({ members }) => { this.#dispatch({ kind: 'counted', members: members.length }) }
    })
    this.#upkeep = new Upkeep({
      store,
      clock,
      scheduler: this.#scheduler,
      windowMs,
      log: this.#log,
      logRowsKept: rowsMax,
      readRoll: () => this.#acknowledgements.read(),
      ownRow: () => this.isOpen ? this.#ownRow() : undefined,
      lineage: () => this.#state.lineage,
      admitsUntil: () => admitsUntil(this.#state, this.#options.clock.monotonicMs()),
      onLineageChanged: () => { this.#dispatch({ kind: 'called' }) }
    })
  }

  /**
   * Joins and renews from now on, through any outage, until `leave`. Resolves when the window is open for the first
   * time, and after a second at the latest: a database that is away is no reason not to start.
   */
  async start (): Promise<void> {
    this.#dispatch({ kind: 'start' })
    this.#upkeep.start()
    await this.opened().catch(() => {})
  }

  /**
   * Shuts the window at once and for good; resolves when the membership is given up, or could not be, and the store and
   * the bus are closed. A change that still waits then waits its window out.
   */
  async leave (): Promise<void> {
    this.#upkeep.stop()
    this.#dispatch({ kind: 'leave' })
    await this.#joining
    await this.#leaving
    this.#renewal?.abort()
    await Promise.all([this.#announcements.close(), this.#options.store.close()])
  }

  judge (entry: Entry, now: number, isFresh: boolean): Standing {
    return judge(this.#state, entry, now, isFresh)
  }

  get epoch (): number {
    return this.#epoch
  }

  databaseTime (now: number): number {
    const { shown } = this.#state
    return shown === undefined ? Infinity : shown.databaseTime + longestMs(now - shown.at)
  }

  opened (): Promise<void> {
    if (this.isOpen) return Promise.resolve()
    if (this.#state.phase === 'left') return Promise.reject(unavailable('This replica is stopping. Try again.'))
    this.#dispatch({ kind: 'wanted' })
    return this.#until(() => this.isOpen)
  }

  /** Resolves when a renewal that was sent after this call is answered; rejects with `unavailable` after a second. */
  renewed (): Promise<void> {
    const { sent } = this.#state
    this.#dispatch({ kind: 'called' })
    return this.#until(() => this.#state.sent > sent && this.#state.renewing === undefined && this.#state.failures === 0 && this.isOpen)
  }

  async inForce (change: CommittedChange): Promise<ForcePath> {
    const path = await this.#acknowledgements.inForce(change)
    if (path === 'slow') this.#upkeep.watch()
    return path
  }

  announce ({ seq, target, action }: LoggedChange): void {
    this.#announce({ change: { seq, target, action }, nonce: undefined, renew: 'none' })
  }

  /** Calls `listener` in the turn in which something cached has to go, before its going is acknowledged; answers how to stop that. */
  onDrop (listener: (drop: Drop) => void): () => void {
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }

  get isOpen (): boolean {
    return isOpen(this.#state, this.#options.clock.monotonicMs())
  }

  /** The secret that all replicas of this database share; `undefined` until it has been reached once. */
  get rowSecret (): Uint8Array | undefined {
    return this.#rowSecret
  }

  /** What rows in Redis are sealed with; `undefined` while this replica must not believe or write any (R0, R9). */
  get seal (): Seal | undefined {
    const label = labelOf(this.#state)
    const { lineage } = this.#state
    if (label === undefined || lineage === undefined || this.#rowSecret === undefined || !this.isOpen) return undefined
    if (this.#seal?.label !== label || this.#seal.rowSecret !== this.#rowSecret) this.#seal = { rowSecret: this.#rowSecret, lineage, label }
    return this.#seal
  }

  #seal: Seal | undefined

  /**
   * What names in Redis are made of where nothing is believed because of it: known from the first renewal on, a second before there is a `seal`. A copy of the
   * database has the same until it gets a lineage of its own.
   */
  get name (): { readonly rowSecret: Uint8Array, readonly lineage: string } | undefined {
    const { history } = this.#state
    return history === undefined || this.#rowSecret === undefined ? undefined : { rowSecret: this.#rowSecret, lineage: history.lineage }
  }

  /** To be taken before a read is sent (R5). */
  get position (): ReadPosition {
    return { applied: this.#state.applied, place: placeIn(this.#state) }
  }

  /** How many replicas there are, this one included, as far as is known. */
  get members (): number {
    return Math.max(1, this.#state.members)
  }

  snapshot (): WindowSnapshot {
    const { phase, applied, floor, recent, ahead, history, shown, failures, terms } = this.#state
    const now = this.#options.clock.monotonicMs()
    return {
      ...this.#acknowledgements.snapshot(),
      ...this.#upkeep.counts(),
      ...this.#counts,
      renewals: { ...this.#counts.renewals },
      isOpen: isOpen(this.#state, now),
      isAnswered: shown !== undefined && failures === 0,
      phase,
      windowMs: terms.windowMs,
      renewEveryMs: this.#renewEveryMs,
      waitOutMs: waitOutMs(terms.windowMs),
      renewalAgeMs: shown === undefined ? undefined : now - shown.at,
      applied,
      floor: floor === Infinity ? undefined : floor,
      recentRows: recent.size + ahead.size,
      timeline: history?.timeline,
      hasLineage: labelOf(this.#state) !== undefined
    }
  }

  get #renewEveryMs (): number {
    return renewalPeriodMs(this.#options.windowMs, this.#state.members)
  }

  #dispatch (told: Told<WindowEvent>): void {
    const now = this.#options.clock.monotonicMs()
    const before = this.#state
    const [state, effects] = step(before, { ...told, fresh: randomUUID() } as WindowEvent, now)
    this.#state = state
    // Reads under way may be of a history that is no more: their answers decide nothing.
    const isVoid = effects.some(({ kind }) => kind === 'dropAll')
    if (isVoid || labelOf(state) !== labelOf(before) || placeIn(state) !== placeIn(before)) this.#epoch++
    if (isVoid) this.#upkeep.forget()
    for (const effect of effects) this.#carryOut(effect)
    this.#listen()
    const hasJoined = state.shown !== undefined && before.shown === undefined
    if (state.lineage === undefined && (hasJoined || before.lineage !== undefined)) this.#upkeep.soon()
    for (const check of this.#openWaiters) check()
  }

  #carryOut (effect: WindowEffect): void {
    switch (effect.kind) {
      case 'drop': return this.#drop({ target: effect.target, action: effect.action })
      case 'dropAll': return this.#drop({ target: { kind: 'everything' }, action: 'reset' })
      case 'acknowledge': this.#acknowledge(effect).catch(() => {}); return
      case 'join': this.#joining = this.#join(effect); return
      case 'renew': this.#renew(effect).catch(() => {}); return
      case 'abandon': this.#renewal?.abort(); return
      case 'refuse': {
        this.#counts.answersRefused++
        this.#log.warn({}, 'the database answered with an older state than this replica has seen: its connections are closed')
        return this.#options.store.distrust()
      }
      case 'contradicted': return this.#log.error({ seq: effect.seq }, 'the revocation log has a different change at a position than the one announced: the whole cache is dropped')
      case 'putBack': this.#putBack(effect).catch(() => {}); return
      case 'leave': this.#leaving = this.#leave(effect.id); return
      case 'wakeAt': {
        this.#cancelWake()
        const now = this.#options.clock.monotonicMs()
        this.#cancelWake = effect.at === Infinity ? () => {} : this.#scheduler.after(effect.at - now, () => this.#dispatch({ kind: 'tick' }))
      }
    }
  }

  #drop (drop: Drop): void {
    if (drop.action === 'reset' && this.#state.phase !== 'left') this.#counts.resets++
    for (const listener of this.#listeners) {
      try {
        listener(drop)
      } catch (error) {
        this.#log.warn(failureOf(error), 'a listener of the trust window failed')
      }
    }
  }

  #until (isSo: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = () => {
        if (!isSo()) return
        cancel()
        this.#openWaiters.delete(check)
        resolve()
      }
      const cancel = this.#scheduler.after(openTimeoutMs, () => {
        this.#openWaiters.delete(check)
        reject(unavailable('The database does not answer, so it is not known which keys are revoked. Try again.'))
      })
      this.#openWaiters.add(check)
    })
  }

  /** Our row as it may look now, or look when an answer comes: renewals go on meanwhile. */
  #ownRow (): OwnRow | undefined {
    const { phase, id, beats, sent } = this.#state
    if (phase !== 'member' || id === undefined) return undefined
    return {
      id,
      beats,
      isOwnBeat: (beat) => beats.includes(beat) || this.#sentBeats.some((later) => later.number > sent && later.beat === beat)
    }
  }

  #announce (news: Pick<Announcement, 'change' | 'nonce' | 'renew'>): void {
    const { id } = this.#state
    if (id === undefined) return
    const announcement: Announcement = { ...news, label: labelOf(this.#state), from: id }
    this.#dispatch({ kind: 'announced', announcement })
    this.#announcements.announce(announcement)
  }

  async #acknowledge ({ to, label, seq, nonce }: Extract<WindowEffect, { kind: 'acknowledge' }>): Promise<void> {
    const { id } = this.#state
    if (id === undefined) return
    const acknowledgement: Acknowledgement = { from: id, label, seq, nonce }
    if (to === id) return this.#acknowledgements.acknowledged(acknowledgement)
    if (!await this.#announcements.acknowledge(to, acknowledgement)) this.#dispatch({ kind: 'acknowledgementLost', seq })
  }

  /** Subscribes to the messages of the current lineage; without a lineage, every message only causes a renewal. */
  #listen (): void {
    const { history, id, phase } = this.#state
    const rowSecret = this.#rowSecret
    if (rowSecret === undefined || history === undefined || id === undefined || phase !== 'member') return
    const isOurs = labelOf(this.#state) !== undefined
    const name = [history.lineage, isOurs, id].join()
    if (this.#opened === name) return
    this.#opened = name
    this.#announcements.open({ rowSecret, lineage: history.lineage, isOurs, id }, {
      announced: (announcement) => { this.#counts.announcements++; this.#dispatch({ kind: 'announced', announcement }) },
      // Of this label as of now: another history's say nothing about this one.
      acknowledged: (acknowledgement) => { if (acknowledgement.label === labelOf(this.#state)) this.#acknowledgements.acknowledged(acknowledgement) },
      called: () => { this.#counts.announcements++; this.#dispatch({ kind: 'called' }) }
    })
  }

  async #join ({ id, formerId }: Extract<WindowEffect, { kind: 'join' }>): Promise<void> {
    const { store, windowMs } = this.#options
    try {
      const { rowSecret } = await within(this.#scheduler, joinTimeoutMs, (signal) => store.join({ id, formerId, windowMs }, signal))
      this.#counts.joins++
      if (this.#rowSecret === undefined || Buffer.compare(this.#rowSecret, rowSecret) !== 0) this.#rowSecret = rowSecret
      if (this.#state.phase === 'left') return await this.#leave(id)
      this.#opened = undefined
      this.#dispatch({ kind: 'joined', id })
    } catch (error) {
      this.#log.warn(failureOf(error), 'joining the trust window failed and will be tried again')
      this.#dispatch({ kind: 'joinFailed' })
    }
  }

  async #renew ({ number, ...renewal }: RenewEffect): Promise<void> {
    const controller = new AbortController()
    this.#renewal = controller
    this.#sentBeats.push({ number, beat: renewal.beat })
    if (this.#sentBeats.length > sentBeatsMax) this.#sentBeats.shift()
    try {
      const answer = await this.#options.store.renew(renewal, controller.signal)
      this.#counts.renewals[this.#state.renewing?.number === number ? 'answered' : 'late']++
      if (answer.row === 'dead') this.#log.warn({ member: renewal.id }, 'the other replicas removed this one from the trust window because it had not renewed; it joins again')
      if (answer.row === 'missing') this.#log.warn({ member: renewal.id }, 'the database does not know this replica: it is another database, or was restored to an earlier state; joining again')
      this.#dispatch({ kind: 'renewed', number, answer })
    } catch (error) {
      this.#counts.renewals.failed++
      if (this.#state.failures <= 1) this.#log.warn(failureOf(error), 'renewing the trust window failed and will be tried again')
      this.#dispatch({ kind: 'renewFailed', number })
    }
  }

  /** Revocations that a failover has lost are put back; they are refused here until they are in force everywhere again (R16). */
  async #putBack ({ number, lineage, heardBy, digests }: Extract<WindowEffect, { kind: 'putBack' }>): Promise<void> {
    const { store, clock } = this.#options
    const own = this.#ownRow()
    try {
      if (own === undefined) throw new Error('This replica is not a member.')
      const { revoked, change } = await within(this.#scheduler, putBackTimeoutMs, (signal) => store.putBack(own, { lineage, heardBy, digests }, signal))
      if (change !== undefined) {
        this.#counts.revocationsPutBack += revoked.length
        this.#log.error({ keys: revoked.length, seq: change.seq }, 'the database had lost revocations, after a failover or a restore: they are revoked again')
        this.inForce({ ...change, committedAt: clock.monotonicMs() }).catch(() => {})
      }
      this.#dispatch({ kind: 'putBack', number, isDone: true })
    } catch (error) {
      this.#log.warn(failureOf(error), 'revocations that the database may have lost could not be put back yet')
      this.#dispatch({ kind: 'putBack', number, isDone: false })
    }
  }

  async #leave (id: string): Promise<void> {
    try {
      await within(this.#scheduler, renewalTimeoutMs, (signal) => this.#options.store.leave(id, signal))
    } catch (error) {
      this.#log.warn(failureOf(error), 'leaving the trust window failed: the other replicas will remove this one when it no longer renews')
    }
  }
}

function placeIn ({ history }: WindowState): string | undefined {
  return history && placeOf(history)
}
