import type { Sql } from 'postgres'
import { inOneTransaction } from '../one-transaction.ts'
import { lockClock, settleWindowLength } from './settle-window-length.ts'

/** Deletes every membership row. Only for who knows that no member lives: it would let a change pass one that still accepts. */
export async function clearMembers (sql: Sql, schema: string): Promise<void> {
  await inOneTransaction(sql, [lockClock(schema), `delete from "${schema}".window_members`, settleWindowLength(schema)])
}
