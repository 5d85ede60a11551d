import { sql } from 'drizzle-orm'
import { v7 as uuidv7 } from 'uuid'
import type { LogPosition } from '../../core/key-store.ts'
import type { Database } from '../connect.ts'

interface WorkspaceChange {
  readonly workspaceId: string
  readonly actor: string
  readonly reason: string | undefined
}

interface RevokedRow {
  revoked: number
  seq: string
  window_ms: number
  [column: string]: unknown
}

/**
 * Revokes every key of a workspace: one statement, one place in the log. It is logged as a change of the workspace, not as a revocation: a key
 * that is made at this very moment may be read before and live on, so what a cache holds is asked about again, not condemned.
 */
export async function revokeWorkspace (db: Database, { workspaceId, actor, reason }: WorkspaceChange): Promise<{ revoked: number, logged: LogPosition }> {
  const [row] = await db.execute<RevokedRow>(sql`
    with target as materialized (
      select id from ${db.tables.keys} where workspace_id = ${workspaceId} and revoked_at is null order by id for update
    ), counted as materialized (
      select count(*)::int as keys from target
    ), tick as (
      update ${db.tables.revocationClock} set seq = seq + 1 from counted where revocation_clock.id = 1 returning seq, window_ms
    ), logged as (
      insert into ${db.tables.revocationLog} (seq, action, workspace_id) select tick.seq, 'change', ${workspaceId} from tick
    ), revoked as (
      update ${db.tables.keys} set revoked_at = clock_timestamp(), revoked_by = ${actor}::text, revoke_reason = ${reason ?? null}::text
      from tick, target where keys.id = target.id and keys.revoked_at is null
    ), audited as (
      insert into ${db.tables.audit} (id, workspace_id, key_id, action, actor, details)
      select ${uuidv7()}::uuid, ${workspaceId}, null, 'workspace.revoked', ${actor},
        jsonb_build_object('reason', ${reason ?? null}::text, 'revoked', counted.keys) from tick, counted
    )
    select counted.keys as revoked, tick.seq, tick.window_ms from tick, counted`)
  if (row === undefined) throw new Error('The revocation clock has no row: the database was not migrated by Navis Keys.')
  return { revoked: row.revoked, logged: { seq: Number(row.seq), windowMs: row.window_ms } }
}
