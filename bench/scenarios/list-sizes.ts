import postgres from 'postgres'
import type { Bench } from '../bench.ts'
import { managementToken, serviceSettings } from '../contenders.ts'
import { Client } from '../support/client.ts'
import { percentileOf } from '../support/percentile.ts'
import { Program } from '../support/program.ts'
import { number, type Section } from '../support/section.ts'
import { seedHistory } from '../support/seed-history.ts'

const statuses = ['active', 'expired', 'revoked', 'all'] as const
type Status = typeof statuses[number]

const requestsPerRound = 10

/** How the first page of a list becomes slower as the workspace grows. `lists` compares the smallest with the largest in more detail. */
export async function listSizes (bench: Bench): Promise<Section> {
  const sizes = [100, 1000, 10_000, 100_000, 1_000_000].map((count) => Math.max(50, bench.count(count)))
  const databaseUrl = await bench.database()
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} })
  try {
    for (const [i, count] of sizes.entries()) await seedHistory({ sql, workspaceId: nameOf(i), count })
    await sql`vacuum analyze`
  } finally {
    await sql.end({ timeout: 5 })
  }
  const found = new Map<Status, number[][]>(statuses.map((status) => [status, sizes.map(() => [])]))
  for (let generation = 0; generation < bench.options.generations; generation++) {
    await bench.scope(async (t) => {
      const program = await Program.startService(t, { name: 'list-sizes', env: serviceSettings({ databaseUrl, redisUrl: bench.redisUrl(4) }) })
      const client = new Client(t, { url: program.urlOf(''), credential: managementToken })
      // The first round is not counted: connections open, and code is compiled.
      for (let round = -1; round < bench.options.rounds; round++) {
        for (let i = 0; i < requestsPerRound * statuses.length * sizes.length; i++) {
          const at = i % sizes.length
          const status = statuses[Math.floor(i / sizes.length) % statuses.length]!
          const { ms } = await client.ask('GET', `/v1/workspaces/${nameOf(at)}/keys?limit=50&status=${status}`)
          if (round >= 0) found.get(status)![at]!.push(ms)
        }
      }
    })
  }

  const median = (status: Status, at: number) => percentileOf(found.get(status)![at]!, 0.5)
  return {
    title: 'Lists by the size of the workspace',
    about: 'The first page of 50 keys, `GET /v1/workspaces/{id}/keys?limit=50`, one after another, by turns of workspaces and kinds of list. In one database: workspaces whose keys were made evenly over 700 days, every tenth revoked, every tenth made to expire after 90 days. Where a small workspace has fewer rows than a page, its answer is smaller. Medians; times are the client\'s.',
    tables: [{
      columns: ['keys in the workspace', ...statuses.flatMap((status) => [`${status}: p50, ms`, 'p99'])],
      rows: sizes.map((size, at) => [size.toLocaleString('en-US'), ...statuses.flatMap((status) => [median(status, at), percentileOf(found.get(status)![at]!, 0.99)].map(number))])
    }],
    goals: [],
    plots: [{
      name: 'list-latency-by-size',
      title: 'The first page of a list, by keys in the workspace',
      x: { title: 'keys in the workspace', scale: 'log' },
      y: { title: 'median, milliseconds', scale: 'log' },
      series: statuses.map((status) => ({ title: `${status} keys`, points: sizes.map((size, at) => [size, median(status, at)] as const) }))
    }]
  }
}

function nameOf (index: number): string {
  return `size-${index}`
}
