import { sql } from 'drizzle-orm'
import { v7 as uuidv7 } from 'uuid'
import { digestFromBytes } from '../../core/key-record.ts'
import type { Edited, KeyEdit } from '../../core/key-store.ts'
import type { Database } from '../connect.ts'
import { managedKeyColumns, timestamp, toManagedKey, type ManagedKeyRow } from './managed-key.ts'

interface EditedRow extends ManagedKeyRow {
  outcome: 'edited' | 'revoked' | 'expiry_past'
  shortened: boolean
  digest: Buffer
  seq: string
  window_ms: number
}

/**
 * Renames a key or moves its expiry, in one statement, hence one transaction that no stopped process can hold open. The key's row
 * is locked first and the clock's last, here as in every change: whether the expiry moves ahead is judged on the row as it is then.
 */
export async function editKey (db: Database, edit: KeyEdit): Promise<Edited> {
  const expiresAt = timestamp(edit.expiresAt)
  const moves = edit.expiresAt !== undefined
  const name = edit.name ?? null
  const details = JSON.stringify({
    ...(name === null ? {} : { name }),
    ...(moves ? { expires_at: expiresAt } : {})
  })
  const [row] = await db.execute<EditedRow>(sql`
    with target as materialized (
      select id, array(select tokens.digest from ${db.tables.tokens} where tokens.key_id = keys.id order by tokens.is_current desc, tokens.digest) as digests, workspace_id, expires_at, revoked_at from ${db.tables.keys}
      where id = ${edit.keyId}::uuid and workspace_id = ${edit.workspaceId} for update
    ), judged as materialized (
      select id, digests, workspace_id,
        case
          when revoked_at is not null then 'revoked'
          when ${moves}::boolean and ${expiresAt}::timestamptz <= clock_timestamp() then 'expiry_past'
          else 'edited'
        end as outcome,
        ${moves}::boolean and ${expiresAt}::timestamptz is not null and (expires_at is null or ${expiresAt}::timestamptz < expires_at) as shortened
      from target
    ), tick as (
      update ${db.tables.revocationClock} set seq = seq + 1 from judged where revocation_clock.id = 1 and judged.outcome = 'edited' returning seq, window_ms
    ), logged as (
      insert into ${db.tables.revocationLog} (seq, action, digests) select tick.seq, 'change', judged.digests from tick, judged
    ), edited as (
      update ${db.tables.keys} set
        name = coalesce(${name}::text, keys.name),
        expires_at = case when ${moves}::boolean then ${expiresAt}::timestamptz else keys.expires_at end
      from tick, judged where keys.id = judged.id
      returning keys.*
    ), audited as (
      insert into ${db.tables.audit} (id, workspace_id, key_id, action, actor, details)
      select ${uuidv7()}::uuid, judged.workspace_id, judged.id, 'key.changed', ${edit.actor}, ${details}::jsonb from tick, judged
    )
    select judged.outcome, judged.shortened, judged.digests[1] as digest, tick.seq, tick.window_ms, ${managedKeyColumns(db)}
    from judged left join tick on true left join edited as keys on true`)
  if (row === undefined) return { outcome: 'missing' }
  if (row.outcome !== 'edited') return { outcome: row.outcome }
  return {
    outcome: 'edited',
    key: toManagedKey(row),
    digest: digestFromBytes(row.digest),
    logged: { seq: Number(row.seq), windowMs: row.window_ms },
    shortened: row.shortened
  }
}
