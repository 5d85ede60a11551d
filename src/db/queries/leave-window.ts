import type { Sql } from 'postgres'
import { inOneTransaction, uuid } from '../one-transaction.ts'
import { lockClock, settleWindowLength } from './settle-window-length.ts'

/** Deletes a membership row; the member has shut its window before (R11). */
export async function leaveWindow (sql: Sql, id: string): Promise<void> {
  await inOneTransaction(sql, [lockClock, `delete from window_members where id = ${uuid(id)}`, settleWindowLength])
}
