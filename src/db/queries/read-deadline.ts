import { sql } from 'drizzle-orm'
import type { Database } from '../connect.ts'
import { asText, provenRead } from '../proof.ts'

/** What the database's clock will show `ms` milliseconds from now, in its own words. */
export async function readDeadline (db: Database, ms: number): Promise<string> {
  const { deadline } = await provenRead<{ deadline: unknown }>(db, (proof) => sql`select ${proof}, (clock_timestamp() + ${ms}::float8 * interval '1 millisecond')::text as deadline`)
  return asText(deadline, 'deadline')
}
