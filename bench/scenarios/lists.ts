import postgres from 'postgres'
import type { Bench } from '../bench.ts'
import { managementToken, serviceSettings } from '../contenders.ts'
import { atATime } from '../support/at-a-time.ts'
import { Client } from '../support/client.ts'
import { percentileOf } from '../support/percentile.ts'
import { Program } from '../support/program.ts'
import { number, type Goal, type Section, type Table } from '../support/section.ts'
import { seedHistory } from '../support/seed-history.ts'
import { medianOf, summaryOf } from '../support/statistics.ts'
import { withSpread } from '../support/with-spread.ts'

const kinds = [
  { name: 'active', query: 'status=active' },
  { name: 'expired', query: 'status=expired' },
  { name: 'revoked', query: 'status=revoked' },
  { name: 'all', query: 'status=all' },
  { name: 'of the owner of most', query: 'owner_id=bench-owner' },
  { name: 'of the owner of few', query: 'owner_id=rare-owner' },
  { name: 'of the scope of most', query: 'scope=mcp:write' },
  { name: 'of the scope of few', query: 'scope=mcp:read' },
  { name: 'a part of most names', query: 'q=bench' },
  { name: 'a part of one name in 250', query: 'q=123' },
  { name: 'a part of few names', query: 'q=needle' },
  { name: 'a part of no name', query: 'q=nowhere' },
  { name: 'two letters of most names', query: 'q=be' },
  { name: 'two letters of few names', query: 'q=ne' },
  { name: 'two letters of no name', query: 'q=zz' },
  { name: 'unused, as most are', query: 'unused_days=5' },
  { name: 'unused, as few are', query: 'unused_days=30' },
  { name: 'unused, as none is', query: 'unused_days=800' },
  { name: 'expiring within 30 days', query: 'expires_within_days=30' },
  { name: 'expiring within 400 days', query: 'expires_within_days=400' }
] as const
type Kind = typeof kinds[number]

/** Whose list: of the small workspace, or of the large one at its beginning or far into it. */
const places = ['small', 'first', 'deep'] as const
type Place = typeof places[number]

interface Page {
  rows: number
  readonly ms: number[]
}

type Pages = ReadonlyMap<Kind, Readonly<Record<Place, Page>>>

interface Creates {
  readonly large: number[]
  readonly small: number[]
}

const smallKeys = 100
const smallWorkspaces = 1000
const requestsPerRound = 20
const pagesDeep = 300
const walkMs = 3000

export async function lists (bench: Bench): Promise<Section> {
  const many = bench.count(1_000_000)
  const databaseUrl = await seeded(bench, many)
  const pages: Pages = new Map(kinds.map((kind) => [kind, { small: { rows: 0, ms: [] }, first: { rows: 0, ms: [] }, deep: { rows: 0, ms: [] } }]))
  const createMs: Creates = { large: [], small: [] }
  const createsPerSecond: Creates = { large: [], small: [] }
  const redisUrl = bench.redisUrl(4)

  for (let generation = 0; generation < bench.options.generations; generation++) {
    await bench.scope(async (t) => {
      const program = await Program.startService(t, { name: 'lists', env: serviceSettings({ databaseUrl, redisUrl }) })
      const client = new Client(t, { url: program.urlOf(''), credential: managementToken })
      const cursors = new Map<Kind, readonly string[]>()
      for (const kind of kinds) cursors.set(kind, await cursorsOf(bench, client, kind))
      await listInRounds(bench, client, cursors, pages)
      await createInRounds(bench, client, generation, createMs, createsPerSecond)
    })
  }

  return {
    title: 'A workspace with a million keys',
    about: `The whole service, one process. In one database: a workspace of ${number(many)} keys and ${number(bench.count(smallWorkspaces))} of ${smallKeys}, all made evenly over 700 days, every tenth revoked, every tenth made to expire after 90 days, every tenth to expire within 400 days from now, each with a last use. Filters that most keys pass, that one of 89 to one of 9,973 passes, and that none does. \`GET /v1/workspaces/{id}/keys?limit=50\` one after another, the three places by turns; "deep" is behind a cursor drawn at random from those of the later half of ${pagesDeep} pages of 200 (of as many as there are, or as can be walked in ${walkMs / 1000} s). Times are the client's, with a connection that stays open. Where a list has no second page of 200, there is nothing deep; where a small workspace has fewer rows than a page, its answer is smaller. A search looks at 20,000 keys along the list for a page at most, which may then be short. Creates go by turns to the large workspace and to one small one after another.`,
    tables: [pageTable(pages), createTable(createMs, createsPerSecond)],
    goals: kinds.flatMap((kind) => goalsOf(kind, pages))
  }
}

async function seeded (bench: Bench, many: number): Promise<string> {
  const databaseUrl = await bench.database()
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} })
  try {
    await seedHistory({ sql, workspaceId: 'large', count: many })
    await seedHistory({ sql, workspaceId: 'small', count: bench.count(smallWorkspaces) * smallKeys, keysPerWorkspace: smallKeys })
    await sql`vacuum analyze`
  } finally {
    await sql.end({ timeout: 5 })
  }
  bench.tell(`${many} keys are in one workspace`)
  return databaseUrl
}

