import type { ChangeTarget } from '../../src/core/lookup.ts'
import type { Terms } from '../../src/core/window/judge.ts'
import type { Announcement, RenewalAnswer, WindowEffect, WindowEvent } from '../../src/core/window/step.ts'
import type { Acknowledgement } from '../../src/core/window/announcements.ts'
import type { Roll, Wait } from '../../src/core/window/waits.ts'
import { concerns, digests, ModelPostgres, type Asked, type Commit, type KeyVersion, type Mistakes } from './model-postgres.ts'
import { ModelReplica, type Copy, type Waiting } from './model-replica.ts'
import type { Protocol } from './protocol.ts'

export interface WorldOptions {
  readonly seed: number
  readonly protocol: Protocol
  readonly mistakes?: Mistakes
  /** 3 */
  readonly replicas?: number
  /** 4 */
  readonly rowsMax?: number
  /** 300 */
  readonly renewalTimeoutMs?: number
  /** Rates of the replicas' clocks; drawn from the seed if not given. */
  readonly rates?: readonly number[]
  /** One way of a message takes up to 2 ms times this. 1. */
  readonly slowness?: number
  /** Whether announcements travel. */
  readonly announcements?: boolean
  /** Replicas that begin on a copy of the database, with the same Redis, as soon as `clone` makes one. 0. */
  readonly clones?: number
}

interface Message {
  readonly at: number
  readonly run: () => void
}

type Told<T> = T extends WindowEvent ? Omit<T, 'fresh'> : never

export class Violation extends Error {}

export const windowMs = 1000
const keepEveryMs = windowMs / 4
const callTimeoutMs = 300
const againMs = 50

/**
 * Replicas that run the real protocol over a model of Postgres, of Redis, of the network and of time. Every cache is a liar: wherever
 * a request is answered, it is answered from whatever old row would do the most harm, out of all that were ever read.
 */
export class World {
  readonly protocol: Protocol
  readonly mistakes: Mistakes
  readonly replicas: ModelReplica[]
  readonly postgres: ModelPostgres
  readonly #options: WorldOptions
  /** On their way, the one that arrives first at the front. */
  readonly #messages: Message[] = []
  /** By database and key: the changes that have returned. */
  readonly #returned = new Map<ModelPostgres, Map<number, Array<{ version: KeyVersion, asked: Asked }>>>()
  /** What Redis was ever given, by the label and the key of the HMAC; it may answer with any of it. */
  readonly #redis = new Map<string, Map<string, Copy>>()
  /** The state that the primary has confirmed to anybody: what a synchronous standby has at least. */
  #confirmed: ModelPostgres
  #confirmedAt = 0
  #writes = 0
  #time = 0
  #names = 0
  readonly #slowness: number
  #unborn: ModelReplica[]
  #random: number
  #early = 0
  /** Answers of statements, by their kind, that a driver may give once more. */
  readonly #answers = new Map<string, unknown>()
  /** Whether the driver gives the next answers of these statements to others. */
  swaps = new Set<'roll' | 'renewal'>()
  isDown = false
  announcementsCut = false
  returns = { fast: 0, slow: 0 }
  readonly published: Array<{ from: ModelReplica, announcement: Announcement }> = []

