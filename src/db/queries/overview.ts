import { sql, type SQL } from 'drizzle-orm'
import type { OwnerOverview } from '../../core/overview.ts'
import type { Database } from '../connect.ts'
import { milliseconds } from './managed-key.ts'

const keysCountedMax = 10_000
const keysOfListedOwnerMax = 1000

interface OverviewRow {
  owner_id: string | null
  unrevoked: number
  active: number
  never_used: number
  used_lately: number
  last_used_at: number | null
  [column: string]: unknown
}

export async function listOwners (db: Database, query: { readonly workspaceId: string, readonly after: string | undefined, readonly rowsMax: number }): Promise<readonly OwnerOverview[]> {
  const rows = await db.execute<OverviewRow>(listOwnersStatement(db, query))
  return rows.map((row) => toOverview(row, keysOfListedOwnerMax))
}

/** From owner to owner along the index: an owner with very many keys takes no longer than one with a few. */
export function listOwnersStatement (db: Database, { workspaceId, after, rowsMax }: { readonly workspaceId: string, readonly after: string | undefined, readonly rowsMax: number }): SQL {
  const { keys } = db.tables
  return sql`
    with recursive steps as (
      select (select owner_id from ${keys} where workspace_id = ${workspaceId} and ended < 2 and owner_id > ${after ?? ''} order by owner_id limit 1) as owner_id
      union all
      select (select keys.owner_id from ${keys} where keys.workspace_id = ${workspaceId} and keys.ended < 2 and keys.owner_id > steps.owner_id order by keys.owner_id limit 1)
      from steps where steps.owner_id is not null
    ), owners as materialized (
      select owner_id from steps where owner_id is not null limit ${rowsMax}
    )
    select owners.owner_id, counted.* from owners, lateral (${counts(db, sql`keys.workspace_id = ${workspaceId} and keys.owner_id = owners.owner_id`, keysOfListedOwnerMax)}) as counted
    order by owners.owner_id`
}

export async function findOwner (db: Database, { workspaceId, ownerId }: { readonly workspaceId: string, readonly ownerId: string }): Promise<OwnerOverview> {
  const [row] = await db.execute<OverviewRow>(sql`
    select ${ownerId}::text as owner_id, counted.* from (${counts(db, sql`keys.workspace_id = ${workspaceId} and keys.owner_id = ${ownerId}`, keysCountedMax)}) as counted`)
  if (row === undefined) throw new Error('The database has counted nothing.')
  return toOverview(row, keysCountedMax)
}

export async function countLongerThan (db: Database, { workspaceId, days }: { readonly workspaceId: string, readonly days: number }): Promise<{ count: number, isExact: boolean }> {
  const [row] = await db.execute<{ count: number, [column: string]: unknown }>(sql`
    select count(*)::int as count from (
      select 1 from ${db.tables.keys} where keys.workspace_id = ${workspaceId} and keys.ended < 2
        and (keys.expires_at is null or keys.expires_at > coalesce(keys.rotated_at, keys.created_at) + ${days}::int * interval '1 day')
      limit ${keysCountedMax + 1}) as longer`)
  const { count = 0 } = row ?? {}
  return { count: Math.min(count, keysCountedMax), isExact: count <= keysCountedMax }
}

function counts ({ tables }: Database, whose: SQL, keysMax: number): SQL {
  return sql`
    select count(*)::int as unrevoked, (count(*) filter (where is_active))::int as active,
      (count(*) filter (where is_active and last_used_at is null))::int as never_used,
      (count(*) filter (where is_active and last_used_at > statement_timestamp() - interval '7 days'))::int as used_lately,
      ${milliseconds(sql`max(last_used_at)`)} as last_used_at
    from (
      select keys.expires_at is null or keys.expires_at > statement_timestamp() as is_active,
        (select key_usage.last_used_at from ${tables.keyUsage} where key_usage.key_id = keys.id) as last_used_at
      from ${tables.keys} where ${whose} and keys.ended < 2 limit ${keysMax + 1}) as one`
}

function toOverview (row: OverviewRow, keysMax: number): OwnerOverview {
  return {
    ownerId: row.owner_id,
    unrevoked: row.unrevoked,
    active: row.active,
    neverUsed: row.never_used,
    usedLately: row.used_lately,
    lastUsedAt: row.last_used_at,
    isExact: row.unrevoked <= keysMax
  }
}
