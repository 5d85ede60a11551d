import type { Sql } from 'postgres'
import { settleWindowLength } from './settle-window-length.ts'

/** Deletes every membership row. Only for who knows that no member lives: it would let a change pass one that still accepts. */
export async function clearMembers (sql: Sql): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`select from revocation_clock where id = 1 for update`
    await tx`delete from window_members`
    await settleWindowLength(tx)
  })
}
