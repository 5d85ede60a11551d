import type { Sql } from 'postgres'
import { inOneTransaction } from '../one-transaction.ts'
import { lockClock, settleWindowLength } from './settle-window-length.ts'

/** Deletes every membership row. Only for who knows that no member lives: it would let a change pass one that still accepts. */
export async function clearMembers (sql: Sql): Promise<void> {
  await inOneTransaction(sql, [lockClock, 'delete from window_members', settleWindowLength])
}
