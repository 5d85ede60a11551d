import { sql, type SQL } from 'drizzle-orm'
import type { IdempotentRequest } from '../../core/key-store.ts'
import type { Database } from '../connect.ts'

/** The key that this request has made or rotated before, and with which body. */
export interface EarlierRequest {
  readonly keyId: string
  readonly bodyDigest: Buffer
}

interface Claim {
  readonly workspaceId: string
  readonly request: IdempotentRequest
  readonly keyId: string
}

// Each claim adds one row and takes up to this many old ones away: no claim pays for a backlog.
const prunedMax = 10

/** Whether an `Idempotency-Key` has made a key within 24 hours. */
export async function findRequest (db: Database, workspaceId: string, { requestDigest }: IdempotentRequest): Promise<EarlierRequest | undefined> {
  const [earlier] = await db.execute<{ key_id: string, body_digest: Buffer }>(sql`
    select key_id, body_digest from ${db.tables.idempotency}
    where workspace_id = ${workspaceId} and request_digest = ${Buffer.from(requestDigest)}::bytea
      and created_at > clock_timestamp() - interval '24 hours'`)
  return earlier && { keyId: earlier.key_id, bodyDigest: Buffer.from(earlier.body_digest) }
}

/**
 * Takes the `Idempotency-Key` for this key, for 24 hours, where `condition` holds for `judged`, and deletes a few claims that nobody can ask about
 * any more. `claimed` has a row if the claim was free. A second claim at the same time waits here for the first.
 */
export function claim ({ tables: { idempotency } }: Database, { workspaceId, keyId, request: { requestDigest, bodyDigest } }: Claim, condition: SQL): SQL {
  return sql`pruned as (
      delete from ${idempotency} where (workspace_id, request_digest) in (
        select workspace_id, request_digest from ${idempotency}
        where created_at <= clock_timestamp() - interval '24 hours'
          and (workspace_id, request_digest) <> (${workspaceId}, ${Buffer.from(requestDigest)}::bytea)
        limit ${prunedMax} for update skip locked
      )
    ), claimed as (
      insert into ${idempotency} (workspace_id, request_digest, body_digest, key_id)
      select ${workspaceId}, ${Buffer.from(requestDigest)}::bytea, ${Buffer.from(bodyDigest)}::bytea, ${keyId}::uuid
      from judged where ${condition}
      on conflict (workspace_id, request_digest) do update
      set body_digest = excluded.body_digest, key_id = excluded.key_id, created_at = clock_timestamp()
      where idempotency.created_at <= clock_timestamp() - interval '24 hours'
      returning key_id
    )`
}
