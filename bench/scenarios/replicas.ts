import postgres from 'postgres'
import { migrate } from '../../src/db/migrate.ts'
import type { Teardowns } from '../../test/support/servers.ts'
import { until } from '../../test/support/until.ts'
import type { Bench } from '../bench.ts'
import { managementToken, serviceSettings } from '../contenders.ts'
import { atATime } from '../support/at-a-time.ts'
import { Client } from '../support/client.ts'
import { percentileOf } from '../support/percentile.ts'
import type { Plot } from '../support/plot.ts'
import { otherCore, Program, servingCore } from '../support/program.ts'
import { number, type Section, type Table } from '../support/section.ts'
import { seedKeys } from '../support/seed.ts'
import { counted, perSecond, StatementCount } from '../support/statement-count.ts'
import { medianOf } from '../support/statistics.ts'

const sizes = [1, 2, 4, 8, 16, 32] as const
/** More whole services do not fit two cores; the rest of a fleet are members without a service. */
const servicesMax = 16
const idleMembers = 128
const workerCounts = [1, 16] as const
const ways = { redis: 'with Redis', postgres: 'without Redis' } as const
type Way = keyof typeof ways

/** What one fleet did of one kind. */
interface Found {
  readonly way: Way
  readonly size: number
  readonly workers: number
  readonly ms: readonly number[]
  readonly perSecond: number
  /** For each revocation, beyond what the fleet sends when nobody asks anything. */
  readonly statements: number
}

interface Idle {
  readonly way: Way
  readonly size: number
  readonly perSecond: number
}

interface Fleet {
  readonly databaseUrl: string
  readonly redisUrl: string | undefined
  readonly services: Program[]
  members: number
}

/** What a revocation costs, and how long it takes, as replicas become more. */
export async function replicas (bench: Bench): Promise<Section> {
  const found: Found[] = []
  const idle: Idle[] = []
  for (let generation = 0; generation < bench.options.generations; generation++) {
    for (const way of Object.keys(ways) as Way[]) {
      await bench.scope(async (t) => { await growFleet(bench, t, way, found, idle) })
      bench.tell(`generation ${generation + 1}, ${ways[way]}`)
    }
  }
  const members = bench.count(idleMembers)
  await bench.scope(async (t) => { idle.push({ way: 'redis', size: members, perSecond: await idleOf(bench, t, members) }) })

  return {
    title: 'Revoking as replicas become more',
    about: `The service in 1 to ${servicesMax} processes, and beyond them members that do all that a replica does about revocations and serve nothing; Postgres writes to its disk at each commit. One replica is asked to revoke, and does not answer before all have acknowledged. All of them, Postgres, Redis and the client share two cores, where real replicas have their own: what they compute for a revocation is a part of the times here. ` +
      'Statements are those that `pg_stat_statements` counts, less what the fleet sends when nobody asks anything, which is in the last column; ' +
      `the fleet of ${number(members)} is of members alone.`,
    tables: [revokeTable(found, idle), idleTable(idle, members)],
    goals: [
      { what: 'statements per revoke with 32 members beside with 1', atMost: 1.2, reached: statementsOf(found, 'redis', sizes.at(-1)!) / statementsOf(found, 'redis', 1) },
      { what: `p50 with ${servicesMax} replicas beside with 1, one after another`, atMost: 2, reached: msOf(found, 'redis', servicesMax, 1, 0.5) / msOf(found, 'redis', 1, 1, 0.5) },
      { what: `statements a second of ${number(members)} idle members`, atMost: 60, reached: idleRate(idle, 'redis', members) }
    ],
    plots: [latencyPlot(found), statementsPlot(found), idlePlot(idle)]
  }
}

