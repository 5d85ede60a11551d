import type { Sql } from 'postgres'
import { inOneTransaction, uuid } from '../one-transaction.ts'
import { lockClock, settleWindowLength } from './settle-window-length.ts'

/** Deletes a membership row; the member has shut its window before (R11). */
export async function leaveWindow (sql: Sql, schema: string, id: string): Promise<void> {
  await inOneTransaction(sql, [lockClock(schema), `delete from "${schema}".window_members where id = ${uuid(id)}`, settleWindowLength(schema)])
}
