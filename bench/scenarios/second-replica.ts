import postgres, { type Sql } from 'postgres'
import type { Teardowns } from '../../test/support/servers.ts'
import type { Bench } from '../bench.ts'
import { plain } from '../contenders.ts'
import { loadAllGood, type LoadResult } from '../support/load.ts'
import { otherCore, Program, servingCore } from '../support/program.ts'
import { number, type Section, type Table } from '../support/section.ts'
import { seedKeys } from '../support/seed.ts'
import { medianOf, ratiosOf, summaryOf } from '../support/statistics.ts'
import { withSpread } from '../support/with-spread.ts'

const states = ['alone', 'idle', 'loaded'] as const
type State = typeof states[number]

interface Measured {
  readonly perSecond: number
  readonly cpuUs: number
  readonly p99Us: number
  /** Of the second replica. */
  readonly besidePerSecond: number
}

interface Renewals {
  readonly replicas: number
  readonly perSecond: number
  readonly walPerSecond: number
}

interface Scene {
  readonly bench: Bench
  readonly databaseUrl: string
  readonly tokensFile: string
}

export async function secondReplica (bench: Bench): Promise<Section> {
  const databaseUrl = await bench.database()
  const tokensFile = await seedKeys({ databaseUrl, count: bench.count(1000), dir: bench.dir })
  const scene: Scene = { bench, databaseUrl, tokensFile }
  const measured: Record<State, Measured[]> = { alone: [], idle: [], loaded: [] }
  const renewals: Renewals[] = []
  for (let generation = 0; generation < bench.options.generations; generation++) {
    await bench.scope(async (t) => {
      const first = await startReplica(t, scene, servingCore)
      await loadOf(scene, first, bench.options.seconds)
      for (let round = 0; round < bench.options.rounds; round++) await measureRound(scene, first, round, measured)
      if (generation === 0) renewals.push(...await countRenewals(t, scene))
    })
    bench.tell(`generation ${generation + 1}`)
  }

  return {
    title: 'More than one replica',
    about: 'Our plugin in two processes on one database, without Redis, so that all they have in common is Postgres. The first has a core of its own and is asked as fast as it answers, over 64 connections, for 1,000 keys at random; the second, when there is one, is on the other core, which Postgres and the load share. So this shows what a second replica costs the first, and cannot show what two can do together: two cores do not hold two replicas and what is needed to load them. "With a load of its own" are 4 connections with pauses of 20 ms, which take some of that core from the load. The second replica is started and ended in each round; the states go by turns. Renewals are counted with nobody asking anything.',
    tables: [costTable(measured), renewalTable(renewals)],
    goals: []
  }
}

/** The second replica must start and end anyway, so it does so before or after the first is measured alone, by turns. */
async function measureRound (scene: Scene, first: Program, round: number, measured: Record<State, Measured[]>): Promise<void> {
  const { bench } = scene
  if (round % 2 === 0) measured.alone.push(await measure(scene, first))
  await bench.scope(async (t) => {
    const second = await startReplica(t, scene, otherCore)
    measured.idle.push(await measure(scene, first))
    measured.loaded.push(await measure(scene, first, second))
  })
  if (round % 2 === 1) measured.alone.push(await measure(scene, first))
  bench.tell(`round ${round + 1}: ${states.map((state) => `${state} ${Math.round(measured[state].at(-1)!.perSecond)}`).join(', ')}`)
}

async function startReplica (t: Teardowns, { databaseUrl }: Scene, core: number): Promise<Program> {
  return await Program.startFile(t, 'plugin.ts', { name: 'replica', env: { DATABASE_URL: databaseUrl }, core })
}

async function measure (scene: Scene, first: Program, loaded?: Program): Promise<Measured> {
  const before = first.cpuUs()
  const [result, beside] = await Promise.all([
    loadOf(scene, first, scene.bench.options.seconds),
    loaded && loadOf(scene, loaded, scene.bench.options.seconds, { connections: 4, thinkMs: 20 })
  ])
  return { perSecond: result.perSecond, cpuUs: (first.cpuUs() - before) / result.requests, p99Us: result.p99Us, besidePerSecond: beside?.perSecond ?? 0 }
}

function loadOf ({ tokensFile }: Scene, program: Program, seconds: number, pace = {}): Promise<LoadResult> {
  return loadAllGood({ url: program.urlOf(''), shape: plain, tokensFile, seconds, ...pace })
}

async function countRenewals (t: Teardowns, scene: Scene): Promise<Renewals[]> {
  const sql = postgres(scene.databaseUrl, { max: 1, onnotice: () => {} })
  t.teardown(() => sql.end({ timeout: 5 }))
  const one = await renewalsOf(sql, 1, scene.bench)
  await startReplica(t, scene, otherCore)
  return [one, await renewalsOf(sql, 2, scene.bench)]
}

/** Each renewal is one statement, and the only one that changes a row of an idle replica: Postgres counts them. */
async function renewalsOf (sql: Sql, count: number, bench: Bench): Promise<Renewals> {
  // What is written for the first time since a checkpoint is written whole: that is not what a renewal costs.
  await sql`checkpoint`
  await rest(2)
  const readings = [await read(sql)]
  for (let i = 0; i < Math.min(10, 4 * bench.options.seconds); i++) {
    await rest(1)
    readings.push(await read(sql))
  }
  const [first, last] = [readings[0]!, readings.at(-1)!]
  return {
    replicas: count,
    perSecond: (last.renewals - first.renewals) / (last.at - first.at) * 1000,
    // The median second: the server also vacuums, now and then.
    walPerSecond: medianOf(readings.slice(1).map(({ at, wal }, i) => (wal - readings[i]!.wal) / (at - readings[i]!.at) * 1000))
  }
}

async function read (sql: Sql) {
  const [{ renewals }] = await sql<[{ renewals: number }]>`select n_tup_upd::float8 as renewals from pg_stat_user_tables where schemaname = 'navis_keys' and relname = 'window_members'`
  const [{ wal }] = await sql<[{ wal: number }]>`select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as wal`
  return { at: performance.now(), renewals, wal }
}

async function rest (seconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
}

function costTable (measured: Readonly<Record<State, readonly Measured[]>>): Table {
  const titles: Readonly<Record<State, string>> = { alone: 'there is none', idle: 'alive, and asked nothing', loaded: 'alive, with a load of its own' }
  const perSecondOf = (state: State) => measured[state].map(({ perSecond }) => perSecond)
  return {
    columns: ['the second replica', 'requests/s of the first', 'beside none (= 1)', 'CPU of the first, us/request', 'p99, ms', 'requests/s of the second'],
    rows: states.map((state) => {
      const [perSecond, ratio] = [summaryOf(perSecondOf(state)), ratiosOf(perSecondOf(state), perSecondOf('alone'))]
      const medianIn = (of: 'cpuUs' | 'p99Us' | 'besidePerSecond') => summaryOf(measured[state].map((one) => one[of])).median
      return [
        titles[state],
        ...[perSecond, ratio].map(withSpread),
        number(medianIn('cpuUs')),
        number(medianIn('p99Us') / 1000),
        state === 'loaded' ? number(medianIn('besidePerSecond')) : ''
      ]
    })
  }
}

function renewalTable (renewals: readonly Renewals[]): Table {
  return {
    columns: ['replicas, all idle', 'renewals/s, each one statement', 'WAL, bytes/s'],
    rows: renewals.map(({ replicas, perSecond, walPerSecond }) => [String(replicas), ...[perSecond, walPerSecond].map(number)])
  }
}
