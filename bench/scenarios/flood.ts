import { readFileSync } from 'node:fs'
import type { Bench } from '../bench.ts'
import { plugin, type Keys } from '../contenders.ts'
import { askCold, type ColdAnswers } from '../support/ask-cold.ts'
import { askEveryKey } from '../support/ask-every-key.ts'
import { Floods, shapeFrom, type Flood, type FloodFigures } from '../support/floods.ts'
import { inRounds } from '../support/in-rounds.ts'
import { loadAllGood, type LoadResult } from '../support/load.ts'
import { Pace } from '../support/pace.ts'
import { saturationsOf } from '../support/saturation.ts'
import { number, type Goal, type Section, type Table } from '../support/section.ts'
import { seedKeys } from '../support/seed.ts'
import { medianOf, ratiosOf, summaryOf, type Summary } from '../support/statistics.ts'
import { withSpread } from '../support/with-spread.ts'

interface Found extends LoadResult {
  readonly flood: FloodFigures | undefined
}

const home = '192.0.2.1'
const alone = { name: 'alone', title: 'no flood' }
const floods: readonly Flood[] = [
  { name: 'known', title: 'as many requests with keys that exist', from: home, isKnown: true },
  { name: 'same', title: 'flood from the same address', from: home },
  { name: 'other', title: 'flood from another address', from: '198.51.100.1' },
  { name: 'many', title: 'flood from 5,000 addresses', from: 5000 }
]
const cases: ReadonlyArray<Flood | typeof alone> = [alone, ...floods]

const coldPerSecond = 40
const coldTriesMax = 10

/** What others notice of somebody who invents tokens. */
export async function flood (bench: Bench): Promise<Section> {
  const seconds = Math.max(1, Math.round(bench.options.seconds * 2 / 3))
  const databaseUrl = await bench.database()
  const count = bench.count(1000)
  const keys = { databaseUrl, tokensFile: await seedKeys({ databaseUrl, count, dir: bench.dir, workspaceId: 'flood' }) }
  const coldTokens = await coldTokensOf(bench, { databaseUrl, count: bench.options.generations * cases.length * seconds * coldPerSecond })
  const coldAnswers = new Map<string, ColdAnswers[]>(cases.map(({ name }) => [name, []]))
  let seed = 0

  const found = await inRounds<Flood | typeof alone, Found>(bench, cases, async (t) => {
    const { url } = await contenderOf(bench, keys).start(t)
    const legitimate = { url, shape: shapeFrom(home), tokensFile: keys.tokensFile }
    await askEveryKey({ ...legitimate, count })
    const [saturation] = (await saturationsOf([legitimate], (one) => one)).values()
    const pace = new Pace({ perSecond: saturation! / 4 })
    await pace.reach((at) => loadAllGood({ ...legitimate, ...at, seconds: 1 }))
    const flooding = new Floods({ dir: bench.dir, url, knownTokensFile: keys.tokensFile })
    for (const one of floods) await flooding.prepare(one)

    for (const one of cases) {
      const tokens = coldTokens.splice(0, seconds * coldPerSecond)
      const ask = () => askCold({ url, headers: shapeFrom(home).headers!, tokens, everyMs: 1000 / coldPerSecond, triesMax: coldTriesMax, againMs: 200 })
      const { found } = 'from' in one ? await flooding.during(one, seconds, ask) : { found: await ask() }
      coldAnswers.get(one.name)!.push(found)
    }
    return async (one) => {
      const ask = () => loadAllGood({ ...legitimate, ...pace.load, seconds, seed: ++seed })
      if (!('from' in one)) return { ...await ask(), flood: undefined }
      const { found, figures } = await flooding.during(one, seconds, ask)
      return { ...found, flood: figures }
    }
  })

  return {
    title: 'A flood of unknown tokens',
    about: 'Our plugin, with Redis, asked for 1,000 keys in memory at a quarter of what it can answer, alone and beside 2,000 requests a second with well-formed tokens of no key, no two alike. ' +
      'Addresses are those of `X-Forwarded-For`, from a trusted proxy. Every legitimate request was answered 200, else there were no figures here. ' +
      'As many more requests with keys that exist show what the flood costs merely by being requests. ' +
      `The last table is of keys that exist and are not in memory, ${coldPerSecond} a second from the legitimate address during each flood; who is answered 429 tries again 100 to 300 ms later, ${coldTriesMax} times in all at most. ` +
      'wrk, which sends both, and the stores share the other core, so a flood delays the measuring too.',
    tables: [latencyTable(found), floodTable(found), coldTable(coldAnswers)],
    goals: [...latencyGoals(found), ...lookupGoals(found), ...coldGoals(coldAnswers)]
  }
}

