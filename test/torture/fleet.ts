import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { startPostgres, startRedis, type PostgresServer, type RedisServer, type Teardowns } from '../support/servers.ts'
import { PgBouncer } from '../support/pgbouncer.ts'
import { startSentinels } from '../support/sentinel.ts'
import { freePort } from '../support/server-process.ts'
import { Changes } from './changes.ts'
import { Checker } from './checker.ts'
import { Churn } from './churn.ts'
import { KeyPool } from './key-pool.ts'
import { Latencies, waitOf } from './latencies.ts'
import { Ledger, type TrackedKey } from './ledger.ts'
import { Links, type RemoteLink } from './links.ts'
import { Load } from './load.ts'
import { Random } from './random.ts'
import { Recorder } from './recorder.ts'
import { Replica } from './replica.ts'
import { ReplicaClient } from './replica-client.ts'
import { listensOn } from './socket-owner.ts'
import { Troubles } from './troubles.ts'

/** `pooler`: PgBouncer in transaction mode. `sentinel`: a Redis with a standby, watched by three Sentinels, and no links to it. */
export type Stores = 'plain' | 'pooler' | 'sentinel'

export interface FleetOptions {
  /** The built service. */
  readonly main: string
  readonly seed: number
  readonly windowMs: number
  readonly verificationsPerSecond: number
  readonly changesPerSecond: number
  /** What stands between the replicas and their stores, beside links. `plain`. */
  readonly stores?: Stores
}

interface FleetStores {
  readonly postgres: PostgresServer
  readonly pooler: PgBouncer | undefined
  readonly redis: RedisServer
  readonly standby: RedisServer | undefined
  /** `REDIS_URL` where Sentinels watch. */
  readonly sentinels: string | undefined
  readonly links: Links
}

interface Place {
  readonly port: number
  readonly postgres: RemoteLink
  readonly redis: RemoteLink
  replica: Replica | undefined
  client: ReplicaClient | undefined
}

/** What the issue allows for healing. */
export const healMs = 2000
const liveKeys = 150
const pendingMax = 48

/** Three replicas with their stores and links, and a fourth place for a joiner; and everything that uses and watches them. */
export class Fleet {
  readonly windowMs: number
  /** For the faults and their order. What draws as often as time allows, as the load does, has a fork of it or its own: otherwise the seed would not repeat a run. */
  readonly random: Random
  /** The primary; a promotion replaces it. */
  postgres: PostgresServer
  readonly pooler: PgBouncer | undefined
  readonly redis: RedisServer
  readonly redisStandby: RedisServer | undefined
  readonly recorder = new Recorder()
  readonly ledger = new Ledger()
  readonly troubles = new Troubles(() => performance.now())
  readonly latencies: Latencies
  readonly pool: KeyPool
  readonly checker: Checker
  readonly changes: Changes
  readonly churn: Churn
  /** What went wrong apart from the verifications. */
  readonly faultsFound: string[] = []
  readonly #options: FleetOptions
  readonly #links: Links
  readonly #sentinels: string | undefined
  readonly #places = new Map<number, Place>()
  readonly #strangers = new Set<Replica>()
  readonly #servers = new Set<PostgresServer>()
  readonly #placeOfProcess: number[] = []
  readonly #managementToken = randomBytes(24).toString('hex')
  #load: Load | undefined
  #beacons: { readonly live: TrackedKey, readonly revoked: TrackedKey } | undefined

