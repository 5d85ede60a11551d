import { sql, type SQL } from 'drizzle-orm'
import type { FoundOwners, OwnerOverview, OwnersQuery } from '../../core/overview.ts'
import type { Database } from '../connect.ts'
import { milliseconds } from './managed-key.ts'

const keysCountedMax = 10_000
const keysOfListedOwnerMax = 1000
const ownersLookedAtMax = 5000

interface OverviewRow {
  owner_id: string | null
  unrevoked: number
  active: number
  never_used: number
  used_lately: number
  last_used_at: number | null
  [column: string]: unknown
}

interface FoundOwnersRow extends OverviewRow {
  stopped_at: string | null
}

/** From owner to owner along the index: an owner with very many keys takes no longer than one with a few. A search looks at a bounded number of owners. */
export async function listOwners (db: Database, { workspaceId, q, after, rowsMax }: OwnersQuery): Promise<FoundOwners> {
  const { keys } = db.tables
  const rows = await db.execute<FoundOwnersRow>(sql`
    with recursive steps as (
      select 1 as number, (select owner_id from ${keys} where workspace_id = ${workspaceId} and ended < 2 and owner_id > ${after ?? ''} order by owner_id limit 1) as owner_id
      union all
      select steps.number + 1, (select keys.owner_id from ${keys} where keys.workspace_id = ${workspaceId} and keys.ended < 2 and keys.owner_id > steps.owner_id order by keys.owner_id limit 1)
      from steps where steps.owner_id is not null and steps.number < ${ownersLookedAtMax}
    ), owners as materialized (
      select owner_id from steps where owner_id is not null and position(lower(${q}) in lower(owner_id)) > 0 limit ${rowsMax}
    ), stopped as materialized (
      select case when (select count(*) from owners) < ${rowsMax} then (select owner_id from steps where number = ${ownersLookedAtMax}) end as owner_id
    ), found as (
      select owners.owner_id, counted.* from owners, lateral (${counts(db, sql`keys.workspace_id = ${workspaceId} and keys.owner_id = owners.owner_id`, keysOfListedOwnerMax)}) as counted
    )
    select stopped.owner_id as stopped_at, found.* from stopped left join found on true order by found.owner_id`)
  return { owners: rows.filter(({ owner_id: ownerId }) => ownerId !== null).map((row) => toOverview(row, keysOfListedOwnerMax)), stoppedAt: rows[0]?.stopped_at ?? null }
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
      select 1 from ${db.tables.keys} where keys.workspace_id = ${workspaceId} and keys.ended = 0 and (keys.expires_at is null
          or (keys.expires_at > coalesce(keys.rotated_at, keys.created_at) + ${days}::int * interval '1 day' and keys.expires_at > statement_timestamp()))
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