function contenderOf (bench: Bench, keys: Keys) {
  return plugin({ name: 'flood', title: 'our plugin', ...keys, redisUrl: bench.redisUrl(4), settings: { TRUST_PROXY: '1' } })
}

async function coldTokensOf (bench: Bench, { databaseUrl, count }: { readonly databaseUrl: string, readonly count: number }): Promise<string[]> {
  const file = await seedKeys({ databaseUrl, count, dir: bench.dir, workspaceId: 'flood-cold' })
  return readFileSync(file, 'utf8').trimEnd().split('\n')
}

type AllFound = ReadonlyMap<string, readonly Found[]>

function latencyTable (found: AllFound): Table {
  return {
    columns: ['legitimate traffic beside', 'requests/s', 'p50, ms', 'p99, ms', 'p99 beside no flood (= 1)', 'p99.9, ms'],
    rows: cases.map(({ name, title }) => {
      const of = (figure: (one: Found) => number) => summaryOf(found.get(name)!.map(figure))
      return [
        title,
        number(of(({ perSecond }) => perSecond).median),
        number(of(({ p50Us }) => p50Us / 1000).median),
        withSpread(of(({ p99Us }) => p99Us / 1000)),
        withSpread(besideNone(found, name)),
        number(of(({ p999Us }) => p999Us / 1000).median)
      ]
    })
  }
}

function floodTable (found: AllFound): Table {
  return {
    columns: ['each second of a', 'sent', 'answered 401', 'answered 429', 'statements', 'tokens looked up in Postgres'],
    rows: floods.map(({ name, title }) => [
      title,
      ...(['sent', 'unknown', 'tooMany', 'statements', 'digests'] as const).map((figure) => number(medianFigure(found, name, figure)))
    ])
  }
}

function coldTable (answers: ReadonlyMap<string, readonly ColdAnswers[]>): Table {
  return {
    columns: ['keys not in memory beside', 'asked for', '200 at first', '200 within 2 tries', `200 within ${coldTriesMax} tries`, 'wait for it, median, ms', 'longest, ms'],
    rows: cases.map(({ name, title }) => {
      const waitedMs = answers.get(name)!.flatMap(({ waitedMs }) => waitedMs)
      return [
        title,
        String(answers.get(name)!.flatMap(({ tries }) => tries).length),
        number(shareWithin(answers, name, 1)),
        number(shareWithin(answers, name, 2)),
        number(shareWithin(answers, name, coldTriesMax)),
        number(medianOf(waitedMs)),
        number(Math.max(...waitedMs))
      ]
    })
  }
}

function latencyGoals (found: AllFound): Goal[] {
  return floods.filter(({ isKnown }) => isKnown !== true).map(({ name, title }) => ({
    what: `p99 of legitimate traffic, ${title}, beside no flood`,
    atMost: 2,
    reached: besideNone(found, name).median
  }))
}

function lookupGoals (found: AllFound): Goal[] {
  // A budget of 600 a minute, each perhaps a statement of its own, and twenty rounds of the over-budget queue; a few more for the window.
  return [{ what: 'statements a second for a flood from one address', atMost: 35, reached: medianFigure(found, 'other', 'statements') }]
}

function coldGoals (answers: ReadonlyMap<string, readonly ColdAnswers[]>): Goal[] {
  return [
    { what: 'share of keys not in memory that are told 429 once at most, flood from the same address', atLeast: 1, reached: shareWithin(answers, 'same', 2) }
  ]
}

function shareWithin (answers: ReadonlyMap<string, readonly ColdAnswers[]>, name: string, triesMax: number): number {
  const all = answers.get(name)!.flatMap(({ tries }) => tries)
  return all.filter((tries) => tries !== undefined && tries <= triesMax).length / all.length
}

function medianFigure (found: AllFound, name: string, figure: keyof FloodFigures): number {
  return medianOf(found.get(name)!.map(({ flood }) => flood![figure]))
}

function besideNone (found: AllFound, name: string): Summary {
  const p99sOf = (of: string) => found.get(of)!.map(({ p99Us }) => p99Us)
  return ratiosOf(p99sOf(name), p99sOf(alone.name))
}
