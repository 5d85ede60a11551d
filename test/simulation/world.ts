import type { ChangeTarget } from '../../src/core/lookup.ts'
import { waitOutMs } from '../../src/core/window/durations.ts'
import { allGuards, type Guards } from '../../src/core/window/guards.ts'
import { isOpen, judge, judgeFreshness } from '../../src/core/window/judge.ts'
import { sight } from '../../src/core/window/reaper.ts'
import type { RenewalAnswer, Terms, WindowEffect, WindowEvent } from '../../src/core/window/state.ts'
import { step } from '../../src/core/window/step.ts'
import { settled, slowAt, type Roll } from '../../src/core/window/waits.ts'
import { concerns, ModelPostgres, type Commit, type KeyVersion } from './model-postgres.ts'
import { ModelReplica } from './model-replica.ts'

export interface WorldOptions {
  readonly seed: number
  readonly guards?: Guards
  readonly replicas?: number
  readonly tailRowsMax?: number
  readonly renewalTimeoutMs?: number
  /** Rates of the replicas' clocks; drawn from the seed if not given. */
  readonly rates?: readonly number[]
  /** Whether a change draws its position when it begins, as from a sequence, and not when it commits (M_SEQEARLY). */
  readonly seqEarly?: boolean
  /** One way of a message takes up to 2 ms times this. Default: 1. */
  readonly slowness?: number
  /** Whether a revoke of what is revoked already finds that out without a write of its own (M_RETRYNOSYNC). */
  readonly retryOnlyReads?: boolean
  /** Whether renewals only read, so that a primary cut off from its standby can answer them (M_ROREADS). */
  readonly renewalsOnlyRead?: boolean
  /** Whether hints travel. */
  readonly hints?: boolean
}

interface Message {
  readonly at: number
  readonly run: () => void
}

export class Violation extends Error {}

export const windowMs = 1000
const callEveryMs = 20
const keepEveryMs = windowMs / 4
const callTimeoutMs = 300

/**
 * Replicas that run the real protocol over a model of Postgres, of the network and of time. Every cache is a liar:
 * wherever a request is answered, it is answered from whatever old row would do the most harm.
 */
export class World {
  readonly postgres = new ModelPostgres()
  readonly replicas: ModelReplica[]
  readonly guards: Guards
  readonly #options: WorldOptions
  readonly #messages: Message[] = []
  /** By key: the newest change that has returned, and the version it made. */
  readonly #returned = new Map<number, KeyVersion>()
  #time = 0
  #ids = 0
  readonly #slowness: number
  #random: number
  #early = 0
  #confirmed = 0
  hintsCut = false
  returns = { fast: 0, slow: 0 }
  readonly published: Array<{ from: ModelReplica, event: WindowEvent }> = []

  constructor (options: WorldOptions) {
    this.#options = options
    this.#random = options.seed | 0
    this.guards = options.guards ?? allGuards
    const terms: Terms = {
      windowMs, renewEveryMs: 100, renewalTimeoutMs: options.renewalTimeoutMs ?? 300, tailRowsMax: options.tailRowsMax ?? 4, guards: this.guards
    }
    this.replicas = Array.from({ length: options.replicas ?? 3 }, (_, i) => new ModelReplica(i, terms, {
      rate: options.rates?.[i] ?? [0.99, 1, 1.01][this.draw(3)] as number,
      offset: this.draw(1000)
    }))
    this.#slowness = options.slowness ?? 1
    this.hintsCut = options.hints === false
    for (const replica of this.replicas) this.boot(replica)
  }

  get time (): number {
    return this.#time
  }

  replica (index: number): ModelReplica {
    return this.replicas[index % this.replicas.length] as ModelReplica
  }

