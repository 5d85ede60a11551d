import { silentLogger } from '../../src/core/logger.ts'
import { Acknowledgements } from '../../src/core/window/acknowledgements.ts'
import { isWatcher, renewalPeriodMs, rollEveryMs } from '../../src/core/window/durations.ts'
import { initialState, labelOf, type WindowState } from '../../src/core/window/judge.ts'
import { step, type Announcement, type WindowEffect, type WindowEvent } from '../../src/core/window/step.ts'
import type { WindowStore } from '../../src/core/window/store.ts'
import { digests, ModelPostgres } from '../../test/simulation/model-postgres.ts'
import type { Costs } from './costs.ts'
import { Resource, VirtualTime } from './virtual-time.ts'

/** Where replicas are: the time of a packet there and back to Postgres and Redis, which are in one place. */
export interface Region {
  readonly name: string
  readonly roundTripMs: number
}

export interface FleetOptions {
  readonly replicas: number
  /** D */
  readonly windowMs: number
  /** Replicas are in these by turns; the one that is asked is in the region `askedIn`. */
  readonly regions: readonly Region[]
  readonly askedIn: number
  readonly costs: Costs
}

/** What was done since the counting began. */
export interface Work {
  readonly seconds: number
  readonly renewals: number
  readonly rolls: number
  readonly statements: number
  /** Of these, for changes: their own, the readings of the list by the replica that is asked, and renewals before their time. */
  readonly forChanges: number
  readonly postgresMs: number
  readonly redisMs: number
  readonly askedMs: number
  readonly renewalsLate: number
}

interface Replica {
  readonly index: number
  readonly oneWayMs: number
  readonly loop: Resource
  state: WindowState
  renewedAt: number
  cancelWake: () => void
}

type Told<T> = T extends WindowEvent ? Omit<T, 'fresh'> : never

/**
 * A fleet in virtual time. Replicas run the real protocol, the one that is asked also the real waiting for acknowledgements; Postgres is the
 * model of the simulation, and statements, messages and turns of event loops cost what `measureCosts` has measured.
 */
export class Fleet {
  readonly #options: FleetOptions
  readonly #time = new VirtualTime()
  readonly #postgres = new ModelPostgres({})
  readonly #postgresCores: Resource
  readonly #redis: Resource
  readonly #replicas: Replica[]
  readonly #asked: Replica
  readonly #acknowledgements: Acknowledgements
  #watchers: ReadonlySet<string> = new Set()
  #names = 0
  #counts = { renewals: 0, rolls: 0, statements: 0, forChanges: 0, renewalsLate: 0 }
  #from = { at: 0, postgresMs: 0, redisMs: 0, askedMs: 0 }

