import type { Bench } from '../bench.ts'
import { bare, forwardAuthShape, plugin, service, verifyShape } from '../contenders.ts'
import { inRounds } from '../support/in-rounds.ts'
import type { Contender } from '../support/contender.ts'
import { loadAllGood, type LoadResult } from '../support/load.ts'
import { Pace } from '../support/pace.ts'
import { saturationsOf } from '../support/saturation.ts'
import { number, type Section, type Table } from '../support/section.ts'
import { seedKeys } from '../support/seed.ts'
import { startContenders } from '../support/start-contenders.ts'
import { ratiosOf, summaryOf, type Summary } from '../support/statistics.ts'
import { withSpread } from '../support/with-spread.ts'

interface Found extends LoadResult {
  /** Requests a second that this process was found able to answer, and the half of them that were wanted now. */
  readonly saturation: number
  readonly wanted: number
}

type AllFound = ReadonlyMap<string, readonly Found[]>

/** How long one waits at half of what each contender can do: at all that it can do, one waits for the queue. */
export async function latency (bench: Bench): Promise<Section> {
  const contenders = await contendersOf(bench)
  // Two thirds of a usual measurement: finding out what each can do takes the rest of the time.
  const seconds = Math.max(1, Math.round(bench.options.seconds * 2 / 3))
  let seed = 0

  const found = await inRounds<Contender, Found>(bench, contenders, async (t) => {
    const runnings = await startContenders(t, contenders)
    const asked = (contender: Contender) => ({ ...contender, url: runnings.get(contender)!.url })
    const saturations = await saturationsOf(contenders, asked)
    const paces = new Map(contenders.map((contender) => [contender, new Pace({ perSecond: saturations.get(contender)! / 2 })]))
    for (const contender of contenders) await paces.get(contender)!.reach((load) => loadAllGood({ ...asked(contender), ...load, seconds: 1 }))
    return async (contender) => {
      const pace = paces.get(contender)!
      const result = await pace.reach((load) => loadAllGood({ ...asked(contender), ...load, seconds, seed: ++seed }))
      return { ...result, saturation: saturations.get(contender)!, wanted: pace.perSecond }
    }
  })

  return {
    title: 'Latency at half load',
    about: '1,000 keys in memory, drawn at random. What each process can answer at most is found first, with 64 connections that send as fast as they are answered; ' +
      'then each is asked for half of that: connections that pause between an answer and their next request, for 5 ms in the mean, as many as it takes to come within a tenth of the rate. ' +
      'wrk wakes up once a millisecond, so requests come in small bursts, for all contenders alike. ' +
      'It corrects for coordinated omission itself: after an answer that took long it counts the requests that the connection would have sent meanwhile.',
    tables: [latencyTable(contenders, found)],
    goals: ['plugin', 'forward-auth'].map((name) => ({
      what: `p99 of ${name === 'plugin' ? 'the plugin' : '`/forward-auth`'} beside bare Fastify`,
      atMost: 2,
      reached: besideBare(found, name).median
    }))
  }
}

async function contendersOf (bench: Bench): Promise<Contender[]> {
  const databaseUrl = await bench.database()
  const tokensFile = await seedKeys({ databaseUrl, count: bench.count(1000), dir: bench.dir, workspaceId: 'latency' })
  const keys = { databaseUrl, tokensFile }
  const redisUrl = bench.redisUrl(3)
  return [
    bare({ name: 'bare', title: 'bare Fastify', tokensFile }),
    bare({ name: 'header', title: 'a hook that reads the header', tokensFile, hook: 'header' }),
    plugin({ name: 'plugin', title: '**our plugin**', ...keys, redisUrl }),
    service({ name: 'forward-auth', title: '**our `/forward-auth`**', ...keys, redisUrl, shape: forwardAuthShape }),
    service({ name: 'verify', title: '**our `POST /v1/verify`**', ...keys, redisUrl, shape: verifyShape })
  ]
}

function latencyTable (contenders: readonly Contender[], found: AllFound): Table {
  return {
    columns: ['contender', 'at most, requests/s', 'asked for half, requests/s', 'reached', 'p50, ms', 'p99, ms', 'p99 beside bare (= 1)', 'p99.9, ms'],
    rows: contenders.map(({ name, title }) => {
      const of = (figure: (one: Found) => number) => summaryOf(found.get(name)!.map(figure))
      return [
        title,
        number(of(({ saturation }) => saturation).median),
        number(of(({ wanted }) => wanted).median),
        number(of(({ perSecond }) => perSecond).median),
        number(of(({ p50Us }) => p50Us / 1000).median),
        withSpread(of(({ p99Us }) => p99Us / 1000)),
        withSpread(besideBare(found, name)),
        number(of(({ p999Us }) => p999Us / 1000).median)
      ]
    })
  }
}

function besideBare (found: AllFound, name: string): Summary {
  const p99sOf = (of: string) => found.get(of)!.map(({ p99Us }) => p99Us)
  return ratiosOf(p99sOf(name), p99sOf('bare'))
}
