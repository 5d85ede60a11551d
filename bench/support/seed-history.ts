import type { Sql } from 'postgres'

interface HistoryOptions {
  readonly sql: Sql
  readonly workspaceId: string
  readonly count: number
  /** Keys beyond this many begin a further workspace, `{workspaceId}-1` and so on. All in one. */
  readonly keysPerWorkspace?: number
}

/**
 * Writes the keys that each workspace has made over the last 700 days, evenly: every tenth revoked, every tenth made to expire after 90 days, every
 * tenth to expire within 400 days from now. One of 97 has another owner, one of 89 only reads, one of 997 was not used for long, all others 10 days ago, and one of 9,973 has
 * a name of its own. What has expired is known to have, as the upkeep writes it down within minutes. Nobody has their tokens.
 */
export async function seedHistory ({ sql, workspaceId, count, keysPerWorkspace = count }: HistoryOptions): Promise<void> {
  // Ids as the service makes them, in the order of time: where a new row goes in the indexes depends on it.
  await sql`
    with made as (
      select i, case when i / ${keysPerWorkspace}::int = 0 then ${workspaceId} else ${workspaceId} || '-' || i / ${keysPerWorkspace}::int end as home,
        date_trunc('milliseconds', now() - (i % ${keysPerWorkspace}::int + 1) * interval '700 days' / ${keysPerWorkspace}::int) as at
      from generate_series(0, ${count}::int - 1) as i
    ), written as (
      insert into navis_keys.keys (id, workspace_id, owner_id, name, scope, metadata, created_at, created_by, expires_at, expiry_notice, revoked_at, revoked_by)
      select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid,
        home, case when i % 97 = 3 then 'rare-owner' else 'bench-owner' end, case when i % 9973 = 4 then 'Needle ' else 'Bench key ' end || i,
        case when i % 89 = 5 then 'mcp:read' else 'mcp:write' end, '{}', at, 'bench',
        case when i % 10 = 1 then at + interval '90 days' when i % 10 = 3 then now() + (i % 400 + 1) * interval '1 day' end,
        case when i % 10 = 1 and at + interval '90 days' < now() then 0 end,
        case when i % 10 = 2 then least(at + interval '30 days', now()) end, case when i % 10 = 2 then 'bench' end
      from made order by at
      returning id, created_at, workspace_id
    ), tokened as (
      insert into navis_keys.tokens (digest, key_id, hint, made_at) select sha256(id::text::bytea), id, 'abcd…wxyz', created_at from written
    )
    insert into navis_keys.key_usage (key_id, workspace_id, last_used_at)
      select id, workspace_id, case when i % 997 = 7 then created_at + interval '1 day' else greatest(created_at, now() - interval '10 days') end from written
      join made on made.at = written.created_at and made.home = written.workspace_id`
}
