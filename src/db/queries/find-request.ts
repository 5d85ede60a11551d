import { sql } from 'drizzle-orm'
import type { CreateRequest } from '../../core/key-store.ts'
import type { Database } from '../connect.ts'

/** The key that this request has made before, and with which body. */
export interface EarlierRequest {
  readonly keyId: string
  readonly bodyDigest: Buffer
}

/** Whether an `Idempotency-Key` has made a key within 24 hours. */
export async function findRequest (db: Database, workspaceId: string, { requestDigest }: CreateRequest): Promise<EarlierRequest | undefined> {
  const [earlier] = await db.execute<{ key_id: string, body_digest: Buffer }>(sql`
    select key_id, body_digest from ${db.tables.idempotency}
    where workspace_id = ${workspaceId} and request_digest = ${Buffer.from(requestDigest)}::bytea
      and created_at > clock_timestamp() - interval '24 hours'`)
  return earlier && { keyId: earlier.key_id, bodyDigest: Buffer.from(earlier.body_digest) }
}
