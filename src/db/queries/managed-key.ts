import { sql, type SQL } from 'drizzle-orm'
import type { KeyStatus, ManagedKey } from '../../core/key-record.ts'
import { rules } from '../../core/key-rules.ts'
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
  allowed_cidrs: string[] | null
  rate_requests: number | null
  rate_window_seconds: number | null
  rotated_at: number | null
  previous_token: { hint: string, ends_at: number, grace_seconds: number | null } | null
  [column: string]: unknown
}

interface TokenColumns {
  /** The hint of the current token. */
  readonly hint: SQL
  /** The token before it, as JSON: hint, end and awaited grace. */
  readonly previous: SQL
}

/**
 * Everything that people see of a row named `keys`; no digest is among it. Times are milliseconds since the epoch. `tokens`: what to show of
 * the tokens where this statement writes them, since it cannot read what it writes.
 */
export function managedKeyColumns ({ tables }: Pick<Database, 'tables'>, { hint, previous }: TokenColumns = tokenColumns(tables)): SQL {
  // The use is looked up row by row: a join could be planned as a walk through the uses of all workspaces.
  return sql`
  keys.id, keys.workspace_id, keys.owner_id, keys.name, keys.scope, ${hint} as hint, keys.metadata, keys.created_by, keys.revoked_by, keys.revoke_reason,
  ${milliseconds(sql`keys.created_at`)} as created_at,
  ${milliseconds(sql`keys.expires_at`)} as expires_at,
  ${milliseconds(sql`keys.revoked_at`)} as revoked_at,
  ${milliseconds(sql`keys.rotated_at`)} as rotated_at,
  case when keys.revoked_at is not null then 'revoked' when keys.expires_at <= clock_timestamp() then 'expired' else 'active' end as status,
  (select ${milliseconds(sql`key_usage.last_used_at`)} from ${tables.keyUsage} where key_usage.key_id = keys.id) as last_used_at,
  to_json(keys.allowed_cidrs) as allowed_cidrs, keys.rate_requests, keys.rate_window_seconds,
  case when keys.revoked_at is null and (keys.expires_at is null or keys.expires_at > clock_timestamp()) then ${previous} end as previous_token`
}

function tokenColumns (tables: Tables): TokenColumns {
  return {
    hint: sql`(select tokens.hint from ${tables.tokens} where tokens.key_id = keys.id and tokens.is_current)`,
    previous: sql`(
      select json_build_object('hint', tokens.hint, 'ends_at', ${milliseconds(sql`least(tokens.ends_at, keys.expires_at)`)},
        'grace_seconds', (select newest.grace_seconds from ${tables.tokens} as newest where newest.key_id = keys.id and newest.is_current))
      from ${tables.tokens} where keys.rotated_at is not null and tokens.key_id = keys.id and not tokens.is_current and tokens.ends_at > clock_timestamp()
      order by tokens.made_at desc limit 1)`
  }
}

/** What a key shows of its tokens when it has had only one. */
export function onlyToken (hint: string): TokenColumns {
  return { hint: sql`${hint}::text`, previous: sql`null::json` }
}

export function milliseconds (time: SQL): SQL {
  return sql`(extract(epoch from ${time}) * 1000)::float8`
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
    revokeReason: row.revoke_reason,
    allowedCidrs: row.allowed_cidrs,
    rateLimit: row.rate_requests === null || row.rate_window_seconds === null ? null : { requests: row.rate_requests, windowSeconds: row.rate_window_seconds },
    rotatedAt: row.rotated_at,
    previousToken: row.previous_token && { hint: row.previous_token.hint, endsAt: row.previous_token.ends_at, graceSeconds: row.previous_token.grace_seconds }
  }
}

/** An end of a time range as the database takes it. It has no year 0, and does not read how `Date` writes a year after 9999; no row is of such a time. */
export function boundary (ms: number): string {
  return new Date(Math.min(Math.max(ms, 0), rules.expiresAtMax)).toISOString()
}

/** A time as the database takes it; null: none. */
export function timestamp (ms: number | null | undefined): string | null {
  return ms === null || ms === undefined ? null : new Date(ms).toISOString()
}
