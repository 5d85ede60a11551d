import type { Sql } from 'postgres'
import { inOneTransaction, integer } from '../one-transaction.ts'
import { settleWindowLength } from './settle-window-length.ts'

const rowsAtATime = 1000

/**
 * Deletes up to a thousand of the oldest log rows beyond the newest `keepRows`, and forgets the long dead. The clock's
 * lock is held meanwhile, and every change waits for it: hence the bound. `pruned_to` rises in the same transaction.
 */
export async function pruneRevocationLog (sql: Sql, schema: string, keepRows: number): Promise<number> {
  await sql`delete from ${sql(schema)}.window_members where dead_at < clock_timestamp() - interval '1 day'`
  const [reach] = await sql<[{ to: number | null }]>`
    select least(seq - ${keepRows}::bigint, (select min(seq) from ${sql(schema)}.revocation_log) + ${rowsAtATime - 1}::bigint)::float8 as to
    from ${sql(schema)}.revocation_clock where id = 1 and seq - ${keepRows}::bigint >= (select min(seq) from ${sql(schema)}.revocation_log)`
  const to = reach?.to ?? null
  if (to === null) return 0
  const [gone] = await inOneTransaction(sql, [
    `update "${schema}".revocation_clock set pruned_to = greatest(pruned_to, ${integer(to)}) where id = 1`,
    `with gone as (delete from "${schema}".revocation_log where seq <= ${integer(to)} returning seq) select count(*)::int as rows from gone`,
    settleWindowLength(schema)
  ])
  return gone?.rows as number
}
