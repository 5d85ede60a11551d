import { sql } from 'drizzle-orm'
import type { Database } from '../connect.ts'

export async function endSession (db: Database, digest: Buffer): Promise<void> {
  await db.execute(sql`delete from ${db.tables.sessions} as sessions where digest = ${digest}`)
}
