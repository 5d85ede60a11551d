import type { Sql } from 'postgres'
import { settleWindowLength } from './settle-window-length.ts'

/**
 * Commits a membership row, before the member's first renewal is sent (R2). Under the clock's row lock: a change that
 * commits later waits for the new member's window too, one that commits earlier is seen by its first renewal.
 */
export async function joinWindow (sql: Sql, id: string, windowMs: number): Promise<{ rowSecret: Buffer }> {
  return await sql.begin(async (tx) => {
    const [clock] = await tx<[{ row_secret: Buffer }]>`select row_secret from revocation_clock where id = 1 for update`
    await tx`insert into window_members (id, window_ms) values (${id}::uuid, ${windowMs}) on conflict (id) do nothing`
    await settleWindowLength(tx)
    return { rowSecret: clock.row_secret }
  })
}
