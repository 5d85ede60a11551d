import { sql, type SQL } from 'drizzle-orm'
import type { ManagedKey } from '../../core/key-record.ts'
import type { KeyQuery } from '../../core/key-store.ts'
import type { Database } from '../connect.ts'
import { managedKeyColumns, timestamp, toManagedKey, type ManagedKeyRow } from './managed-key.ts'

// `statement_timestamp()` and not the clock itself: one moment for a whole page.
const conditions: Readonly<Record<KeyQuery['status'], SQL>> = {
  all: sql`true`,
  active: sql`keys.revoked_at is null and (keys.expires_at is null or keys.expires_at > statement_timestamp())`,
  expired: sql`keys.revoked_at is null and keys.expires_at is not null and keys.expires_at <= statement_timestamp()`,
  revoked: sql`keys.revoked_at is not null`
}

export async function listKeys (db: Database, query: KeyQuery): Promise<readonly ManagedKey[]> {
  return (await db.execute<ManagedKeyRow>(listKeysStatement(db, query))).map(toManagedKey)
}

// "nulls last" is how the indexes are made; without it they do not serve this order, even where nothing is null.
export function listKeysStatement (db: Database, { workspaceId, status, ownerId, after, rowsMax }: KeyQuery): SQL {
  const behind = after === undefined ? sql`true` : sql`(keys.created_at, keys.id) < (${timestamp(after.at)}::timestamptz, ${after.id}::uuid)`
  const owned = ownerId === undefined ? sql`true` : sql`keys.owner_id = ${ownerId}`
  return sql`
    select ${managedKeyColumns(db)} from ${db.tables.keys}
    where keys.workspace_id = ${workspaceId} and ${owned} and ${conditions[status]} and ${behind}
    order by keys.created_at desc nulls last, keys.id desc nulls last
    limit ${rowsMax}`
}
