import type { Sql } from 'postgres'
import { settleWindowLength } from './settle-window-length.ts'

/** Deletes a membership row; the member has shut its window before (R11). */
export async function leaveWindow (sql: Sql, id: string): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`select from revocation_clock where id = 1 for update`
    await tx`delete from window_members where id = ${id}::uuid`
    await settleWindowLength(tx)
  })
}
