import { openKeys, type Keys } from 'navis-keys'
import postgres, { type Sql } from 'postgres'
import type { Bench } from '../bench.ts'
import { number, type Section, type Table } from '../support/section.ts'
import { seedKeys } from '../support/seed.ts'
import { medianOf } from '../support/statistics.ts'
import { TokenFile } from '../support/token-file.ts'

interface Cost {
  readonly statements: number
  readonly written: number
  readonly walBytes: number
  /** Rows of `key_usage`, as Postgres counts them. */
  readonly updated: number
  readonly updatedInPlace: number
}

interface Case {
  readonly drawn: number
  /** Infinity: all at once. */
  readonly perSecond: number
}

interface Scene {
  readonly bench: Bench
  readonly databaseUrl: string
  readonly sql: Sql
  readonly file: TokenFile
}

const verifications = 10_000
const slow = 1000
const flushMs = 5000

export async function lastUsed (bench: Bench): Promise<Section> {
  const count = bench.count(100_000)
  const databaseUrl = await bench.database()
  const file = await TokenFile.open(await seedKeys({ databaseUrl, count, dir: bench.dir, keysPerWorkspace: 50 }))
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} })
  try {
    const scene = { bench, databaseUrl, sql, file }
    // Every key has been used before, and no page is written whole because it is the first time since a checkpoint.
    await sql`update navis_keys.key_usage set last_used_at = now() - interval '1 day'`
    await sql`vacuum analyze navis_keys.key_usage`
    await sql`checkpoint`
    await sql`update navis_keys.key_usage set last_used_at = last_used_at + interval '1 second'`
    await sql`vacuum analyze navis_keys.key_usage`

    const costs = new Map<Case, Cost>()
    for (const perSecond of [Infinity, slow]) {
      for (const drawn of [100, 1000, 10_000].map((keys) => bench.count(keys))) {
        const one = { drawn, perSecond }
        costs.set(one, await costOf(scene, one))
        bench.tell(`${verifications} verifications of ${drawn} keys, ${titleOf(perSecond)}`)
      }
    }
    return {
      title: 'When keys were last used',
      about: `${number(verifications)} verifications of one engine, of keys that are in memory and were used before, drawn at random: within one time of \`LAST_USED_FLUSH_MS\` (5 s), medians of ${bench.options.rounds} rounds; and ${number(slow)} a second, so that they go over two or three such times, once. WAL is what the server wrote in that time less what it writes in a time as long without a verification, while the engine renews its window. Updates are as \`pg_stat_user_tables\` counts them; HOT ones touch no index. The database has ${number(count)} keys.`,
      tables: [table(costs)],
      goals: []
    }
  } finally {
    await file.close()
    await sql.end({ timeout: 5 })
  }
}

async function costOf ({ bench, databaseUrl, sql, file }: Scene, { drawn, perSecond }: Case): Promise<Cost> {
  const isAtOnce = perSecond === Infinity
  const keys = await openKeys({ databaseUrl, lastUsedFlushMs: isAtOnce ? 3_600_000 : flushMs })
  try {
    const tokens = await file.spread(file.count, drawn)
    const verify = async (token: string) => {
      if (!(await keys.verifier.verify(token)).valid) throw new Error('A key was refused.')
    }
    await Promise.all(tokens.map(verify))
    await keys.usage.flush()
    const idleBytesPerMs = await idleWal(sql)
    const rounds: Cost[] = []
    for (let round = 0; round < (isAtOnce ? bench.options.rounds : 1); round++) {
      const before = await read(sql, keys, () => verify(tokens[0]!))
      const start = performance.now()
      const perTurn = isAtOnce ? verifications : perSecond / 100
      for (let i = 0; i < verifications; i += perTurn) {
        for (let k = 0; k < perTurn; k++) await verify(tokens[Math.floor(Math.random() * tokens.length)]!)
        if (!isAtOnce) await sleep(start + (i + perTurn) / perSecond * 1000 - performance.now())
      }
      await keys.usage.flush()
      const walBytes = await walPosition(sql) - before.wal - idleBytesPerMs * (performance.now() - start)
      const { statements, written } = countsOf(keys)
      const after = await read(sql, keys, () => verify(tokens[0]!))
      rounds.push({
        statements: statements - before.statements,
        written: written - before.written,
        walBytes,
        // One is of the use that `read` noted.
        updated: after.updated - before.updated - 1,
        updatedInPlace: after.updatedInPlace - before.updatedInPlace - 1
      })
    }
    const median = (of: keyof Cost) => medianOf(rounds.map((round) => round[of]))
    return { statements: median('statements'), written: median('written'), walBytes: median('walBytes'), updated: median('updated'), updatedInPlace: median('updatedInPlace') }
  } finally {
    await keys.close()
  }
}

// A connection of Postgres reports what it has counted with the next statement that comes a second later.
async function read (sql: Sql, keys: Keys, use: () => Promise<void>) {
  await sleep(1100)
  await use()
  await keys.usage.flush()
  const [row] = await sql`select n_tup_upd::float8 as updated, n_tup_hot_upd::float8 as in_place from pg_stat_user_tables where relname = 'key_usage'`
  return { ...countsOf(keys), updated: row!['updated'] as number, updatedInPlace: row!['in_place'] as number, wal: await walPosition(sql) }
}

function countsOf (keys: Keys) {
  const { flushes, flushed } = keys.stats().usage
  return { statements: flushes, written: flushed }
}

async function walPosition (sql: Sql): Promise<number> {
  const [row] = await sql`select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as wal`
  return row!['wal'] as number
}

async function idleWal (sql: Sql): Promise<number> {
  const [start, before] = [performance.now(), await walPosition(sql)]
  await sleep(3000)
  return (await walPosition(sql) - before) / (performance.now() - start)
}

async function sleep (ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)))
}

function table (costs: ReadonlyMap<Case, Cost>): Table {
  return {
    columns: ['verifications', 'keys drawn from', 'statements', 'uses written', 'rows updated', 'of them HOT', 'WAL, kB', 'WAL per use written, bytes'],
    rows: [...costs].map(([{ drawn, perSecond }, { statements, written, updated, updatedInPlace, walBytes }]) => [
      titleOf(perSecond),
      drawn.toLocaleString('en-US'),
      ...[statements, written, updated, updatedInPlace].map((value) => value.toLocaleString('en-US')),
      number(walBytes / 1000),
      number(walBytes / written)
    ])
  }
}

function titleOf (perSecond: number): string {
  return perSecond === Infinity ? 'at once' : `${number(perSecond)} a second`
}
