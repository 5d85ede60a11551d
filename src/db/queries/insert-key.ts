import { sql } from 'drizzle-orm'
import { v7 as uuidv7 } from 'uuid'
import { digestToBytes, type ManagedKey } from '../../core/key-record.ts'
import type { NewKey } from '../../core/key-store.ts'
import type { Database } from '../connect.ts'
import { managedKeyColumns, timestamp, toManagedKey, type ManagedKeyRow } from './managed-key.ts'

/** Writes a key and its audit row; `undefined` when its expiry is not in the future by the database's clock. */
export async function insertKey (db: Database, key: NewKey): Promise<ManagedKey | undefined> {
  const expiresAt = timestamp(key.expiresAt)
  const details = JSON.stringify({ name: key.name, scope: key.scope, expires_at: expiresAt })
  const [row] = await db.execute<ManagedKeyRow>(sql`
    with made as (
      insert into keys (id, digest, workspace_id, owner_id, name, scope, hint, metadata, created_by, expires_at)
      select ${key.id}::uuid, ${digestToBytes(key.digest)}::bytea, ${key.workspaceId}, ${key.ownerId}::text, ${key.name}, ${key.scope}, ${key.hint},
        ${JSON.stringify(key.metadata)}::jsonb, ${key.createdBy}, ${expiresAt}::timestamptz
      where ${expiresAt}::timestamptz is null or ${expiresAt}::timestamptz > clock_timestamp()
      returning *
    ), audited as (
      insert into audit (id, workspace_id, key_id, action, actor, details)
      select ${uuidv7()}::uuid, workspace_id, id, 'key.created', created_by, ${details}::jsonb from made
    )
    select ${managedKeyColumns} from made as keys`)
  return row === undefined ? undefined : toManagedKey(row)
}