async function growFleet (bench: Bench, t: Teardowns, way: Way, found: Found[], idle: Idle[]): Promise<void> {
  const { seconds } = bench.options
  const server = await bench.postgresWith(t, { ...counted, max_connections: '400' })
  await migrate(server.url)
  await seedKeys({ databaseUrl: server.url, count: Math.max(2000, 8000 * seconds), dir: bench.dir, workspaceId: 'acme' })
  const ids = await idsOf(server.url)
  const count = await StatementCount.open(t, server.url)
  const fleet: Fleet = { databaseUrl: server.url, redisUrl: way === 'redis' ? bench.redisUrl(8) : undefined, services: [], members: 0 }

  for (const size of sizes) {
    await grow(t, fleet, size)
    const client = new Client(t, { url: fleet.services[0]!.urlOf(''), credential: managementToken })
    const revoke = async () => {
      const id = ids.pop()
      if (id === undefined) throw new Error('There are no keys left to revoke.')
      return (await client.ask('DELETE', `/v1/workspaces/acme/keys/${id}`)).ms
    }
    await atATime({ workers: 4, seconds: 0.5, one: revoke })
    await rest(1)
    const atRest = await count.perSecondIn(Math.max(3, 2 * seconds))
    idle.push({ way, size, perSecond: atRest })
    for (const workers of workerCounts) {
      const before = await count.read()
      const { ms, perSecond: revokes } = await atATime({ workers, seconds, one: revoke })
      const after = await count.read()
      const statements = (perSecond(before, after) - atRest) * (after.at - before.at) / 1000 / ms.length
      found.push({ way, size, workers, ms, perSecond: revokes, statements })
      bench.tell(`${size} ${ways[way]}, ${workers} at a time: p50 ${number(percentileOf(ms, 0.5))} ms, ${number(statements)} statements each`)
    }
  }
}

async function grow (t: Teardowns, fleet: Fleet, size: number): Promise<void> {
  const { databaseUrl, redisUrl, services } = fleet
  while (services.length < Math.min(size, servicesMax)) {
    const wanted = Math.min(4, Math.min(size, servicesMax) - services.length)
    services.push(...await Promise.all(Array.from({ length: wanted }, async (_, i) => await Program.startService(t, {
      name: `replica-${services.length + i}`,
      env: serviceSettings({ databaseUrl, redisUrl }),
      core: (services.length + i) % 2 === 0 ? servingCore : otherCore
    }))))
  }
  const members = size - services.length - fleet.members
  if (members > 0) await startMembers(t, { databaseUrl, redisUrl }, members)
  fleet.members += Math.max(0, members)
  await until(async () => (await Promise.all(services.map(hasLineage))).every(Boolean), { timeoutMs: 60_000 })
}

async function startMembers (t: Teardowns, { databaseUrl, redisUrl }: Pick<Fleet, 'databaseUrl' | 'redisUrl'>, members: number): Promise<void> {
  await Program.startFile(t, 'members.ts', {
    name: 'members',
    env: { DATABASE_URL: databaseUrl, MEMBERS: String(members), ...redisUrl === undefined ? {} : { REDIS_URL: redisUrl } },
    core: otherCore
  })
}

/** Whether a replica takes part in what is told over Redis: before it does, others wait for its renewals. */
async function hasLineage (program: Program): Promise<boolean> {
  const response = await fetch(program.urlOf('/metrics'), { signal: AbortSignal.timeout(5000) })
  return /^navis_keys_window_has_lineage 1$/m.test(await response.text())
}

/** Of members that nobody asks anything, once each knows how many they are. */
async function idleOf (bench: Bench, t: Teardowns, members: number): Promise<number> {
  const server = await bench.postgresWith(t, { ...counted, max_connections: '600' })
  await migrate(server.url)
  const count = await StatementCount.open(t, server.url)
  const perProcess = 32
  for (let started = 0; started < members; started += perProcess) {
    await startMembers(t, { databaseUrl: server.url, redisUrl: bench.redisUrl(9) }, Math.min(perProcess, members - started))
  }
  await rest(bench.options.shrink > 1 ? 2 : 60)
  return await count.perSecondIn(bench.options.shrink > 1 ? 5 : 30)
}

