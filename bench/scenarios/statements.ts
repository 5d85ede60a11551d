import { migrate } from '../../src/db/migrate.ts'
import type { Bench } from '../bench.ts'
import { plugin } from '../contenders.ts'
import { askEveryKey } from '../support/ask-every-key.ts'
import type { Contender } from '../support/contender.ts'
import { loadAllGood } from '../support/load.ts'
import { lookupCosts, type LookupCost } from '../support/lookup-costs.ts'
import { Pace } from '../support/pace.ts'
import { number, type Section } from '../support/section.ts'
import { seedKeys } from '../support/seed.ts'
import { startContenders } from '../support/start-contenders.ts'
import { counted, perSecond, StatementCount } from '../support/statement-count.ts'
import { medianOf } from '../support/statistics.ts'

/** Requests a second that are wanted; `all`: as many as it answers. */
const loads = [250, 1000, 4000, 'all'] as const

interface Found {
  readonly requests: number
  readonly statements: number
}

/** What Postgres is asked as requests become more: misses of one turn of the event loop are one statement. */
export async function statements (bench: Bench): Promise<Section> {
  const { seconds, generations, rounds } = bench.options
  const found = new Map<string, Found[][]>()
  let contenders: Contender[] = []
  let costs: readonly LookupCost[] = []

  await bench.scope(async (t) => {
    const server = await bench.postgresWith(t, counted)
    await migrate(server.url)
    const count = await StatementCount.open(t, server.url)
    contenders = await contendersOf(bench, server.url)
    costs = await lookupCosts(t, { databaseUrl: server.url, tokensFile: contenders[0]!.tokensFile, digestCounts: [1, 2, 8, 64] })
    for (const { name } of contenders) found.set(name, loads.map(() => []))
    for (let generation = 0; generation < generations; generation++) {
      await bench.scope(async (t) => {
        const runnings = await startContenders(t, contenders)
        let seed = 0
        for (const contender of contenders) {
          if (contender.name === 'memory') await askEveryKey({ ...contender, url: runnings.get(contender)!.url, count: bench.count(1000) })
        }
        const paces = new Map(contenders.map(({ name }) => [name, loads.map((load) => load === 'all' ? undefined : new Pace({ perSecond: load }))]))
        let from = 0
        for (let round = 0; round < rounds; round++) {
          for (const [i] of loads.entries()) {
            for (const contender of contenders) {
              const pace = paces.get(contender.name)![i]
              let statementsPerSecond = 0
              const one = async (load: Partial<Pace['load']>) => {
                const before = await count.read()
                const result = await loadAllGood({ ...contender, url: runnings.get(contender)!.url, order: contender.sequential === true ? 'sequential' : 'random', from, seconds, seed: ++seed, ...load })
                statementsPerSecond = perSecond(before, await count.read())
                from += result.requests
                return result
              }
              const result = pace === undefined ? await one({}) : await pace.reach(one)
              found.get(contender.name)![i]!.push({ requests: result.perSecond, statements: statementsPerSecond })
            }
          }
          bench.tell(`generation ${generation + 1}, round ${round + 1}`)
        }
      })
    }
  })

  const median = (name: string, load: number, figure: keyof Found) => medianOf(found.get(name)![load]!.map((one) => one[figure]))
  return {
    title: 'Statements of Postgres by load',
    about: 'Our plugin without Redis, in one process each, asked at a rate, and last as fast as it answers, over 64 connections. Statements are all that `pg_stat_statements` counts: lookups, renewals of all processes that are alive, last uses. ' +
      `Keys that memory does not hold are ${number(bench.count(100_000))}, asked for in turn, of a process that holds ${number(bench.count(1000))}. ` +
      'The last table is what the statement of a lookup costs a process of Postgres, as it is sent, and if the server had prepared it: the difference is parsing and planning.',
    tables: [{
      columns: ['', 'requests/s', 'statements/s', 'requests for a statement'],
      rows: contenders.flatMap(({ name, title }) => loads.map((_, i) => [title, number(median(name, i, 'requests')), number(median(name, i, 'statements')), number(median(name, i, 'requests') / median(name, i, 'statements'))]))
    }, {
      columns: ['keys in a lookup', 'of Postgres\'s processor time, us', 'prepared on the server, us', 'as sent, us a key', 'prepared, us a key'],
      rows: costs.map(({ digests, asSent, prepared }) => [String(digests), ...[asSent, prepared, asSent / digests, prepared / digests].map(number)])
    }],
    goals: [],
    plots: [{
      name: 'statements-by-load',
      title: 'Statements of Postgres by load',
      x: { title: 'requests a second', scale: 'log' },
      y: { title: 'statements a second', scale: 'log' },
      series: contenders.map(({ name, title }) => ({ title, points: loads.map((_, i) => [median(name, i, 'requests'), median(name, i, 'statements')] as const) }))
    }]
  }
}

async function contendersOf (bench: Bench, databaseUrl: string): Promise<Contender[]> {
  const keysOf = async (count: number, workspaceId: string) => ({ databaseUrl, tokensFile: await seedKeys({ databaseUrl, count, dir: bench.dir, workspaceId }) })
  const few = await keysOf(bench.count(1000), 'few')
  const many = await keysOf(bench.count(100_000), 'many')
  const settings = { MEMORY_ENTRIES_MAX: String(bench.count(1000)) }
  return [
    plugin({ name: 'memory', title: 'keys in memory', ...few }),
    plugin({ name: 'postgres', title: 'keys that memory does not hold', ...many, sequential: true, settings }),
    plugin({ name: 'cache-off', title: 'CACHE=off', ...few, settings: { CACHE: 'off' } })
  ]
}
