import { eq } from 'drizzle-orm'
import type { Database } from '../connect.ts'

export async function readSharedSecret (db: Database): Promise<Buffer> {
  const { revocationClock } = db.tables
  const [row] = await db.select({ rowSecret: revocationClock.rowSecret }).from(revocationClock).where(eq(revocationClock.id, 1))
  if (row === undefined) throw new Error('The revocation clock has no row: the database was not migrated by Navis Keys.')
  return row.rowSecret
}
