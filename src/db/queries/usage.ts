import { sql } from 'drizzle-orm'
import { refusalsCounted, type CountedRefusal, type UsageBatch, type UsageGap } from '../../core/usage.ts'
import type { KeyUsage } from '../../core/usage-reports.ts'
import type { Database } from '../connect.ts'

/**
 * Adds a batch to what is known of the use of keys: one statement for all of it. `ageMs` is how long ago, and the times and days are the database's,
 * so that no other clock decides. A last use never moves back, and keys that no longer exist get none. In the order of the ids, so that replicas that write the same keys
 * at once wait for each other and never deadlock (R15). A batch that was written before changes nothing.
 */
export async function recordUsage (db: Database, { id, uses }: UsageBatch): Promise<void> {
  const { keys, keyUsage, usageBatches, usageDays, usageTools } = db.tables
  const given = JSON.stringify(uses.map(({ keyId, ageMs, accepted, refused, user, tools }) => ({
    key_id: keyId, age: ageMs, accepted, ...refused, address: user?.address, client: user?.client, tools
  })))
  const today = sql`(clock_timestamp() at time zone 'UTC')::date`
  await db.execute(sql`
    with fresh as (
      insert into ${usageBatches} (id) values (${id}::uuid) on conflict (id) do nothing returning id
    ), given as materialized (
      select use.* from fresh, jsonb_to_recordset(${given}::text::jsonb) as use (
        key_id uuid, age float8, accepted bigint, revoked bigint, expired bigint, insufficient_scope bigint, address_not_allowed bigint, rate_limited bigint,
        address text, client text, tools jsonb)
    ), last as (
      insert into ${keyUsage} as stored (key_id, workspace_id, last_used_at, address, client)
      select given.key_id, keys.workspace_id, clock_timestamp() - given.age * interval '1 millisecond',
        case when not keys.erased then given.address end, case when not keys.erased then given.client end
      from given join ${keys} on keys.id = given.key_id where given.age is not null order by given.key_id
      on conflict (key_id) do update set
        last_used_at = greatest(stored.last_used_at, excluded.last_used_at),
        address = excluded.address,
        client = excluded.client
      where stored.last_used_at is null or stored.last_used_at < excluded.last_used_at
    ), days as (
      insert into ${usageDays} as stored (key_id, day, accepted, revoked, expired, insufficient_scope, address_not_allowed, rate_limited)
      select key_id, ${today}, coalesce(accepted, 0), coalesce(revoked, 0), coalesce(expired, 0), coalesce(insufficient_scope, 0),
        coalesce(address_not_allowed, 0), coalesce(rate_limited, 0) from given order by key_id
      on conflict (key_id, day) do update set
        accepted = stored.accepted + excluded.accepted,
        revoked = stored.revoked + excluded.revoked,
        expired = stored.expired + excluded.expired,
        insufficient_scope = stored.insufficient_scope + excluded.insufficient_scope,
        address_not_allowed = stored.address_not_allowed + excluded.address_not_allowed,
        rate_limited = stored.rate_limited + excluded.rate_limited
    ), tools as (
      insert into ${usageTools} as stored (key_id, day, tool, calls, denied, failed)
      select key_id, ${today}, one.tool, one.calls, one.denied, one.failed
      from given, jsonb_to_recordset(given.tools) as one (tool text, calls bigint, denied bigint, failed bigint)
      where not exists (select from ${keys} where keys.id = given.key_id and keys.erased) order by key_id, one.tool
      on conflict (key_id, day, tool) do update set
        calls = stored.calls + excluded.calls, denied = stored.denied + excluded.denied, failed = stored.failed + excluded.failed
    )
    select 1`)
}

