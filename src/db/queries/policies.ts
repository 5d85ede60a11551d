import { sql, type SQL } from 'drizzle-orm'
import type { LogPosition } from '../../core/key-store.ts'
import { noPolicy, type Policy } from '../../core/policy.ts'
import type { Database } from '../connect.ts'
import { asPosition, asWhole, provenChange } from '../proof.ts'
import { positionColumns } from './change-key.ts'
import { emit } from './events.ts'
import { managedKeyColumns } from './managed-key.ts'

interface PolicyRow {
  max_lifetime_days: number | null
  default_lifetime_days: number | null
  unused_days: number | null
  [column: string]: unknown
}

/** A client's clock may be ahead of the database's by so much, and its key still has the longest life that the policy allows. */
export const slackSeconds = 60

/**
 * The part of a statement that reads what the policy says in this workspace, settings and all: one row, `policy`. A policy that is being changed is waited for. `makesKeys`: a key is made that
 * nobody else can see yet. Then a workspace without a policy gets the row of one without rules, so that there is something to wait for: else a policy that
 * is applied at the same moment would find neither the key nor whoever makes it.
 */
export function policyPart ({ tables }: Database, workspaceId: string, settings: Policy, { makesKeys = false } = {}): SQL {
  const first = makesKeys
    ? sql`insert into ${tables.policies} as policies (workspace_id, updated_by) select ${workspaceId}, '' where not exists (select from seen_policy)
      on conflict (workspace_id) do update set updated_by = policies.updated_by returning max_lifetime_days, default_lifetime_days`
    : sql`select null::int as max_lifetime_days, null::int as default_lifetime_days where false`
  return sql`seen_policy as materialized (
      select max_lifetime_days, default_lifetime_days from ${tables.policies} where workspace_id = ${workspaceId} for share
    ), first_policy as (
      ${first}
    ), own_policy as materialized (
      select * from seen_policy union all select * from first_policy
    ), policy as materialized (
      select least((select max_lifetime_days from own_policy), ${settings.maxLifetimeDays}::int) as max_days,
        coalesce((select default_lifetime_days from own_policy), ${settings.defaultLifetimeDays}::int) as default_days
    )`
}

export async function findPolicy (db: Database, workspaceId: string): Promise<Policy> {
  const [row] = await db.execute<PolicyRow>(sql`
    select max_lifetime_days, default_lifetime_days, unused_days from ${db.tables.policies} where workspace_id = ${workspaceId}`)
  return row === undefined
    ? noPolicy
    : { maxLifetimeDays: row.max_lifetime_days, defaultLifetimeDays: row.default_lifetime_days, unusedDays: row.unused_days }
}

interface PolicyChange {
  readonly workspaceId: string
  readonly actor: string
  readonly policy: Policy
}

export async function setPolicy (db: Database, { workspaceId, actor, policy }: PolicyChange): Promise<void> {
  const { maxLifetimeDays, defaultLifetimeDays, unusedDays } = policy
  const details = JSON.stringify({ max_lifetime_days: maxLifetimeDays, default_lifetime_days: defaultLifetimeDays, unused_days: unusedDays })
  await provenChange(db, (proof) => sql`
    with written as (
      insert into ${db.tables.policies} (workspace_id, max_lifetime_days, default_lifetime_days, unused_days, updated_by)
      values (${workspaceId}, ${maxLifetimeDays}::int, ${defaultLifetimeDays}::int, ${unusedDays}::int, ${actor})
      on conflict (workspace_id) do update set max_lifetime_days = excluded.max_lifetime_days, default_lifetime_days = excluded.default_lifetime_days,
        unused_days = excluded.unused_days, updated_at = clock_timestamp(), updated_by = excluded.updated_by
      returning workspace_id
    ), audited as (
      insert into ${db.tables.audit} (id, workspace_id, key_id, action, actor, details)
      select gen_random_uuid(), workspace_id, null, 'policy.changed', ${actor}, ${details}::jsonb from written
    )
    select ${proof}`)
}

interface ShortenedRow {
  shortened: unknown
  seq: unknown
  window_ms: unknown
}

/**
 * Ends every living key of the workspace that lives longer than the policy allows when the policy has it, or now if that is in the past: one statement,
 * one place in the log, logged as a change of the workspace. A statement of its own after the one that wrote the policy, so that it sees the keys that were made meanwhile.
 */
export async function applyPolicy (db: Database, { workspaceId, actor, settings }: { readonly workspaceId: string, readonly actor: string, readonly settings: Policy }): Promise<{ shortened: number, logged: LogPosition }> {
  const bound = sql`coalesce(keys.rotated_at, keys.created_at) + policy.max_days * interval '1 day'`
  const isTooLong = sql`(keys.expires_at is null or (keys.expires_at > ${bound} and keys.expires_at > clock_timestamp()))`
  const row = await provenChange<ShortenedRow>(db, (proof) => sql`
    with ${policyPart(db, workspaceId, settings)}, target as materialized (
      select keys.id from ${db.tables.keys}, policy
      where keys.workspace_id = ${workspaceId} and keys.revoked_at is null and policy.max_days is not null and ${isTooLong}
      order by keys.id for update of keys
    ), counted as materialized (
      select count(*)::int as keys, date_trunc('milliseconds', clock_timestamp()) as now from target
    ), tick as (
      update ${db.tables.revocationClock} set seq = seq + 1 from counted where revocation_clock.id = 1 returning seq, window_ms
    ), logged as (
      insert into ${db.tables.revocationLog} (seq, action, workspace_id) select tick.seq, 'change', ${workspaceId} from tick
    ), shortened as (
      update ${db.tables.keys} set expires_at = least(keys.expires_at, greatest(${bound}, counted.now)), expiry_notice = null
      from tick, target, policy, counted where keys.id = target.id
      returning keys.*
    ), shown as (
      select ${managedKeyColumns(db)} from shortened as keys
    ), emitted as (
      ${emit(db, 'key.updated', sql`shown`)}
    ), each as (
      insert into ${db.tables.audit} (id, workspace_id, key_id, action, actor, details)
      select gen_random_uuid(), workspace_id, id, 'key.changed', ${actor},
        jsonb_build_object('expires_at', to_char(expires_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'part_of', 'policy.applied') from shortened
      returning 1
    ), audited as (
      insert into ${db.tables.audit} (id, workspace_id, key_id, action, actor, details, at)
      select gen_random_uuid(), ${workspaceId}, null, 'policy.applied', ${actor}, jsonb_build_object('shortened', counted.keys),
        -- Above the rows of the keys, in a list that begins with the newest.
        clock_timestamp() + interval '1 millisecond'
      from tick, counted, (select count(*) from each) as before
    )
    select ${proof}, counted.keys as shortened, ${positionColumns()} from tick, counted`)
  return { shortened: asWhole(row.shortened, 'shortened'), logged: asPosition(row) }
}