  constructor (options: FleetOptions) {
    this.#options = options
    const { replicas, windowMs, regions, askedIn, costs } = options
    this.#postgresCores = new Resource(this.#time, costs.postgresCores)
    this.#redis = new Resource(this.#time)
    this.#postgres.windowMs = windowMs
    this.#replicas = Array.from({ length: replicas }, (_, index) => ({
      index,
      oneWayMs: regions[(index + askedIn) % regions.length]!.roundTripMs / 2,
      loop: new Resource(this.#time),
      state: initialState({ windowMs, renewalTimeoutMs: 1000, rowsMax: 10_000 }),
      renewedAt: -Infinity,
      cancelWake () {}
    }))
    const asked = this.#asked = this.#replicas[0]!
    this.#acknowledgements = new Acknowledgements({
      store: { roll: () => this.#roll(asked) } as unknown as WindowStore,
      clock: this.#time,
      scheduler: this.#time,
      mode: 'all',
      log: silentLogger,
      pauseMaxMs: () => renewalPeriodMs(windowMs, asked.state.members),
      ownRow: () => ({ id: asked.state.id!, beats: asked.state.beats, isOwnBeat: () => true }),
      slowUntil: () => asked.state.slowUntil,
      announce: (news) => { this.#announce(asked, news) },
      counted: ({ members }) => { this.#tell(asked, { kind: 'counted', members: members.length }) }
    })
  }

  /** Lets the fleet run for so long that nothing is left of its beginning. Resolves to whether it bears its own renewals: whether every window is open. */
  async start (): Promise<boolean> {
    for (const replica of this.#replicas) this.#tell(replica, { kind: 'start' })
    const first = this.#replicas.map(({ state }) => ({ id: state.id! })).sort((one, other) => one.id < other.id ? -1 : 1).slice(0, 64)
    this.#watchers = new Set(first.map(({ id }) => id).filter((id) => isWatcher(id, first)))
    await this.#time.pass(2 * this.#options.windowMs)
    return this.#replicas.every(({ state }) => state.windowEnd > this.#time.monotonicMs())
  }

  /** Nobody asks anything. */
  async rest (seconds: number): Promise<Work> {
    this.#count()
    await this.#time.pass(seconds * 1000)
    return this.#work()
  }

  /** Revocations, so many at a time, until there were `count`; their times, as the caller of the one replica sees them. */
  async revoke (count: number, atATime: number): Promise<Work & { readonly ms: readonly number[], readonly slow: number }> {
    this.#count()
    const ms: number[] = []
    let [begun, slow] = [0, 0]
    const worker = async (): Promise<void> => {
      while (begun++ < count) {
        const start = this.#time.monotonicMs()
        if (await this.#revokeOne() === 'slow') slow++
        ms.push(this.#time.monotonicMs() - start)
      }
    }
    for (let i = 0; i < atATime; i++) worker().catch((error: unknown) => { throw error })
    await this.#time.until(() => ms.length === count)
    return { ...this.#work(), ms, slow }
  }

  async #revokeOne (): Promise<string> {
    const { costs, windowMs } = this.#options
    const target = { kind: 'key' as const, digests: [digests[this.#names % digests.length]!] }
    const commit = await new Promise<ReturnType<ModelPostgres['change']>>((resolve) => {
      this.#counts.forChanges++
      this.#asked.loop.work(costs.changeLoopMs, () => {
        this.#statement(this.#asked, costs.changeMs, costs.commitMs, () => this.#postgres.change(target, { action: 'revoke' }), (commit) => {
          resolve(commit)
          this.#time.settled()
        })
      })
    })
    const committedAt = this.#time.monotonicMs()
    // The list of members has to be asked for later than that, and virtual time stands still while code runs.
    await new Promise<void>((resolve) => {
      this.#time.after(0.01, () => {
        resolve()
        this.#time.settled()
      })
    })
    return await this.#acknowledgements.inForce({ ...commit.change, windowMs, committedAt })
  }

  #count (): void {
    this.#counts = { renewals: 0, rolls: 0, statements: 0, forChanges: 0, renewalsLate: 0 }
    this.#from = { at: this.#time.monotonicMs(), postgresMs: this.#postgresCores.busyMs, redisMs: this.#redis.busyMs, askedMs: this.#asked.loop.busyMs }
  }

  #work (): Work {
    return {
      ...this.#counts,
      seconds: (this.#time.monotonicMs() - this.#from.at) / 1000,
      postgresMs: this.#postgresCores.busyMs - this.#from.postgresMs,
      redisMs: this.#redis.busyMs - this.#from.redisMs,
      askedMs: this.#asked.loop.busyMs - this.#from.askedMs
    }
  }

  #tell (replica: Replica, told: Told<WindowEvent>): void {
    const now = this.#time.monotonicMs()
    const [state, effects] = step(replica.state, { ...told, fresh: this.#fresh() } as WindowEvent, now)
    replica.state = state
    for (const effect of effects) this.#carryOut(replica, effect)
  }

  #carryOut (replica: Replica, effect: WindowEffect): void {
    const { costs, replicas, windowMs } = this.#options
    switch (effect.kind) {
      case 'join': {
        // All at once, and admitted: what a fleet that begins does is not what is measured.
        this.#postgres.members.set(effect.id, { acked: 0, beat: effect.id, lineage: this.#postgres.lineage, windowMs, isDead: false })
        this.#time.after(Math.random() * renewalPeriodMs(windowMs, replicas), () => {
          this.#tell(replica, { kind: 'joined', id: effect.id })
          this.#tell(replica, { kind: 'counted', members: replicas })
          this.#keepUp(replica, Math.random())
        })
        return
      }
      case 'renew': {
        this.#counts.renewals++
        const now = this.#time.monotonicMs()
        if (now - replica.renewedAt < 0.95 * renewalPeriodMs(windowMs, replica.state.members)) this.#counts.forChanges++
        replica.renewedAt = now
        const renew = () => this.#postgres.renew(effect, this.#time.monotonicMs())
        return this.#statement(replica, costs.renewalMs, costs.commitMs, renew, (answer) => { this.#tell(replica, { kind: 'renewed', number: effect.number, answer }) })
      }
      case 'acknowledge': {
        const { to, label, seq, nonce } = effect
        const acknowledgement = { from: replica.state.id!, label, seq, nonce }
        if (to === replica.state.id) return this.#acknowledgements.acknowledged(acknowledgement)
        replica.loop.work(costs.acknowledgeLoopMs, () => {
          this.#time.after(replica.oneWayMs, () => {
            this.#redis.work(costs.publishMs + costs.deliverMs, () => {
              this.#time.after(this.#asked.oneWayMs, () => {
                this.#asked.loop.work(costs.hearAcknowledgementLoopMs, () => {
                  this.#acknowledgements.acknowledged(acknowledgement)
                  this.#time.settled()
                })
              })
            })
          })
        })
        return
      }
      case 'abandon': { this.#counts.renewalsLate++; return }
      case 'wakeAt': {
        replica.cancelWake()
        if (effect.at !== Infinity) replica.cancelWake = this.#time.after(effect.at - this.#time.monotonicMs(), () => { this.#tell(replica, { kind: 'tick' }) })
      }
    }
  }

  #announce (replica: Replica, news: Pick<Announcement, 'change' | 'nonce' | 'renew'>): void {
    const { costs, replicas } = this.#options
    const announcement: Announcement = { ...news, label: labelOf(replica.state), from: replica.state.id! }
    this.#tell(replica, { kind: 'announced', announcement })
    replica.loop.work(costs.announceLoopMs, () => {
      this.#time.after(replica.oneWayMs, () => {
        this.#redis.work(costs.publishMs + replicas * costs.deliverMs, () => {
          for (const other of this.#replicas) {
            if (other === replica) continue
            this.#time.after(other.oneWayMs, () => { other.loop.work(costs.hearLoopMs, () => { this.#tell(other, { kind: 'announced', announcement }) }) })
          }
        })
      })
    })
  }

  /** The readings of the list of members by which silent ones are found. */
  #keepUp (replica: Replica, phase: number): void {
    const { replicas, costs, windowMs } = this.#options
    this.#time.after(rollEveryMs(windowMs, replicas, this.#watchers.has(replica.state.id!)) * phase, () => {
      this.#counts.rolls++
      this.#statement(replica, costs.rollMs + replicas * costs.rollMemberMs, 0, () => {}, () => { this.#keepUp(replica, 1) })
    })
  }

  #roll (replica: Replica): ReturnType<WindowStore['roll']> {
    const { replicas, costs } = this.#options
    this.#counts.rolls++
    this.#counts.forChanges++
    return new Promise((resolve) => {
      this.#statement(replica, costs.rollMs + replicas * costs.rollMemberMs, 0, () => this.#postgres.roll(), (roll) => {
        replica.loop.work(replicas * costs.rollMemberLoopMs, () => {
          resolve(roll)
          this.#time.settled()
        })
      })
    })
  }

  #statement<T> (replica: Replica, cpuMs: number, commitMs: number, act: () => T, answered: (answer: T) => void): void {
    this.#counts.statements++
    this.#time.after(replica.oneWayMs, () => {
      this.#postgresCores.work(cpuMs, () => {
        const answer = act()
        this.#time.after(commitMs + replica.oneWayMs, () => { replica.loop.work(this.#options.costs.statementLoopMs, () => { answered(answer) }) })
      })
    })
  }

  // In no order, as random ids are.
  #fresh (): string {
    return `${(++this.#names * 2654435761 >>> 0).toString(16).padStart(8, '0')}-${this.#names}`
  }
}
