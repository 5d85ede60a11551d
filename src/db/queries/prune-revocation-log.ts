import type { Sql } from 'postgres'
import { settleWindowLength } from './settle-window-length.ts'

const rowsAtATime = 1000

/**
 * Deletes up to a thousand of the oldest log rows beyond the newest `keepRows`, and forgets the long dead. The clock's
 * lock is held meanwhile, and every change waits for it: hence the bound. `pruned_to` rises in the same transaction.
 */
export async function pruneRevocationLog (sql: Sql, keepRows: number): Promise<number> {
  await sql`delete from window_members where dead_at < clock_timestamp() - interval '1 day'`
  const [reach] = await sql<[{ to: number | null }]>`
    select least(seq - ${keepRows}::bigint, (select min(seq) from revocation_log) + ${rowsAtATime - 1}::bigint)::float8 as to
    from revocation_clock where id = 1 and seq - ${keepRows}::bigint >= (select min(seq) from revocation_log)`
  const to = reach?.to ?? null
  if (to === null) return 0
  return await sql.begin(async (tx) => {
    await tx`update revocation_clock set pruned_to = greatest(pruned_to, ${to}::bigint) where id = 1`
    const deleted = await tx`delete from revocation_log where seq <= ${to}::bigint`
    await settleWindowLength(tx)
    return deleted.count
  })
}