  /** A whole number below `bound`. */
  draw (bound: number): number {
    this.#random = (this.#random + 0x6D2B79F5) | 0
    let mixed = Math.imul(this.#random ^ (this.#random >>> 15), 1 | this.#random)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound
  }

  boot (replica: ModelReplica): void {
    this.tell(replica, { kind: 'start' })
    this.#keep(replica)
  }

  /** Lets time pass, with all that happens in it, in order. */
  advance (ms: number): void {
    const end = this.#time + ms
    for (;;) {
      const message = this.#firstMessage(end)
      const replica = this.#firstTimer(message?.at ?? end)
      if (replica !== undefined) this.#runTimers(replica)
      else if (message === undefined) break
      else this.#deliver(message)
    }
    this.#time = Math.max(this.#time, end)
  }

  /** The true time of the next end of a window or of a wait, or of a timer: where mistakes of a millisecond show. */
  nextEdge (): number {
    let edge = Infinity
    for (const replica of this.replicas) {
      const ends = [replica.state.windowEnd, ...replica.waits.map(({ wait }) => slowAt(wait.change, this.guards))]
      for (const end of ends) {
        const time = replica.timeOf(end)
        if (time > this.#time) edge = Math.min(edge, time)
      }
    }
    return edge
  }

  tell (replica: ModelReplica, event: WindowEvent): void {
    const now = replica.clock(this.#time)
    const [state, effects] = step(replica.state, event, now)
    replica.state = state
    for (const effect of effects) this.#carryOut(replica, effect)
    if (event.kind === 'renewed') this.probe(replica)
  }

  /** A change through this replica: commit, hints, wait. What the key service does. */
  change (replica: ModelReplica, target: ChangeTarget, action: 'revoke' | 'change'): void {
    const begunAt = replica.clock(this.#time)
    const known = replica.known
    const { timeline } = this.postgres
    const answered = (commit: Commit) => {
      // The connection was lost to a failover: nobody knows whether it was committed, and nobody is told so.
      if (timeline !== this.postgres.timeline) return
      if (!commit.isReadOnly) this.#confirmed = Math.max(this.#confirmed, commit.seq)
      const answeredAt = replica.clock(this.#time)
      const committedAt = this.guards.waitedFromCommit ? answeredAt : begunAt
      this.#announce(replica, commit)
      const returned = (path: 'fast' | 'slow') => {
        const tookMs = replica.clock(this.#time) - answeredAt
        if (tookMs > waitOutMs(commit.windowMs) + 1 && this.#time - replica.resumedAt > 0.1) throw new Violation(`change ${commit.seq} returned after ${tookMs} ms`)
        this.#return(commit, path)
      }
      if (commit.wasDone && !this.guards.retryWaits) return returned('fast')
      replica.waits.push({ wait: { change: { ...commit.change, committedAt, windowMs: commit.windowMs }, known }, returned })
      this.#settle(replica, undefined)
      replica.after(this.#time, waitOutMs(commit.windowMs, this.guards), () => this.#settle(replica, undefined))
      this.#call(replica)
    }
    const commit = () => (this.#options.retryOnlyReads === true ? this.postgres.revoked(target) : undefined) ?? this.postgres.change(target, action)
    if (this.#options.seqEarly !== true) return this.request(replica, commit, answered)
    let allotted = 0
    this.request(replica, () => { allotted = this.#earlySeq() }, () => {
      this.request(replica, () => this.postgres.change(target, action, allotted), answered)
    })
  }

  /** Every request that arrives now, answered from the most harmful rows. */
  probe (replica: ModelReplica): void {
    if (replica.isPaused || replica.state.phase === 'left') return
    const now = replica.clock(this.#time)
    for (const [key, required] of this.#returned) {
      const versions = this.postgres.versions[key] as KeyVersion[]
      if ((versions.at(-1) as KeyVersion).version < required.version) throw new Violation(`the change ${required.seq} had returned and is lost`)
      for (let i = versions.length - 2; i >= 0; i--) {
        const { record, version } = versions[i] as KeyVersion
        if (version >= required.version || record.revokedAt !== null) continue
        const asof = (versions[i + 1] as KeyVersion).before
        if (this.#accepts(replica, { record, asof }, now, key)) {
          throw new Violation(`replica ${replica.index} accepted key ${key} as of ${asof} after the change ${required.seq} had returned`)
        }
      }
    }
  }

  probeAll (): void {
    for (const replica of this.replicas) this.probe(replica)
  }

  pause (replica: ModelReplica): void {
    replica.isPaused = true
  }

  resume (replica: ModelReplica): void {
    if (!replica.isPaused) return
    replica.isPaused = false
    replica.resumedAt = this.#time
    // The requests that queued up come first, before any timer and any answer.
    this.probe(replica)
    for (const run of replica.inbox.splice(0)) run()
  }

  release (replica: ModelReplica): void {
    replica.holdsRequests = replica.holdsAnswers = false
    for (const run of replica.held.splice(0)) this.#send(run)
  }

  crash (replica: ModelReplica): void {
    replica.crash()
    this.boot(replica)
  }

  /** Leaves as it should, and starts again. */
  restart (replica: ModelReplica): void {
    this.tell(replica, { kind: 'leave' })
    this.advance(5)
    this.crash(replica)
  }

  /** The newest position that was drawn before its commit, where that is done. */
  get drawnEarly (): number {
    return this.#early
  }

  /** The primary is replaced by its synchronous standby; `behind` go on talking to the one that was. */
  failOver (...behind: ModelReplica[]): void {
    for (const replica of behind) replica.oldPrimary = this.postgres.copy()
    this.postgres.failOver(this.#confirmed)
  }

  /** Ends every fault, and time enough for everything to come to its end. */
  heal (): void {
    this.hintsCut = this.#options.hints === false
    for (const replica of this.replicas) {
      this.resume(replica)
      this.release(replica)
      replica.isDeaf = false
      replica.oldPrimary = undefined
    }
    this.advance(4 * windowMs)
    this.probeAll()
    for (const replica of this.replicas) {
      if (replica.waits.length > 0) throw new Violation(`a change at replica ${replica.index} never returned`)
      if (replica.state.phase === 'member' && !isOpen(replica.state, replica.clock(this.#time))) throw new Violation(`replica ${replica.index} did not heal`)
    }
  }

  /** Sends a transaction to the primary. It may be held on its way, and so may its answer, for as long as the world likes. */
  request<T> (replica: ModelReplica, run: () => T, answered: (answer: T) => void): void {
    const { incarnation } = replica
    const back = (answer: T) => () => {
      if (replica.incarnation === incarnation) this.#within(replica, () => answered(answer))
    }
    this.#pass(replica, 'holdsRequests', () => {
      const answer = run()
      this.#pass(replica, 'holdsAnswers', back(answer))
    })
  }

  #pass (replica: ModelReplica, hold: 'holdsRequests' | 'holdsAnswers', run: () => void): void {
    const arrive = () => {
      if (replica[hold]) replica.held.push(run)
      else run()
    }
    this.#send(arrive)
  }

  #send (run: () => void): void {
    this.#messages.push({ at: this.#time + (1 + this.draw(20)) / 10 * this.#slowness, run })
  }

  #within (replica: ModelReplica, run: () => void): void {
    if (replica.isPaused) replica.inbox.push(run)
    else run()
  }

  #firstMessage (end: number): Message | undefined {
    let first: Message | undefined
    for (const message of this.#messages) {
      if (message.at <= (first?.at ?? end)) first = first === undefined || message.at < first.at ? message : first
    }
    return first
  }

  #firstTimer (end: number): ModelReplica | undefined {
    let first: ModelReplica | undefined
    let at = end
    for (const replica of this.replicas) {
      const next = replica.nextTime()
      if (next < at) {
        first = replica
        at = next
      }
    }
    if (first !== undefined) this.#time = Math.max(this.#time, at)
    return first
  }

  #runTimers (replica: ModelReplica): void {
    // The clock is read a little after the timer's time, as it always is.
    this.#time += 1e-6
    const now = replica.clock(this.#time)
    const due = replica.timers.filter((timer) => timer.at <= now)
    replica.timers = replica.timers.filter((timer) => timer.at > now)
    for (const timer of due) timer.run()
    if (replica.wakeAt <= now) this.tell(replica, { kind: 'tick' })
  }

  #deliver (message: Message): void {
    this.#messages.splice(this.#messages.indexOf(message), 1)
    this.#time = Math.max(this.#time, message.at)
    message.run()
  }

  #accepts (replica: ModelReplica, entry: { record: KeyVersion['record'], asof: number }, now: number, key: number): boolean {
    if (this.guards.checkedInOneTurn) return judge(replica.state, entry, now) === 'current'
    if (replica.judgedBefore.has(key) && isOpen(replica.state, now)) return true
    if (judgeFreshness(replica.state, entry) === 'current') replica.judgedBefore.add(key)
    return false
  }

  #carryOut (replica: ModelReplica, effect: WindowEffect): void {
    const now = replica.clock(this.#time)
    switch (effect.kind) {
      case 'wakeAt': replica.wakeAt = effect.at; return
      case 'join': return this.#join(replica, effect.fresh)
      case 'renew': return this.request(replica, () => this.#renew(replica, effect), (answer) => {
        if (answer !== undefined) this.tell(replica, { kind: 'renewed', number: effect.number, answer, sentAt: now })
      })
      case 'leave': return this.request(replica, () => this.postgres.leave(effect.id), () => {})
      case 'drop': case 'dropAll': case 'abandon':
    }
  }

  // A primary whose standby has been promoted cannot commit any more; reading it still can.
  #renew (replica: ModelReplica, renewal: Extract<WindowEffect, { kind: 'renew' }>): RenewalAnswer | undefined {
    if (replica.oldPrimary === undefined) return this.postgres.renew(renewal, this.#time)
    if (this.#options.renewalsOnlyRead !== true) return undefined
    return { alive: true, ...replica.oldPrimary.readLog(renewal.applied, renewal.rowsMax), databaseTime: this.#time }
  }

  #join (replica: ModelReplica, fresh: boolean): void {
    if (!this.guards.idsFresh) replica.id = 'everyone'
    else if (fresh || replica.id === undefined) replica.id = `replica ${replica.index}, id ${++this.#ids}`
    const id = replica.id as string
    let isAnswered = false
    const joined = () => {
      if (isAnswered) return
      isAnswered = true
      this.tell(replica, { kind: 'joined', id, seen })
    }
    let seen: ReturnType<ModelPostgres['renew']> | undefined
    const commit = () => this.request(replica, () => this.postgres.join(id, windowMs), joined)
    if (this.guards.joinedFirst) commit()
    else this.request(replica, () => { seen = { alive: true, ...this.postgres.readLog(0, 4), databaseTime: this.#time } }, commit)
    replica.after(this.#time, 300, () => {
      if (isAnswered) return
      isAnswered = true
      this.tell(replica, { kind: 'joinFailed' })
    })
  }

  #announce (from: ModelReplica, { change }: Commit): void {
    const event: WindowEvent = { kind: 'hint', change, timeline: from.state.timeline }
    this.tell(from, event)
    this.published.push({ from, event })
    for (const replica of this.replicas) {
      if (replica !== from) this.hint(replica, event)
    }
  }

  hint (replica: ModelReplica, event: WindowEvent): void {
    if (this.hintsCut || replica.isDeaf) return
    const { incarnation } = replica
    this.#send(() => {
      if (replica.incarnation === incarnation) this.#within(replica, () => this.tell(replica, event))
    })
  }

  #earlySeq (): number {
    this.#early = Math.max(this.#early, this.postgres.seq) + 1
    return this.#early
  }

  #call (replica: ModelReplica): void {
    if (replica.isCalling) return
    replica.isCalling = true
    const call = ++replica.calls
    const sentAt = replica.clock(this.#time)
    this.request(replica, () => this.postgres.living(), (members) => {
      if (replica.calls === call) replica.isCalling = false
      this.#take(replica, { sentAt, answeredAt: replica.clock(this.#time), members })
    })
    replica.after(this.#time, callTimeoutMs, () => {
      if (replica.calls === call) replica.isCalling = false
    })
  }

  #take (replica: ModelReplica, roll: Roll): void {
    this.#settle(replica, roll)
    replica.known = new Set(roll.members.map((member) => member.id))
    const { sightings, silent } = sight(replica.sightings, roll, { guards: this.guards, gapMaxMs: callTimeoutMs + keepEveryMs })
    replica.sightings = sightings
    for (const { id, renewals } of silent) {
      const expected = this.guards.reapedIfSilent ? renewals : undefined
      this.request(replica, () => this.postgres.reap(id, expected), () => {})
    }
    if (replica.waits.length > 0) replica.after(this.#time, callEveryMs, () => this.#call(replica))
  }

  #keep (replica: ModelReplica): void {
    replica.after(this.#time, keepEveryMs, () => {
      this.#call(replica)
      this.#keep(replica)
    })
  }

  #settle (replica: ModelReplica, roll: Roll | undefined): void {
    const now = replica.clock(this.#time)
    for (const revoking of [...replica.waits]) {
      const path = settled(revoking.wait, now, roll, this.guards)
      if (path === undefined) continue
      replica.waits.splice(replica.waits.indexOf(revoking), 1)
      revoking.returned(path)
    }
  }

  #return (commit: Commit, path: 'fast' | 'slow'): void {
    this.returns[path]++
    this.postgres.versions.forEach((versions, key) => {
      const made = versions.find((version) => version.seq === commit.seq)
      const before = this.#returned.get(key)
      if (made !== undefined && concerns(commit.change.target, made.record) && made.version > (before?.version ?? 0)) this.#returned.set(key, made)
    })
    this.probeAll()
  }
}
