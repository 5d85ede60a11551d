import type { Bench } from '../bench.ts'
import { bare, forwardAuthShape, plugin, service } from '../contenders.ts'
import { askEveryKey } from '../support/ask-every-key.ts'
import { comparisonTable, ratioOf } from '../support/compare.ts'
import { inRounds } from '../support/in-rounds.ts'
import type { Contender, Measurement } from '../support/contender.ts'
import { keysStats } from '../support/keys-stats.ts'
import { loadAllGood } from '../support/load.ts'
import { cpuUsOf } from '../support/program.ts'
import type { Plot } from '../support/plot.ts'
import type { Section, Table } from '../support/section.ts'
import { seedKeys } from '../support/seed.ts'
import { startContenders } from '../support/start-contenders.ts'
import { medianOf } from '../support/statistics.ts'
import { withSpread } from '../support/with-spread.ts'

/** A contender that is asked for one of the sets of keys. */
interface Asked {
  readonly name: string
  readonly contender: Contender
  readonly count: number
}

type Measurements = ReadonlyMap<string, readonly Measurement[]>

const surfaces = { bare: 'bare Fastify', plugin: '**our plugin**', 'forward-auth': '**our `/forward-auth`**' }

/** What a hit costs when no cache of the processor holds the keys any more. */
export async function manyKeys (bench: Bench): Promise<Section> {
  const counts = [...new Set([1000, 10_000, 100_000].map((count) => bench.count(count)))]
  const [few, many] = [counts[0]!, counts.at(-1)!]
  const cases: Asked[] = []
  for (const count of counts) cases.push(...await askedFor(bench, count))
  const contenders = cases.map(({ contender }) => contender)
  // Two thirds of a usual measurement: asking for every key beforehand takes the rest of the time.
  const seconds = Math.max(1, Math.round(bench.options.seconds * 2 / 3))
  let seed = 0

  const measurements = await inRounds(bench, cases, async (t) => {
    const runnings = await startContenders(t, contenders)
    for (const { contender, count } of cases) await askEveryKey({ ...contender, url: runnings.get(contender)!.url, count })
    return async ({ contender, count }): Promise<Measurement> => {
      const { url, pids: [pid] } = runnings.get(contender)!
      if (contender.name.startsWith('plugin')) await assertInMemory(url, count)
      const before = cpuUsOf(pid!)
      const { perSecond, p50Us, p99Us, requests } = await loadAllGood({ ...contender, url, seconds, awake: true, seed: ++seed })
      return { perSecond, cpuUs: (cpuUsOf(pid!) - before) / requests, p50Us, p99Us }
    }
  })

  const besides: Table = {
    columns: ['contender', `from ${written(many)} keys beside from ${written(few)} (= 1)`],
    rows: Object.entries(surfaces).map(([surface, title]) => [title, withSpread(ratioOf(measurements, nameOf(surface, many), nameOf(surface, few)))])
  }
  return {
    title: 'Many keys in memory',
    about: `The same from ${counts.map(written).join(', ')} keys, drawn at random, every one in memory before the first round. ` +
      'Bare Fastify looks at no token: what it loses is what many different requests cost wrk, the sockets and the parser. ' +
      '64 connections that send as fast as they are answered.',
    tables: [comparisonTable(contenders, measurements, nameOf('bare', many)), besides],
    goals: [],
    plots: [plot(counts, measurements)]
  }
}

function plot (counts: readonly number[], measurements: Measurements): Plot {
  return {
    name: 'requests-by-keys',
    title: 'Requests a second by keys in memory',
    x: { title: 'keys in memory, drawn at random', scale: 'log' },
    y: { title: 'requests a second', scale: 'linear' },
    series: Object.entries(surfaces).map(([surface, title]) => ({
      title: title.replace(/[*`]/g, ''),
      points: counts.map((count) => [count, medianOf(measurements.get(nameOf(surface, count))!.map(({ perSecond }) => perSecond))])
    }))
  }
}

async function askedFor (bench: Bench, count: number): Promise<Asked[]> {
  const databaseUrl = await bench.database()
  const keys = { databaseUrl, tokensFile: await seedKeys({ databaseUrl, count, dir: bench.dir, workspaceId: 'many-keys' }) }
  const redisUrl = bench.redisUrl(2)
  const namesOf = (surface: keyof typeof surfaces) => ({ name: nameOf(surface, count), title: `${surfaces[surface]}, ${written(count)} keys` })
  return [
    bare({ ...namesOf('bare'), ...keys }),
    plugin({ ...namesOf('plugin'), ...keys, redisUrl }),
    service({ ...namesOf('forward-auth'), ...keys, redisUrl, shape: forwardAuthShape })
  ].map((contender) => ({ name: contender.name, contender, count }))
}

function nameOf (surface: string, count: number): string {
  return `${surface} from ${written(count)}`
}

function written (count: number): string {
  return count.toLocaleString('en-US')
}

async function assertInMemory (url: string, count: number): Promise<void> {
  const { memory } = await keysStats(url)
  if (memory?.entries !== count) throw new Error(`${memory?.entries} of ${count} keys are in memory.`)
}