/** Writes down that a process cannot write uses, or has lost some. Of those that have lost some, only the last time counts. */
export async function recordGap (db: Database, { id, state }: UsageGap): Promise<void> {
  const { usageGaps } = db.tables
  await db.execute(state === 'closed'
    ? sql`delete from ${usageGaps} where replica = ${id}::uuid`
    : sql`
      with older as (
        delete from ${usageGaps} as older where not older.is_open and older.replica <> ${id}::uuid
          and exists (select from ${usageGaps} as newer where not newer.is_open and newer.at > older.at)
      )
      insert into ${usageGaps} (replica, is_open) values (${id}::uuid, ${state === 'open'})
      on conflict (replica) do update set at = clock_timestamp(), is_open = excluded.is_open`)
}

interface UsageRow {
  days: Array<{ day: string, accepted: number } & Record<CountedRefusal, number>>
  tools: Array<{ tool: string, calls: number, denied: number, failed: number }>
  last: { at: number, address: string | null, client: string | null } | null
  [column: string]: unknown
}

const toolsMax = 1000

/** The use of one key between two days (UTC), both included; `undefined`: the workspace has no such key. */
export async function readUsage (db: Database, { workspaceId, keyId, from, to }: { workspaceId: string, keyId: string, from: string, to: string }): Promise<KeyUsage | undefined> {
  const { keys, keyUsage, usageDays, usageTools } = db.tables
  const [row] = await db.execute<UsageRow>(sql`
    select
      (select coalesce(json_agg(json_build_object('day', day, 'accepted', accepted, 'revoked', revoked, 'expired', expired, 'insufficient_scope', insufficient_scope,
        'address_not_allowed', address_not_allowed, 'rate_limited', rate_limited) order by day), '[]')
        from ${usageDays} as usage where usage.key_id = keys.id and usage.day between ${from}::date and ${to}::date) as days,
      (select coalesce(json_agg(one), '[]') from (
        select tool, sum(calls)::float8 as calls, sum(denied)::float8 as denied, sum(failed)::float8 as failed from ${usageTools} as usage
        where usage.key_id = keys.id and usage.day between ${from}::date and ${to}::date
        group by tool order by sum(calls) desc, tool limit ${toolsMax}) as one) as tools,
      (select json_build_object('at', (extract(epoch from last_used_at) * 1000)::float8, 'address', address, 'client', client)
        from ${keyUsage} as usage where usage.key_id = keys.id and usage.last_used_at is not null) as last
    from ${keys} as keys where keys.id = ${keyId}::uuid and keys.workspace_id = ${workspaceId}`)
  return row && {
    days: row.days.map(({ day, accepted, ...counts }) => ({ day, accepted, refused: Object.fromEntries(refusalsCounted.filter((reason) => counts[reason] > 0).map((reason) => [reason, counts[reason]])) })),
    tools: row.tools,
    last: row.last
  }
}

/** Forgets some of what is older than `days`; resolves to how many rows went. Few rows at a time: no lock is held for long. */
export async function pruneUsage (db: Database, { days, rowsMax }: { readonly days: number, readonly rowsMax: number }): Promise<number> {
  const { usageBatches, usageDays, usageTools } = db.tables
  const [row] = await db.execute<{ gone: number, [column: string]: unknown }>(sql`
    with bound as (select (clock_timestamp() at time zone 'UTC')::date - ${days}::int as day
    ), old_days as (
      delete from ${usageDays} where (key_id, day) in (
        select key_id, day from ${usageDays} where day < (select day from bound) order by day limit ${rowsMax} for update skip locked) returning 1
    ), old_tools as (
      delete from ${usageTools} where (key_id, day, tool) in (
        select key_id, day, tool from ${usageTools} where day < (select day from bound) order by day limit ${rowsMax} for update skip locked) returning 1
    ), old_batches as (
      delete from ${usageBatches} where id in (
        select id from ${usageBatches} where at < statement_timestamp() - interval '1 day' limit ${rowsMax} for update skip locked) returning 1
    )
    select ((select count(*) from old_days) + (select count(*) from old_tools) + (select count(*) from old_batches))::int as gone`)
  return row?.gone ?? 0
}
