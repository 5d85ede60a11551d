import type { Sql } from 'postgres'

interface HistoryOptions {
  readonly sql: Sql
  readonly workspaceId: string
  readonly count: number
  /** Keys beyond this many begin a further workspace, `{workspaceId}-1` and so on. All in one. */
  readonly keysPerWorkspace?: number
}

/**
 * Writes the keys that each workspace has made over the last 700 days, evenly: every tenth revoked, every tenth made to
 * expire after 90 days, each with a last use. Nobody has their tokens.
 */
export async function seedHistory ({ sql, workspaceId, count, keysPerWorkspace = count }: HistoryOptions): Promise<void> {
  // Ids as the service makes them, in the order of time: where a new row goes in the indexes depends on it.
  await sql`
    with made as (
      select i, case when i / ${keysPerWorkspace}::int = 0 then ${workspaceId} else ${workspaceId} || '-' || i / ${keysPerWorkspace}::int end as home,
        date_trunc('milliseconds', now() - (i % ${keysPerWorkspace}::int + 1) * interval '700 days' / ${keysPerWorkspace}::int) as at
      from generate_series(0, ${count}::int - 1) as i
    ), written as (
      insert into navis_keys.keys (id, workspace_id, owner_id, name, scope, metadata, created_at, created_by, expires_at, revoked_at, revoked_by)
      select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid,
        home, 'bench-owner', 'Bench key ' || i, 'mcp:write', '{}', at, 'bench',
        case when i % 10 = 1 then at + interval '90 days' end,
        case when i % 10 = 2 then least(at + interval '30 days', now()) end, case when i % 10 = 2 then 'bench' end
      from made order by at
      returning id, workspace_id, created_at
    ), tokened as (
      insert into navis_keys.tokens (digest, key_id, hint, made_at) select sha256(id::text::bytea), id, 'abcd…wxyz', created_at from written
    )
    insert into navis_keys.key_usage (key_id, workspace_id, last_used_at) select id, workspace_id, created_at + interval '1 day' from written`
}
