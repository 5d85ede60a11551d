import { sql, type SQL } from 'drizzle-orm'
import { v7 as uuidv7 } from 'uuid'
import { digestToBytes, type ManagedKey } from '../../core/key-record.ts'
import type { CreateRequest, NewKey } from '../../core/key-store.ts'
import type { Database } from '../connect.ts'
import { managedKeyColumns, timestamp, toManagedKey, type ManagedKeyRow } from './managed-key.ts'

interface InsertOptions {
  /** What the caller's `Idempotency-Key` is claimed with, in the same statement. */
  readonly request: CreateRequest | undefined
  /** By the database's clock, as it says it: later than this nothing is made. */
  readonly notAfter: string
}

// Each claim adds one row and takes up to this many old ones away: no claim pays for a backlog.
const prunedMax = 10

/**
 * Writes a key and its audit row in one statement; `undefined` when nothing was made: the expiry is not in the future by the
 * database's clock, the `Idempotency-Key` is taken, or it is too late. A second claim at the same time waits here for the first.
 */
export async function insertKey (db: Database, key: NewKey, { request, notAfter }: InsertOptions): Promise<ManagedKey | undefined> {
  const expiresAt = timestamp(key.expiresAt)
  const details = JSON.stringify({ name: key.name, scope: key.scope, expires_at: expiresAt })
  const isInTime = sql`clock_timestamp() < ${notAfter}::timestamptz
    and (${expiresAt}::timestamptz is null or ${expiresAt}::timestamptz > clock_timestamp())`
  const mayMake = request === undefined ? isInTime : sql`exists (select from claimed)`
  const [row] = await db.execute<ManagedKeyRow>(sql`
    with ${request === undefined ? sql`` : claim(db, key, { request, isInTime })} made as (
      insert into ${db.tables.keys} (id, workspace_id, owner_id, name, scope, metadata, created_by, expires_at)
      select ${key.id}::uuid, ${key.workspaceId}, ${key.ownerId}::text, ${key.name}, ${key.scope},
        ${JSON.stringify(key.metadata)}::jsonb, ${key.createdBy}, ${expiresAt}::timestamptz
      where ${mayMake}
      returning *
    ), tokened as (
      insert into ${db.tables.tokens} (digest, key_id, hint, made_at)
      select ${digestToBytes(key.digest)}::bytea, id, ${key.hint}, created_at from made
    ), audited as (
      insert into ${db.tables.audit} (id, workspace_id, key_id, action, actor, details)
      select ${uuidv7()}::uuid, workspace_id, id, 'key.created', created_by, ${details}::jsonb from made
    )
    select ${managedKeyColumns(db, sql`${key.hint}::text`)} from made as keys`)
  return row === undefined ? undefined : toManagedKey(row)
}

/** Takes the `Idempotency-Key` for this key, for 24 hours, and deletes a few claims that nobody can ask about any more. */
function claim (db: Database, key: NewKey, { request: { requestDigest, bodyDigest }, isInTime }: { readonly request: CreateRequest, readonly isInTime: SQL }): SQL {
  const { idempotency } = db.tables
  return sql`pruned as (
      delete from ${idempotency} where (workspace_id, request_digest) in (
        select workspace_id, request_digest from ${idempotency}
        where created_at <= clock_timestamp() - interval '24 hours'
          and (workspace_id, request_digest) <> (${key.workspaceId}, ${Buffer.from(requestDigest)}::bytea)
        limit ${prunedMax} for update skip locked
      )
    ), claimed as (
      insert into ${idempotency} (workspace_id, request_digest, body_digest, key_id)
      select ${key.workspaceId}, ${Buffer.from(requestDigest)}::bytea, ${Buffer.from(bodyDigest)}::bytea, ${key.id}::uuid
      where ${isInTime}
      on conflict (workspace_id, request_digest) do update
      set body_digest = excluded.body_digest, key_id = excluded.key_id, created_at = clock_timestamp()
      where idempotency.created_at <= clock_timestamp() - interval '24 hours'
      returning key_id
    ),`
}