  constructor (options: WorldOptions) {
    this.#options = options
    this.protocol = options.protocol
    this.mistakes = options.mistakes ?? {}
    this.#random = options.seed | 0
    this.postgres = new ModelPostgres(this.mistakes)
    this.#confirmed = this.postgres.copy()
    const terms: Terms = { windowMs, renewalTimeoutMs: options.renewalTimeoutMs ?? 300, rowsMax: options.rowsMax ?? 4 }
    const make = (i: number, postgres: ModelPostgres) => new ModelReplica(i, this.protocol, terms, {
      rate: options.rates?.[i] ?? [0.99, 1, 1.01][this.draw(3)] as number,
      offset: this.draw(1000),
      postgres
    })
    const count = options.replicas ?? 3
    this.replicas = Array.from({ length: count }, (_, i) => make(i, this.postgres))
    this.#slowness = options.slowness ?? 1
    this.announcementsCut = options.announcements === false
    for (const replica of this.replicas) this.boot(replica)
    this.#unborn = Array.from({ length: options.clones ?? 0 }, (_, i) => make(count + i, this.postgres))
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
      const [message] = this.#messages
      const isDue = message !== undefined && message.at <= end
      const replica = this.#firstTimer(isDue ? message.at : end)
      if (replica !== undefined) this.#runTimers(replica)
      else if (isDue) this.#deliver(message)
      else break
    }
    this.#time = Math.max(this.#time, end)
  }

  /** The true time of the next end of a window or of a wait: where mistakes of a millisecond show. */
  nextEdge (): number {
    let edge = Infinity
    for (const replica of this.replicas) {
      const ends = [replica.state.windowEnd, ...replica.waits.map(({ wait }) => this.protocol.slowAt(wait.change))]
      for (const end of ends) {
        const time = replica.timeOf(end)
        if (time > this.#time) edge = Math.min(edge, time)
      }
    }
    return edge
  }

  tell (replica: ModelReplica, told: Told<WindowEvent>): void {
    const now = replica.clock(this.#time)
    const before = this.#labelOf(replica)
    const [state, effects] = this.protocol.step(replica.state, { ...told, fresh: `name ${++this.#names}` } as WindowEvent, now)
    replica.state = state
    if (effects.some(({ kind }) => kind === 'dropAll')) {
      replica.memory.clear()
      replica.generation = {}
      replica.sightings = this.protocol.noSightings
      replica.epoch++
    }
    if (this.#labelOf(replica) !== before) replica.epoch++
    for (const effect of effects) this.#carryOut(replica, effect)
    if (told.kind === 'renewed') {
      this.read(replica)
      this.probe(replica)
    }
  }

  /** A change through this replica: commit, announcement, wait. What the key service does. */
  change (replica: ModelReplica, target: ChangeTarget, asked: Asked): void {
    const { postgres } = replica
    const begunAt = replica.clock(this.#time)
    const { timeline, serverStart } = postgres
    const answered = (commit: Commit) => {
      // The connection was lost to a failover: nobody knows whether it was committed, and nobody is told so.
      if (timeline !== postgres.timeline || serverStart !== postgres.serverStart || replica.postgres !== postgres) return
      this.#inForce(replica, commit, this.mistakes.waitsFromRequest === true ? begunAt : replica.clock(this.#time))
    }
    const commit = () => {
      for (const each of this.replicas) this.read(each)
      return (this.mistakes.repeatsOnlyRead === true && asked.action === 'revoke' ? postgres.revoked(target) : undefined) ?? postgres.change(target, asked)
    }
    if (this.mistakes.drawsPositionsEarly !== true) return this.request(replica, commit, answered, ({ isReadOnly }) => isReadOnly !== true)
    let allotted = 0
    this.request(replica, () => { allotted = this.#earlySeq(postgres) }, () => {
      this.request(replica, () => postgres.change(target, asked, allotted), answered)
    })
  }

  /** The replica reads all keys at this moment, for its memory and for Redis. */
  read (replica: ModelReplica): void {
    const { postgres, state } = replica
    if (this.isDown || replica.isPaused || state.phase !== 'member' || state.history === undefined || replica.holdsRequests || replica.holdsAnswers) return
    // A read from where the renewals have not been is refused (R0).
    if (this.protocol.placeOf(state.history) !== this.protocol.placeOf(postgres)) return
    const asof = this.mistakes.keepsUnprovenPositions === true ? postgres.seq : Math.min(postgres.seq, state.applied)
    const label = this.protocol.isOpen(state, replica.clock(this.#time)) ? this.#labelOf(replica) : undefined
    const read = `${postgres.content} ${asof} ${label} ${replica.epoch}`
    if (read === replica.lastRead) return
    replica.lastRead = read
    for (const [key, versions] of postgres.versions.entries()) {
      const version = versions.at(-1) as KeyVersion
      const copy: Copy = { version, asof }
      const name = put(replica.memory, key, copy)
      this.#remember(replica, name, copy)
      if (label === undefined) continue
      const rows = this.#redis.get(label) ?? new Map<string, Copy>()
      this.#redis.set(label, rows)
      put(rows, key, copy)
    }
  }

  /** A connection sends a token, another one in each epoch, and remembers its key from then on. */
  #remember (replica: ModelReplica, name: string, copy: Copy): void {
    const connection = `${name}/${replica.epoch}`
    const remembered = replica.memos.get(connection) ?? { name, memo: new this.protocol.TokenMemo<Copy>({ forMs: Infinity }) }
    remembered.memo.keep(name, copy, replica.clock(this.#time), replica.generation)
    replica.memos.set(connection, remembered)
  }

  /** Every request that arrives now, answered from the most harmful rows. */
  probe (replica: ModelReplica): void {
    if (replica.isPaused || replica.state.phase === 'left') return
    const returned = this.#returned.get(replica.postgres)
    if (returned === undefined) return
    const now = replica.clock(this.#time)
    const label = this.#labelOf(replica)
    const look = (name: string, { version, asof }: Copy) => {
      if (version.record.revokedAt !== null) return
      const key = parseInt(name)
      const broken = returned.get(key)?.find((change) => this.#forbids(replica.postgres, key, change, version))
      if (broken !== undefined && this.#accepts(replica, { record: version.record, asof }, now, name)) {
        throw new Violation(`replica ${replica.index} accepted key ${key} as of ${asof} after the change ${broken.version.seq} had returned`)
      }
    }
    for (const [name, copy] of replica.memory) look(name, copy)
    for (const { name, memo } of replica.memos.values()) {
      const copy = memo.recall(name, now, replica.generation)
      if (copy !== undefined) look(name, copy)
    }
    for (const [name, copy] of label === undefined ? [] : this.#redis.get(label) ?? []) if (copy.asof <= replica.state.applied) look(name, copy)
    // One that was replaced shows what it had then.
    if ('isMute' in replica.postgres) return
    for (const [key, changes] of returned) {
      const newest = (replica.postgres.versions[key] as readonly KeyVersion[]).at(-1) as KeyVersion
      const lost = changes.find(({ version }) => version.version > newest.version)
      if (lost !== undefined) throw new Violation(`the change ${lost.version.seq} had returned and is lost`)
    }
  }

  probeAll (): void {
    for (const replica of this.replicas) {
      this.read(replica)
      this.probe(replica)
    }
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

  /** The primary is replaced by its synchronous standby: it has all that was ever confirmed, and perhaps no more. `behind` go on talking to the one that was. */
  failOver (...behind: ModelReplica[]): void {
    const old = this.postgres.copy()
    Object.assign(old, { timeline: this.postgres.timeline, serverStart: this.postgres.serverStart, isMute: true })
    for (const replica of behind) replica.postgres = old
    if (behind.length > 0) {
      const returned = this.#returned.get(this.postgres) ?? new Map<number, Array<{ version: KeyVersion, asked: Asked }>>()
      for (const postgres of [this.postgres, old]) this.#returned.set(postgres, returned)
    }
    this.postgres.become(this.#confirmed)
    this.postgres.timeline += "'"
    this.postgres.serverStart += "'"
  }

  /** As it is now: a dump. */
  dump (): ModelPostgres {
    return this.postgres.copy()
  }

  /** The dump is restored in place, on the same server: that takes W, and nobody is answered meanwhile. What had returned after the dump is lost on purpose. */
  restore (dump: ModelPostgres): void {
    this.isDown = true
    this.advance(this.protocol.waitOutMs(windowMs) * 1.02 + 60)
    this.#setBack(dump)
    this.isDown = false
  }

  /** An asynchronous standby, which had no more than this, takes over at once: confirmed changes are lost. */
  promote (standby: ModelPostgres): void {
    this.#setBack(standby)
    this.postgres.timeline += '"'
    this.postgres.serverStart += '"'
  }

  /** A copy of the database, on the same server and Redis, and replicas that begin there. */
  clone (): ModelPostgres {
    const clone = this.postgres.copy()
    Object.assign(clone, { timeline: this.postgres.timeline, serverStart: this.postgres.serverStart })
    for (const replica of this.#unborn.splice(0)) {
      replica.postgres = clone
      this.replicas.push(replica)
      this.boot(replica)
    }
    return clone
  }

  /** Ends every fault, and time enough for everything to come to its end. */
  heal (): void {
    this.announcementsCut = this.#options.announcements === false
    this.isDown = false
    this.swaps.clear()
    for (const replica of this.replicas) {
      this.resume(replica)
      this.release(replica)
      replica.isDeaf = false
      if ('isMute' in replica.postgres) replica.postgres = this.postgres
    }
    this.advance(5 * windowMs)
    this.probeAll()
    for (const replica of this.replicas) {
      if (replica.waits.length > 0) throw new Violation(`a change at replica ${replica.index} never returned`)
      if (replica.state.phase === 'member' && !this.protocol.isOpen(replica.state, replica.clock(this.#time))) throw new Violation(`replica ${replica.index} did not heal`)
      if (replica.state.phase === 'member' && this.#labelOf(replica) === undefined) throw new Violation(`replica ${replica.index} got no lineage`)
      if (replica.state.held.length > 0) throw new Violation(`replica ${replica.index} still holds revocations`)
    }
  }

  /** Sends a transaction to the primary. It may be held on its way, and so may its answer, for as long as the world likes. */
  request<T> (replica: ModelReplica, run: () => T, answered: (answer: T) => void, isWrite: (answer: T) => boolean = () => true): void {
    const { incarnation, postgres } = replica
    const back = (answer: T, confirm: () => void) => () => {
      confirm()
      if (replica.incarnation === incarnation) this.#within(replica, () => answered(answer))
    }
    this.#pass(replica, 'holdsRequests', () => {
      // Mute: it was replaced, and cannot commit any more.
      if (this.isDown || ('isMute' in postgres && this.mistakes.renewalsOnlyRead !== true)) return
      const answer = run()
      // What only reads does not wait for the standby, and shows nothing of it.
      this.#pass(replica, 'holdsAnswers', back(answer, isWrite(answer) ? this.#confirmer(postgres) : () => {}))
    })
  }

  announce (from: ModelReplica, news: Omit<Announcement, 'label' | 'from'>): void {
    const { id } = from.state
    if (id === undefined) return
    const announcement: Announcement = { ...news, label: this.#labelOf(from), from: id }
    this.tell(from, { kind: 'announced', announcement })
    this.published.push({ from, announcement })
    for (const replica of this.replicas) {
      if (replica !== from) this.hear(replica, from, announcement)
    }
  }

  /** One message on its way. Only replicas that know of the same lineage are on the same channel. */
  hear (replica: ModelReplica, from: ModelReplica, announcement: Announcement): void {
    if (this.announcementsCut || replica.isDeaf || from.isDeaf) return
    const { incarnation } = replica
    const channel = from.state.history?.lineage
    this.#send(() => {
      if (replica.incarnation !== incarnation || replica.state.history === undefined || replica.state.history.lineage !== channel) return
      const isOurs = this.#labelOf(replica) !== undefined && announcement.label !== undefined
      this.#within(replica, () => this.tell(replica, isOurs ? { kind: 'announced', announcement } : { kind: 'called' }))
    })
  }

  #labelOf ({ state }: ModelReplica): string | undefined {
    return this.protocol.labelOf(state)
  }

  #setBack (content: ModelPostgres): void {
    this.postgres.become(content)
    this.#confirmed = this.postgres.copy()
    this.#confirmedAt = ++this.#writes
    const returned = this.#returned.get(this.postgres)
    for (const [key, changes] of returned ?? []) {
      returned?.set(key, changes.filter(({ version }) => this.postgres.versions[key]?.includes(version)))
    }
  }

  /** What this write makes durable once its answer is there. */
  #confirmer (postgres: ModelPostgres): () => void {
    if (postgres !== this.postgres) return () => {}
    const number = ++this.#writes
    const state = this.postgres.copy()
    return () => {
      if (number <= this.#confirmedAt) return
      this.#confirmedAt = number
      this.#confirmed = state
    }
  }

  /** Whether the change, which has returned, forbids that this older version is accepted now. */
  #forbids (postgres: ModelPostgres, key: number, { version, asked }: { version: KeyVersion, asked: Asked }, accepted: KeyVersion): boolean {
    if (accepted.version >= version.version) return false
    const expiry = asked.action === 'change' ? asked.expiresAt : undefined
    if (expiry === undefined) return true
    if (expiry === null || expiry > this.#time) return false
    // A later change may allow more.
    return (postgres.versions[key] as readonly KeyVersion[]).every((later) => later.version <= version.version || (later.record.expiresAt !== null && later.record.expiresAt <= this.#time))
  }

  #accepts (replica: ModelReplica, entry: { record: KeyVersion['record'], asof: number }, now: number, name: string): boolean {
    const { shown } = replica.state
    const { expiresAt } = entry.record
    if (expiresAt !== null && !(shown !== undefined && shown.databaseTime + this.protocol.longestMs(now - shown.at) < expiresAt)) return false
    if (this.mistakes.checksInTwoTurns !== true) return this.protocol.judge(replica.state, entry, now, false) === 'current'
    if (replica.judgedBefore.has(name) && this.protocol.isOpen(replica.state, now)) return true
    if (this.protocol.judgeFreshness(replica.state, entry, false) === 'current') replica.judgedBefore.add(name)
    return false
  }

  #carryOut (replica: ModelReplica, effect: WindowEffect): void {
    const { postgres, state: { id } } = replica
    switch (effect.kind) {
      case 'wakeAt': replica.wakeAt = effect.at; return
      case 'join': return this.#join(replica, effect)
      case 'renew': return this.request(replica, () => this.#renew(replica, effect), (answer) => {
        this.tell(replica, { kind: 'renewed', number: effect.number, answer: this.#swapped('renewal', answer) })
      })
      case 'leave': return this.request(replica, () => postgres.leave(effect.id), () => {})
      case 'acknowledge': {
        const acknowledgement: Acknowledgement = { from: id as string, label: effect.label, seq: effect.seq, nonce: effect.nonce }
        return this.#acknowledge(replica, effect.to, acknowledgement)
      }
      case 'putBack': {
        const own = { id: id as string, beats: replica.state.beats }
        let isAnswered = false
        const answered = (commits: Commit[] | undefined) => {
          if (isAnswered) return
          isAnswered = true
          for (const commit of commits ?? []) this.#inForce(replica, commit, replica.clock(this.#time))
          this.tell(replica, { kind: 'putBack', number: effect.number, isDone: commits !== undefined })
        }
        replica.after(this.#time, callTimeoutMs, () => answered(undefined))
        return this.request(replica, () => postgres.putBack(own, effect), answered)
      }
      case 'drop': case 'dropAll': case 'abandon': case 'refuse': case 'contradicted':
    }
  }

  #renew ({ postgres }: ModelReplica, renewal: Extract<WindowEffect, { kind: 'renew' }>): RenewalAnswer {
    // A primary whose standby has been promoted cannot commit any more; reading it still can.
    if (!('isMute' in postgres)) return postgres.renew(renewal, this.#time)
    return { row: 'alive', lineage: postgres.members.get(renewal.id)?.lineage, ...postgres.readLog(renewal.applied, renewal.rowsMax), databaseTime: this.#time, windowMs: postgres.windowMs }
  }

  /** The driver gives an answer of before to a statement of the same kind; whoever looks for proof does not believe it. */
  #swapped<T> (kind: 'roll' | 'renewal', answer: T): T {
    const before = this.#answers.get(kind) as T | undefined
    this.#answers.set(kind, answer)
    return this.swaps.has(kind) && this.mistakes.believesSwappedAnswers === true && before !== undefined ? before : answer
  }

  #join (replica: ModelReplica, { id: fresh, formerId }: Extract<WindowEffect, { kind: 'join' }>): void {
    const { postgres } = replica
    const id = this.mistakes.sharesId === true ? 'everyone' : fresh
    if (id !== fresh) replica.state = { ...replica.state, id }
    let isAnswered = false
    let news: ReturnType<ModelPostgres['readLog']> | undefined
    const joined = () => {
      if (isAnswered) return
      isAnswered = true
      this.tell(replica, { kind: 'joined', id })
      const { renewing } = replica.state
      if (news === undefined || renewing === undefined) return
      this.tell(replica, { kind: 'renewed', number: renewing.number, answer: { row: 'alive', lineage: undefined, ...news, databaseTime: this.#time, windowMs } })
    }
    const commit = () => this.request(replica, () => postgres.join({ id, formerId, windowMs }), joined)
    if (this.mistakes.joinsWithOldNews === true) this.request(replica, () => { news = postgres.readLog(0, 4) }, commit)
    else commit()
    replica.after(this.#time, 300, () => {
      if (isAnswered) return
      isAnswered = true
      this.tell(replica, { kind: 'joinFailed' })
    })
  }

  #inForce (replica: ModelReplica, commit: Commit, committedAt: number): void {
    const answeredAt = replica.clock(this.#time)
    const returned = (path: 'fast' | 'slow') => {
      const tookMs = replica.clock(this.#time) - answeredAt
      if (tookMs > this.protocol.waitOutMs(commit.windowMs) + 1 && this.#time - replica.resumedAt > 0.1) throw new Violation(`change ${commit.seq} returned after ${tookMs} ms`)
      this.#return(replica.postgres, commit, path)
    }
    const news = { change: commit.change, nonce: undefined, renew: 'none' as const }
    if (!this.#waitsFor(commit)) {
      this.announce(replica, news)
      return returned('fast')
    }
    const wait: Wait = { change: { ...commit.change, committedAt, windowMs: commit.windowMs }, nonce: `wait ${++this.#names}`, acknowledgedBy: new Set() }
    const waiting: Waiting = { wait, returned }
    replica.waits.push(waiting)
    this.announce(replica, { ...news, nonce: wait.nonce })
    this.#settle(replica)
    replica.after(this.#time, this.protocol.waitOutMs(commit.windowMs), () => this.#settle(replica))
    this.#call(replica)
    this.#askAgain(replica, waiting)
  }

  /** What the key service decides; only an expiry can be asked for that takes nothing away. */
  #waitsFor ({ asked, found, wasDone, isReadOnly }: Commit): boolean {
    if (wasDone && (this.mistakes.repeatsReturnAtOnce === true)) return false
    if (isReadOnly === true || asked.action === 'revoke' || asked.expiresAt === undefined) return true
    return this.protocol.takesAway({ expiresAt: asked.expiresAt, found } as { expiresAt: number | null })
  }

  #askAgain (replica: ModelReplica, waiting: Waiting): void {
    replica.after(this.#time, againMs, () => {
      if (!replica.waits.includes(waiting)) return
      this.announce(replica, { change: waiting.wait.change, nonce: waiting.wait.nonce, renew: 'all' })
      this.#call(replica)
      this.#askAgain(replica, waiting)
    })
  }

  #acknowledge (replica: ModelReplica, to: string, acknowledgement: Acknowledgement): void {
    const maker = this.replicas.find(({ state }) => state.id === to)
    if (maker === replica) return this.#acknowledged(replica, acknowledgement)
    if (maker === undefined || this.announcementsCut || replica.isDeaf || maker.isDeaf) return this.tell(replica, { kind: 'acknowledgementLost', seq: acknowledgement.seq })
    const { incarnation } = maker
    const arrive = () => {
      if (maker.incarnation === incarnation && maker.state.id === to && this.#labelOf(maker) === acknowledgement.label) this.#within(maker, () => this.#acknowledged(maker, acknowledgement))
    }
    this.#send(arrive)
    // Redis is free to deliver it once more, much later.
    if (this.draw(4) === 0) this.#post(this.#time + this.draw(1500), arrive)
  }

  #acknowledged (replica: ModelReplica, acknowledgement: Acknowledgement): void {
    for (const waiting of replica.waits) waiting.wait = this.protocol.acknowledgedBy(waiting.wait, acknowledgement)
    this.#settle(replica)
  }

  #earlySeq (postgres: ModelPostgres): number {
    this.#early = Math.max(this.#early, postgres.seq) + 1
    return this.#early
  }

  #call (replica: ModelReplica): void {
    const { postgres, state: { id, beats, phase } } = replica
    if (replica.isCalling || phase !== 'member') return
    replica.isCalling = true
    const call = ++replica.calls
    const sentAt = replica.clock(this.#time)
    this.request(replica, () => postgres.roll(), (answer) => {
      if (replica.calls === call) replica.isCalling = false
      const roll = this.#swapped('roll', answer)
      const mine = roll.members.find((member) => member.id === id)
      const isProven = mine !== undefined && (beats.includes(mine.beat) || replica.state.beats.includes(mine.beat))
      if (!isProven && this.mistakes.believesSwappedAnswers !== true && this.mistakes.ignoresBeats !== true && this.mistakes.sharesId !== true) return
      this.#take(replica, { ...roll, sentAt, answeredAt: replica.clock(this.#time) })
    }, () => false)
    replica.after(this.#time, callTimeoutMs, () => {
      if (replica.calls === call) replica.isCalling = false
    })
  }

  #take (replica: ModelReplica, roll: Roll): void {
    const { postgres } = replica
    replica.roll = roll
    this.tell(replica, { kind: 'counted', members: roll.members.length })
    this.#settle(replica)
    const { sightings, silent } = this.protocol.sight(replica.sightings, roll, callTimeoutMs + keepEveryMs)
    replica.sightings = sightings
    for (const { id, beat } of silent) this.request(replica, () => postgres.countOut(id, beat), () => {})
    const { id, beats, lineage } = replica.state
    if (id === undefined || replica.state.phase !== 'member') return
    const own = { id, beats }
    const until = this.protocol.admitsUntil(replica.state, replica.clock(this.#time)) ?? (this.mistakes.admitsLate === true || this.mistakes.admitsUnproven === true ? Infinity : undefined)
    if ((lineage === roll.lineage || this.mistakes.admitsUnproven === true) && until !== undefined && roll.members.some((member) => member.lineage === undefined)) {
      this.request(replica, () => postgres.admit(own, until, this.#time), () => {})
    }
    if (lineage === undefined && this.protocol.isOpen(replica.state, replica.clock(this.#time)) && roll.members.every((member) => member.lineage !== roll.lineage)) {
      this.request(replica, () => postgres.found(own, `L${++this.#names}`), () => this.tell(replica, { kind: 'called' }))
    }
  }

  #keep (replica: ModelReplica): void {
    replica.after(this.#time, keepEveryMs, () => {
      this.#call(replica)
      this.#keep(replica)
    })
  }

  #settle (replica: ModelReplica): void {
    const now = replica.clock(this.#time)
    for (const waiting of [...replica.waits]) {
      const path = this.protocol.settled(waiting.wait, now, replica.roll, replica.state.slowUntil)
      if (path === undefined) continue
      replica.waits.splice(replica.waits.indexOf(waiting), 1)
      waiting.returned(path)
    }
  }

  #return (postgres: ModelPostgres, commit: Commit, path: 'fast' | 'slow'): void {
    this.returns[path]++
    const returned = this.#returned.get(postgres) ?? new Map<number, Array<{ version: KeyVersion, asked: Asked }>>()
    this.#returned.set(postgres, returned)
    postgres.versions.forEach((versions, key) => {
      const version = versions.find(({ seq }) => seq === commit.seq)
      if (version === undefined || !concerns(commit.change.target, version.record)) return
      returned.set(key, [...returned.get(key) ?? [], { version, asked: commit.asked }])
    })
    this.probeAll()
  }

  #pass (replica: ModelReplica, hold: 'holdsRequests' | 'holdsAnswers', run: () => void): void {
    const arrive = () => {
      if (replica[hold]) replica.held.push(run)
      else run()
    }
    this.#send(arrive)
  }

  #send (run: () => void): void {
    this.#post(this.#time + (1 + this.draw(20)) / 10 * this.#slowness, run)
  }

  /** Those of one moment arrive in the order in which they were sent. */
  #post (at: number, run: () => void): void {
    let place = this.#messages.length
    while (place > 0 && (this.#messages[place - 1] as Message).at > at) place--
    this.#messages.splice(place, 0, { at, run })
  }

  #within (replica: ModelReplica, run: () => void): void {
    if (replica.isPaused) replica.inbox.push(run)
    else run()
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
    for (const timer of replica.takeDue(now)) timer.run()
    if (replica.wakeAt <= now) this.tell(replica, { kind: 'tick' })
  }

  #deliver (message: Message): void {
    this.#messages.shift()
    this.#time = Math.max(this.#time, message.at)
    message.run()
  }
}

/** The younger a copy says that it is, the more harm it does: one of each version is enough. */
function put (copies: Map<string, Copy>, key: number, copy: Copy): string {
  const name = `${key}/${copy.version.version}/${copy.version.seq}`
  const before = copies.get(name)
  if (before === undefined || before.asof < copy.asof) copies.set(name, copy)
  return name
}

export { digests }
