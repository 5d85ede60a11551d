import { sql } from 'drizzle-orm'
import type { Database } from '../connect.ts'

// Each claim adds one row and takes up to this many away: the table shrinks to what is younger than a day, and no claim pays for a backlog.
const rowsMax = 10

/** Deletes a few claims that nobody can ask about any more. */
export async function pruneRequests (db: Database): Promise<void> {
  await db.execute(sql`
    delete from idempotency where ctid in (
      select ctid from idempotency where created_at <= clock_timestamp() - interval '24 hours' limit ${rowsMax} for update skip locked
    )`)
}
