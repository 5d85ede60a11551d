import type { Teardowns } from '../../test/support/servers.ts'
import type { Bench } from '../bench.ts'
import { managementToken, serviceSettings } from '../contenders.ts'
import { atATime, type Throughput } from '../support/at-a-time.ts'
import { Client } from '../support/client.ts'
import { percentileOf } from '../support/percentile.ts'
import { Program } from '../support/program.ts'
import { number, type Section, type Table } from '../support/section.ts'
import { seedKeys } from '../support/seed.ts'
import { summaryOf } from '../support/statistics.ts'
import { withSpread } from '../support/with-spread.ts'

const replicaCounts = [1, 2] as const
const workerCounts = [1, 16] as const
const kinds = ['create', 'revoke'] as const
type Kind = typeof kinds[number]

interface Group {
  readonly replicas: number
  readonly client: Client
}

interface Found extends Throughput {
  readonly kind: Kind
  readonly replicas: number
  readonly workers: number
}

export async function changes (bench: Bench): Promise<Section> {
  const databaseUrls = new Map<number, string>()
  for (const replicas of replicaCounts) {
    const databaseUrl = await bench.database()
    await seedKeys({ databaseUrl, count: bench.count(100_000), dir: bench.dir, workspaceId: `changes-${replicas}`, keysPerWorkspace: 50 })
    databaseUrls.set(replicas, databaseUrl)
  }

  const found: Found[] = []
  for (let generation = 0; generation < bench.options.generations; generation++) {
    await bench.scope(async (t) => {
      const groups: Group[] = []
      for (const replicas of replicaCounts) groups.push(await startGroup(bench, t, databaseUrls.get(replicas)!, replicas))
      for (const group of groups) await changeKeys(bench, group, 16)
      for (let round = 0; round < bench.options.rounds; round++) {
        for (const group of round % 2 === 0 ? groups : groups.toReversed()) {
          for (const workers of workerCounts) found.push(...await changeKeys(bench, group, workers))
        }
        bench.tell(`generation ${generation + 1}, round ${round + 1}`)
      }
    })
  }

  return {
    title: 'Keys made and revoked',
    about: `Over HTTP, at one replica of the whole service, with Postgres that writes to its disk at each commit and a Redis. First with no other replica, then with one more: it is asked nothing, but no \`DELETE\` is answered before it has acknowledged the revocation. All replicas share one core, Postgres, Redis and the client the other. ${number(bench.count(100_000))} other keys are in each database. Both groups run, and are asked by turns.`,
    tables: [table(found)],
    goals: []
  }
}

/** The replicas of one database; the first of them is asked. */
async function startGroup (bench: Bench, t: Teardowns, databaseUrl: string, replicas: number): Promise<Group> {
  const programs: Program[] = []
  for (let i = 0; i < replicas; i++) {
    programs.push(await Program.startService(t, { name: `changes-${replicas}-${i}`, env: serviceSettings({ databaseUrl, redisUrl: bench.redisUrl(5 + replicas) }) }))
  }
  return { replicas, client: new Client(t, { url: programs[0]!.urlOf(''), credential: managementToken }) }
}

/** Makes keys for a while, and revokes those. */
async function changeKeys (bench: Bench, { replicas, client }: Group, workers: number): Promise<Found[]> {
  const made: string[] = []
  const acts: Readonly<Record<Kind, () => Promise<number | undefined>>> = {
    async create () {
      const { body, ms } = await client.ask('POST', '/v1/workspaces/acme/keys', { name: 'Bench key', scope: 'mcp:read' })
      made.push(body.id)
      return ms
    },
    async revoke () {
      const id = made.pop()
      return id === undefined ? undefined : (await client.ask('DELETE', `/v1/workspaces/acme/keys/${id}`)).ms
    }
  }
  const found: Found[] = []
  for (const kind of kinds) found.push({ kind, replicas, workers, ...await atATime({ workers, seconds: bench.options.seconds / 3, one: acts[kind] }) })
  return found
}

function table (found: readonly Found[]): Table {
  const rows = kinds.flatMap((kind) => workerCounts.flatMap((workers) => replicaCounts.map((replicas) => {
    const paces = found.filter((one) => one.kind === kind && one.workers === workers && one.replicas === replicas)
    const ms = paces.flatMap((pace) => pace.ms)
    return [
      kind,
      workers === 1 ? 'one after another' : `${workers} at a time`,
      String(replicas),
      withSpread(summaryOf(paces.map(({ perSecond }) => perSecond))),
      number(percentileOf(ms, 0.5)),
      number(percentileOf(ms, 0.99))
    ]
  })))
  return { columns: ['', '', 'replicas', 'per second', 'p50, ms', 'p99, ms'], rows }
}