  static async start (t: Teardowns, options: FleetOptions): Promise<Fleet> {
    const [postgres, redis, standby] = await Promise.all([startPostgres(t), startRedis(t), options.stores === 'sentinel' ? startRedis(t) : undefined])
    const pooler = options.stores === 'pooler' ? await PgBouncer.start(t, postgres.url, { poolSize: 20 }) : undefined
    const sentinels = standby && await startSentinels(t, { master: redis, standby })
    const links = new Links()
    t.teardown(() => { links.close() })
    const fleet = new Fleet(options, { postgres, pooler, redis, standby, sentinels, links })
    t.teardown(async () => { await fleet.#end() })
    for (const place of [1, 2, 3, 4]) await fleet.#open(place)
    await Promise.all([1, 2, 3].map(async (place) => { await fleet.startReplica(place) }))
    await fleet.#begin()
    return fleet
  }

  private constructor (options: FleetOptions, { postgres, pooler, redis, standby, sentinels, links }: FleetStores) {
    this.#options = options
    this.#links = links
    this.postgres = postgres
    this.pooler = pooler
    this.redis = redis
    this.redisStandby = standby
    this.#sentinels = sentinels
    this.windowMs = options.windowMs
    this.random = new Random(options.seed)
    const random = new Random(options.seed).fork()
    const { recorder, ledger, troubles } = this
    this.latencies = new Latencies({ slowMs: waitOf(options.windowMs) })
    this.pool = new KeyPool({ random })
    this.checker = new Checker({ recorder, ledger, troubles, placeOf: (process) => this.#placeOfProcess[process] ?? 0 })
    const common = { pool: this.pool, random, clients: () => this.clients }
    this.changes = new Changes({ ...common, ledger, troubles, latencies: this.latencies, windowMs: options.windowMs })
    this.churn = new Churn({ ...common, changes: this.changes, perSecond: options.changesPerSecond, keys: liveKeys, pendingMax })
  }

  get stores (): Stores {
    return this.#options.stores ?? 'plain'
  }

  /** Replicas that have been started and not been ended; a frozen one is among them. */
  get clients (): ReplicaClient[] {
    return [...this.#places.values()].map(({ client }) => client).filter((client) => client !== undefined)
  }

  /** Zero stale accepts, zero false refusals, every change returned, and nothing else that should not be. */
  get isFlawless (): boolean {
    const counts = Object.values(this.checker.counts)
    return counts.every((count) => count === 0) && this.changes.pending === 0 && this.changes.surprises.length === 0 && this.faultsFound.length === 0
  }

  place (place: number): Place {
    const found = this.#places.get(place)
    if (found === undefined) throw new Error(`There is no place ${place}.`)
    return found
  }

  replica (place: number): Replica {
    const { replica } = this.place(place)
    if (replica === undefined) throw new Error(`No replica runs at place ${place}.`)
    return replica
  }

  client (place: number): ReplicaClient {
    const { client } = this.place(place)
    if (client === undefined) throw new Error(`No replica runs at place ${place}.`)
    return client
  }

  async startReplica (place: number): Promise<void> {
    const here = this.place(place)
    const end = this.troubles.begin({ kind: 'replica', name: `replica ${place} joins`, place, mayBeUnavailable: true })
    const replica = new Replica({ main: this.#options.main, port: here.port, settings: this.#settings(here) })
    here.replica = replica
    await replica.started()
    const process = this.#placeOfProcess.push(place) - 1
    here.client = new ReplicaClient({ port: here.port, place, process, recorder: this.recorder, managementToken: this.#managementToken })
    end(healMs)
  }

  /** Another primary from now on: new connections lead there. Whoever was connected to the one before notices by itself. */
  async moveTo (postgres: PostgresServer): Promise<void> {
    this.postgres = postgres
    await this.leadTo(postgres.port)
  }

  async leadTo (port: number): Promise<void> {
    for (const place of this.#places.values()) await place.postgres.leadTo(port)
  }

  async resetPostgresLinks (): Promise<void> {
    for (const place of this.#places.values()) await place.postgres.reset()
  }

  async openLink (to: number): Promise<RemoteLink> {
    return await this.#links.open(to)
  }

  /** A server that a fault brought in, and that may serve until the run ends. */
  keepUntilTheEnd (server: PostgresServer): void {
    this.#servers.add(server)
  }

  /** A process of the service that is none of the fleet: on another database, beside it on the same Redis. */
  async startStranger (databaseUrl: string): Promise<{ replica: Replica, client: ReplicaClient }> {
    const port = await freePort()
    const settings = { ...this.#settings(this.place(1)), DATABASE_URL: databaseUrl, REDIS_URL: this.#sentinels ?? this.redis.url }
    const replica = new Replica({ main: this.#options.main, port, settings })
    this.#strangers.add(replica)
    await replica.started()
    return { replica, client: new ReplicaClient({ port, place: 0, process: -1, recorder: new Recorder(), managementToken: this.#managementToken }) }
  }

  /** Nothing is changed until `resume` of the churn, and every change that was under way has returned. */
  async quiet (): Promise<void> {
    const timeoutMs = waitOf(this.windowMs) + 20_000
    await this.churn.pause(timeoutMs)
    const end = performance.now() + timeoutMs
    while (this.changes.pending > 0) {
      if (performance.now() > end) throw new Error(`Waited ${timeoutMs} ms, and no longer, for ${this.changes.pending} changes that a fault had asked for.`)
      await sleep(20)
    }
  }

  /** The database was set back to what it was at this time. */
  setBack (at: number, areKept?: (key: TrackedKey) => boolean): void {
    this.checker.look()
    this.ledger.setBack(at, areKept)
    this.pool.forget()
  }

  /** Takes the replica at this place off the list of those that are asked. */
  release (place: number): Replica {
    const here = this.place(place)
    const replica = this.replica(place)
    here.client?.close()
    here.client = undefined
    here.replica = undefined
    return replica
  }

  /** Milliseconds until every replica accepts a live key, refuses a revoked one and makes a key. */
  async untilHealed (timeoutMs = 15_000): Promise<number> {
    const start = performance.now()
    await Promise.all(this.clients.map(async (client) => {
      while (!await this.#isWhole(client)) {
        if (performance.now() - start > timeoutMs) throw new Error(`Replica ${client.place} has not healed within ${timeoutMs} ms; it logged last:\n${this.place(client.place).replica?.log}`)
        await sleep(20)
      }
    }))
    return performance.now() - start
  }

  /** Asks every replica about the keys that were refused last and about live ones, then lets the checker look. */
  async lookAgain (): Promise<void> {
    for (const client of this.clients) {
      for (const key of [...this.pool.recent, ...this.pool.live.slice(-20)]) client.verify(key, 64)
    }
    await sleep(200)
    this.checker.look()
    await this.#replaceDead()
    this.assertOwnPorts()
  }

  /** A replica that ended by itself is a finding; the run goes on with another in its place. */
  async #replaceDead (): Promise<void> {
    for (const [number, { replica }] of this.#places) {
      if (replica === undefined || replica.isRunning) continue
      this.faultsFound.push(`replica ${number} ended by itself (${replica.ending}); it logged last:\n${replica.log.slice(-1500)}`)
      const end = this.troubles.begin({ kind: 'replica', name: `replica ${number} ended by itself` })
      await this.release(number).kill()
      await this.startReplica(number)
      end(waitOf(this.windowMs))
    }
  }

  assertOwnPorts (): void {
    for (const { replica } of this.#places.values()) replica?.assertOwnsPort()
    for (const { pid, port } of [this.postgres, this.redis]) {
      if (listensOn(pid, port) === false) throw new Error(`Port ${port} is not answered by process ${pid} that was started for it.`)
    }
  }

  /** Every change that was asked for has returned, and nothing asks any more. */
  async settle (): Promise<void> {
    await this.churn.stop(waitOf(this.windowMs) + 20_000)
    await this.#load?.stop()
    this.checker.look()
  }

  async #begin (): Promise<void> {
    const [live, revoked] = await this.churn.keys(2, 'torture-beacons')
    if (live === undefined || revoked === undefined) throw new Error(`No key could be made: ${this.changes.surprises.join('\n')}`)
    await this.changes.revoke(revoked)
    this.#beacons = { live, revoked }
    await this.churn.start()
    this.#load = new Load({ pool: this.pool, random: new Random(this.#options.seed).fork(), clients: () => this.clients, perSecond: this.#options.verificationsPerSecond })
  }

  async #isWhole (client: ReplicaClient): Promise<boolean> {
    if (this.#beacons === undefined) return false
    const { live, revoked } = this.#beacons
    const statuses = await Promise.all([statusOf(client, live), statusOf(client, revoked)])
    if (statuses[0] !== 200 || statuses[1] !== 401) return false
    const key = await this.changes.create(client, 'torture-healed')
    if (key !== undefined) this.pool.addLive(key)
    return key !== undefined
  }

  async #open (place: number): Promise<void> {
    const [port, postgres, redis] = await Promise.all([freePort(), this.#links.open((this.pooler ?? this.postgres).port), this.#links.open(this.redis.port)])
    this.#places.set(place, { port, postgres, redis, replica: undefined, client: undefined })
  }

  #settings (place: Place): Record<string, string> {
    return {
      DATABASE_URL: `postgres://postgres@127.0.0.1:${place.postgres.port}/postgres`,
      REDIS_URL: this.#sentinels ?? `redis://127.0.0.1:${place.redis.port}/0`,
      MANAGEMENT_TOKENS: `torture=${this.#managementToken}`,
      TRUST_WINDOW_MS: String(this.#options.windowMs),
      LOG_LEVEL: 'warn'
    }
  }

  async #end (): Promise<void> {
    this.churn.abandon()
    await this.#load?.stop()
    const replicas = [...this.#places].flatMap(([place, { replica }]) => replica === undefined ? [] : [this.release(place)])
    // One that does not end keeps none of the others running, and with them this process.
    const ends = await Promise.allSettled([
      ...[...this.#strangers, ...replicas].map(async (replica) => { await replica.kill() }),
      ...[...this.#servers].map(async (server) => { await server.remove() })
    ])
    for (const end of ends) if (end.status === 'rejected') throw end.reason
  }
}

async function statusOf (client: ReplicaClient, key: TrackedKey): Promise<number> {
  return await new Promise((resolve) => {
    if (!client.verify(key, 64, ({ status }) => { resolve(status) })) resolve(0)
  })
}
