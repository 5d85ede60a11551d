import { sql } from 'drizzle-orm'
import { v7 as uuidv7 } from 'uuid'
import { digestFromBytes, type Digest } from '../../core/key-record.ts'
import type { KeyChange, LogPosition } from '../../core/key-store.ts'
import type { Database } from '../connect.ts'

interface RevokedRow {
  digest: Buffer
  seq: string
  window_ms: number
  [column: string]: unknown
}

/**
 * Revokes a key, in one statement: a process that is stopped half way holds no lock. A key that is revoked already gets a place in the log
 * again (R8 a) and keeps its first time, person and reason.
 */
export async function revokeKey (db: Database, { workspaceId, keyId, actor, reason }: KeyChange & { readonly reason: string | undefined }): Promise<{ digest: Digest, logged: LogPosition } | undefined> {
  const [row] = await db.execute<RevokedRow>(sql`
    with target as materialized (
      select id, array(select tokens.digest from ${db.tables.tokens} where tokens.key_id = keys.id order by tokens.is_current desc, tokens.digest) as digests, workspace_id, revoked_at from ${db.tables.keys} where id = ${keyId}::uuid and workspace_id = ${workspaceId} for update
    ), tick as (
      update ${db.tables.revocationClock} set seq = seq + 1 from target where revocation_clock.id = 1 returning seq, window_ms
    ), logged as (
      insert into ${db.tables.revocationLog} (seq, action, digests) select tick.seq, 'revoke', target.digests from tick, target
    ), revoked as (
      update ${db.tables.keys} set
        revoked_at = coalesce(keys.revoked_at, clock_timestamp()),
        revoked_by = coalesce(keys.revoked_by, ${actor}::text),
        revoke_reason = case when keys.revoked_at is null then ${reason ?? null}::text else keys.revoke_reason end
      from tick, target where keys.id = target.id
    ), audited as (
      insert into ${db.tables.audit} (id, workspace_id, key_id, action, actor, details)
      select ${uuidv7()}::uuid, target.workspace_id, target.id,
        case when target.revoked_at is null then 'key.revoked' else 'key.revoked_again' end, ${actor}, ${JSON.stringify({ reason: reason ?? null })}::jsonb
      from tick, target
    )
    select target.digests[1] as digest, tick.seq, tick.window_ms from tick, target`)
  if (row === undefined) return undefined
  return { digest: digestFromBytes(row.digest), logged: { seq: Number(row.seq), windowMs: row.window_ms } }
}
