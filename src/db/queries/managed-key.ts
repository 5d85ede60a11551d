import { sql, type SQL } from 'drizzle-orm'
import type { KeyStatus, ManagedKey } from '../../core/key-record.ts'
import type { Scope } from '../../core/scopes.ts'
import type { Database } from '../connect.ts'
import type { Tables } from '../schema.ts'

/** A row of `managedKeyColumns`. */
export interface ManagedKeyRow {
  id: string
  workspace_id: string
  owner_id: string | null
  name: string
  scope: Scope
  hint: string
  metadata: Record<string, string>
  created_at: number
  created_by: string
  expires_at: number | null
  revoked_at: number | null
  revoked_by: string | null
  revoke_reason: string | null
  status: KeyStatus
  last_used_at: number | null
  [column: string]: unknown
}

// The use is looked up row by row: a join could be planned as a walk through the uses of all workspaces.
/** Everything that people see of a row named `keys`; no digest is among it. `hint`: where the current token's row cannot be read yet, because this statement writes it. Times are milliseconds since the epoch. */
export function managedKeyColumns ({ tables }: Database, hint: SQL = currentHint(tables)): SQL {
  return sql`
  keys.id, keys.workspace_id, keys.owner_id, keys.name, keys.scope, ${hint} as hint, keys.metadata, keys.created_by, keys.revoked_by, keys.revoke_reason,
  (extract(epoch from keys.created_at) * 1000)::float8 as created_at,
  (extract(epoch from keys.expires_at) * 1000)::float8 as expires_at,
  (extract(epoch from keys.revoked_at) * 1000)::float8 as revoked_at,
  case when keys.revoked_at is not null then 'revoked' when keys.expires_at <= clock_timestamp() then 'expired' else 'active' end as status,
  (select (extract(epoch from key_usage.last_used_at) * 1000)::float8 from ${tables.keyUsage} where key_usage.key_id = keys.id) as last_used_at`
}

function currentHint (tables: Tables): SQL {
  return sql`(select tokens.hint from ${tables.tokens} where tokens.key_id = keys.id and tokens.is_current)`
}

export function toManagedKey (row: ManagedKeyRow): ManagedKey {
  return {
    id: row.id,
    workspaceId: row.workspace_id,
    ownerId: row.owner_id,
    name: row.name,
    scope: row.scope,
    hint: row.hint,
    status: row.status,
    metadata: row.metadata,
    createdAt: row.created_at,
    createdBy: row.created_by,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
    revokedAt: row.revoked_at,
    revokedBy: row.revoked_by,
    revokeReason: row.revoke_reason
  }
}

/** A time as the database takes it; null: none. */
export function timestamp (ms: number | null | undefined): string | null {
  return ms === null || ms === undefined ? null : new Date(ms).toISOString()
}
