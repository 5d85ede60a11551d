import type { Sql } from 'postgres'
import { inOneTransaction, integer, uuid } from '../one-transaction.ts'
import { lockClock, settleWindowLength } from './settle-window-length.ts'

/**
 * Commits a membership row, before the member's first renewal is sent (R2). Under the clock's row lock: a change that
 * commits later waits for the new member's window too, one that commits earlier is seen by its first renewal.
 */
export async function joinWindow (sql: Sql, schema: string, { id, windowMs }: { readonly id: string, readonly windowMs: number }): Promise<{ rowSecret: Buffer }> {
  const [clock] = await inOneTransaction(sql, [
    lockClock(schema),
    `insert into "${schema}".window_members (id, window_ms) values (${uuid(id)}, ${integer(windowMs)}) on conflict (id) do nothing`,
    settleWindowLength(schema)
  ])
  if (clock === undefined) throw new Error('The revocation clock is missing from the database.')
  return { rowSecret: clock.row_secret as Buffer }
}
