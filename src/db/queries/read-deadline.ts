import { sql } from 'drizzle-orm'
import type { Database } from '../connect.ts'

/** What the database's clock will show `ms` milliseconds from now, in its own words. */
export async function readDeadline (db: Database, ms: number): Promise<string> {
  const [row] = await db.execute<{ deadline: string }>(sql`select (clock_timestamp() + ${ms}::float8 * interval '1 millisecond')::text as deadline`)
  if (row === undefined) throw new Error('The database did not tell the time.')
  return row.deadline
}
