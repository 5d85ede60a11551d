import { openKeys, type Keys } from 'navis-keys'
import type { Sql } from 'postgres'
import type { Bench } from '../bench.ts'
import { medianOf } from './statistics.ts'
import type { TokenFile } from './token-file.ts'

/** What 10,000 verifications make the database write. */
export interface UsageWrites {
  readonly statements: number
  readonly written: number
  readonly walBytes: number
  /** Rows of `key_usage`, as Postgres counts them. */
  readonly updated: number
  readonly updatedInPlace: number
}

export interface UsageCase {
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

export const verifications = 10_000
const flushMs = 5000

/** Every key has been used before, and no page is written whole because it is the first time since a checkpoint. */
export async function useEveryKey (sql: Sql): Promise<void> {
  await sql`update navis_keys.key_usage set last_used_at = now() - interval '1 day'`
  await sql`vacuum analyze navis_keys.key_usage`
  await sql`checkpoint`
  await sql`update navis_keys.key_usage set last_used_at = last_used_at + interval '1 second'`
  await sql`vacuum analyze navis_keys.key_usage`
}

export async function usageWritesOf ({ bench, databaseUrl, sql, file }: Scene, { drawn, perSecond }: UsageCase): Promise<UsageWrites> {
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
    const rounds: UsageWrites[] = []
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
    const median = (of: keyof UsageWrites) => medianOf(rounds.map((round) => round[of]))
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

/** Bytes a millisecond. The median second: the server also vacuums, and writes pages whole, now and then. */
async function idleWal (sql: Sql): Promise<number> {
  const rates: number[] = []
  for (let i = 0; i < 5; i++) {
    const [start, before] = [performance.now(), await walPosition(sql)]
    await sleep(1000)
    rates.push((await walPosition(sql) - before) / (performance.now() - start))
  }
  return medianOf(rates)
}

async function sleep (ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)))
}