/** Of the later half of the pages that were walked. */
async function cursorsOf (bench: Bench, client: Client, kind: Kind): Promise<readonly string[]> {
  const cursors: string[] = []
  const end = performance.now() + walkMs
  for (let page = 0; page < pagesDeep && performance.now() < end; page++) {
    const { body } = await client.ask('GET', `${pathOf('large', kind)}&limit=200${cursorPart(cursors.at(-1))}`)
    // A page of 50 must be left behind it.
    if (body.next_cursor === null || body.keys.length < 200) break
    cursors.push(body.next_cursor)
  }
  if (cursors.length < pagesDeep) bench.tell(`only ${cursors.length} pages were walked: ${kind.name}`)
  return cursors.slice(cursors.length >> 1)
}

async function listInRounds (bench: Bench, client: Client, cursors: ReadonlyMap<Kind, readonly string[]>, pages: Pages): Promise<void> {
  // The first round is not counted: connections open, statements are planned, code is compiled.
  for (let round = -1; round < bench.options.rounds; round++) {
    for (let i = 0; i < requestsPerRound; i++) {
      for (const kind of kinds) {
        for (let k = 0; k < places.length; k++) {
          const place = places[(i + k) % places.length]!
          const behind = cursors.get(kind)!
          if (place === 'deep' && behind.length === 0) continue
          const { body, ms } = await client.ask('GET', `${pathOf(place === 'small' ? 'small' : 'large', kind)}&limit=50${cursorPart(place === 'deep' ? oneOf(behind) : undefined)}`)
          const page = pages.get(kind)![place]
          page.rows = body.keys.length
          if (round >= 0) page.ms.push(ms)
        }
      }
    }
  }
  bench.tell('pages were listed')
}

async function createInRounds (bench: Bench, client: Client, generation: number, createMs: Creates, createsPerSecond: Creates): Promise<void> {
  // Never the one whose list is measured, and so few in each that all remain small.
  let next = generation
  const create = async (size: keyof Creates) => {
    next = next % (bench.count(smallWorkspaces) - 1) + 1
    const workspaceId = size === 'large' ? 'large' : `small-${next}`
    return (await client.ask('POST', `/v1/workspaces/${workspaceId}/keys`, { name: 'Bench key', scope: 'mcp:read' })).ms
  }
  for (let round = -1; round < bench.options.rounds; round++) {
    for (let i = 0; i < requestsPerRound; i++) {
      for (const size of ['large', 'small'] as const) {
        const ms = await create(size)
        if (round >= 0) createMs[size].push(ms)
      }
    }
    for (const size of round % 2 === 0 ? ['large', 'small'] as const : ['small', 'large'] as const) {
      const { perSecond } = await atATime({ workers: 8, seconds: bench.options.seconds / 3, one: () => create(size) })
      if (round >= 0) createsPerSecond[size].push(perSecond)
    }
  }
}

function pageTable (pages: Pages): Table {
  const cells = (page: Page) => page.ms.length === 0 ? ['', ''] : [number(percentileOf(page.ms, 0.5)), number(percentileOf(page.ms, 0.99))]
  return {
    columns: ['keys', `rows: of ${smallKeys} / of many`, `of ${smallKeys}: p50, ms`, 'p99', 'of many, first page: p50', 'p99', 'deep: p50', 'p99', 'first / small', 'deep / small'],
    rows: kinds.map((kind) => {
      const { small, first, deep } = pages.get(kind)!
      return [kind.name, `${small.rows} / ${first.rows}`, ...cells(small), ...cells(first), ...cells(deep), number(ratio(first, small)), deep.ms.length === 0 ? '' : number(ratio(deep, small))]
    })
  }
}

function createTable (createMs: Creates, createsPerSecond: Creates): Table {
  return {
    columns: ['create in', 'one after another: p50, ms', 'p99', 'per second', '8 at a time, per second'],
    rows: (['small', 'large'] as const).map((size) => {
      const ms = createMs[size]
      const oneByOne = 1000 * ms.length / ms.reduce((sum, one) => sum + one, 0)
      return [`a ${size} workspace`, ...[percentileOf(ms, 0.5), percentileOf(ms, 0.99), oneByOne].map(number), withSpread(summaryOf(createsPerSecond[size]))]
    })
  }
}

function goalsOf (kind: Kind, pages: Pages): Goal[] {
  const { small, first, deep } = pages.get(kind)!
  return [
    { what: `${kind.name}: the first page beside that of ${smallKeys}, medians`, atMost: 3, reached: ratio(first, small) },
    ...deep.ms.length === 0 ? [] : [{ what: `${kind.name}: a page deep inside`, atMost: 3, reached: ratio(deep, small) }]
  ]
}

function ratio (page: Page, beside: Page): number {
  return medianOf(page.ms) / medianOf(beside.ms)
}

function pathOf (workspaceId: string, { query }: Kind): string {
  return `/v1/workspaces/${workspaceId}/keys?${query}`
}

function cursorPart (cursor: string | undefined): string {
  return cursor === undefined ? '' : `&cursor=${encodeURIComponent(cursor)}`
}

function oneOf<T> (values: readonly T[]): T {
  return values[Math.floor(Math.random() * values.length)]!
}