async function idsOf (databaseUrl: string): Promise<string[]> {
  const sql = postgres(databaseUrl, { max: 1, prepare: false, onnotice: () => {} })
  try {
    return (await sql<Array<{ id: string }>>`select id from navis_keys.keys where workspace_id = 'acme'`).map(({ id }) => id)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

async function rest (seconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
}

function partsOf (found: readonly Found[], way: Way, size: number, workers: number): Found[] {
  return found.filter((one) => one.way === way && one.size === size && one.workers === workers)
}

function msOf (found: readonly Found[], way: Way, size: number, workers: number, share: number): number {
  return percentileOf(partsOf(found, way, size, workers).flatMap(({ ms }) => ms), share)
}

function statementsOf (found: readonly Found[], way: Way, size: number, workers = 1): number {
  return medianOf(partsOf(found, way, size, workers).map(({ statements }) => statements))
}

function idleRate (idle: readonly Idle[], way: Way, size: number): number {
  return medianOf(idle.filter((one) => one.way === way && one.size === size).map(({ perSecond }) => perSecond))
}

function revokeTable (found: readonly Found[], idle: readonly Idle[]): Table {
  return {
    columns: ['', 'replicas', 'one after another: p50, ms', 'p99', 'per second', 'statements each', '16 at a time: p50, ms', 'p99', 'per second', 'statements each', 'statements/s of an idle fleet'],
    rows: (Object.keys(ways) as Way[]).flatMap((way) => sizes.map((size) => [
      ways[way],
      String(size),
      ...workerCounts.flatMap((workers) => [
        msOf(found, way, size, workers, 0.5),
        msOf(found, way, size, workers, 0.99),
        medianOf(partsOf(found, way, size, workers).map(({ perSecond }) => perSecond)),
        statementsOf(found, way, size, workers)
      ].map(number)),
      number(idleRate(idle, way, size))
    ]))
  }
}

function idleTable (idle: readonly Idle[], members: number): Table {
  const rate = idleRate(idle, 'redis', members)
  return { columns: ['idle members', 'statements/s', 'statements/s of each'], rows: [[number(members), number(rate), number(rate / members)]] }
}

const bySize = { title: 'replicas', scale: 'powers of two' } as const

function latencyPlot (found: readonly Found[]): Plot {
  const series = (way: Way, share: number) => ({ title: `${share === 0.5 ? 'median' : 'p99'} ${ways[way]}`, points: sizes.map((size) => [size, msOf(found, way, size, 1, share)] as const) })
  return {
    name: 'revoke-latency-by-replicas',
    title: 'Revoking, one after another, by replicas',
    x: bySize,
    y: { title: 'milliseconds until the answer', scale: 'log' },
    series: [series('redis', 0.5), series('redis', 0.99), series('postgres', 0.5), series('postgres', 0.99)]
  }
}

function statementsPlot (found: readonly Found[]): Plot {
  return {
    name: 'statements-by-replicas',
    title: 'Statements of Postgres for a revocation, by replicas',
    x: bySize,
    y: { title: 'statements each', scale: 'linear' },
    series: (Object.keys(ways) as Way[]).flatMap((way) => workerCounts.map((workers) => ({
      title: `${ways[way]}, ${workers === 1 ? 'one after another' : '16 at a time'}`,
      points: sizes.map((size) => [size, Math.max(0, statementsOf(found, way, size, workers))] as const)
    })))
  }
}

function idlePlot (idle: readonly Idle[]): Plot {
  const all = [...new Set(idle.filter(({ way }) => way === 'redis').map(({ size }) => size))].sort((one, other) => one - other)
  return {
    name: 'idle-statements-by-replicas',
    title: 'Statements of a fleet that nobody asks anything',
    x: bySize,
    y: { title: 'statements a second', scale: 'linear' },
    series: [{ title: 'all replicas together, with Redis', points: all.map((size) => [size, idleRate(idle, 'redis', size)] as const) }]
  }
}
