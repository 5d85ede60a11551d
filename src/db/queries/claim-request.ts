import { sql } from 'drizzle-orm'
import type { CreateRequest } from '../../core/key-store.ts'
import type { Database } from '../connect.ts'

interface Claim {
  readonly workspaceId: string
  readonly keyId: string
  readonly request: CreateRequest
}

/** The key that this request has made before, and with which body. */
export interface EarlierRequest {
  readonly keyId: string
  readonly bodyDigest: Buffer
}

/**
 * Takes an `Idempotency-Key` for a new key; resolves to the earlier request where it is taken, for 24 hours. A second claim
 * at the same time waits here until the first one's transaction has ended.
 */
export async function claimRequest (db: Database, { workspaceId, keyId, request }: Claim): Promise<EarlierRequest | undefined> {
  const taken = await db.execute(sql`
    insert into idempotency (workspace_id, request_digest, body_digest, key_id)
    values (${workspaceId}, ${Buffer.from(request.requestDigest)}::bytea, ${Buffer.from(request.bodyDigest)}::bytea, ${keyId}::uuid)
    on conflict (workspace_id, request_digest) do update
    set body_digest = excluded.body_digest, key_id = excluded.key_id, created_at = clock_timestamp()
    where idempotency.created_at <= clock_timestamp() - interval '24 hours'
    returning key_id`)
  if (taken.length > 0) return undefined
  const [earlier] = await db.execute<{ key_id: string, body_digest: Buffer }>(sql`
    select key_id, body_digest from idempotency
    where workspace_id = ${workspaceId} and request_digest = ${Buffer.from(request.requestDigest)}::bytea`)
  // It was pruned in between: as good as never made.
  if (earlier === undefined) return await claimRequest(db, { workspaceId, keyId, request })
  return { keyId: earlier.key_id, bodyDigest: Buffer.from(earlier.body_digest) }
}
