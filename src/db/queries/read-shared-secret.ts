import { sql } from 'drizzle-orm'
import type { Database } from '../connect.ts'
import { asText, provenRead } from '../proof.ts'

export async function readSharedSecret (db: Database): Promise<Buffer> {
  const { secret } = await provenRead<{ secret: unknown }>(db, (proof) => sql`select ${proof}, encode(row_secret, 'hex') as secret from ${db.tables.revocationClock} where id = 1`)
  return Buffer.from(asText(secret, 'secret'), 'hex')
}
