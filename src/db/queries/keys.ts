import { sql, type SQL } from 'drizzle-orm'
import { v7 as uuidv7 } from 'uuid'
import { digestToBytes, type ManagedKey } from '../../core/key-record.ts'
import type { ChangedKey, Created, Edited, ExpiryFault, IdempotentRequest, KeyChange, KeyEdit, NewKey, RevokedKeys } from '../../core/key-store.ts'
import type { Policy } from '../../core/policy.ts'
import type { Database } from '../connect.ts'
import { asPosition, asWhole, provenChange } from '../proof.ts'
import { changedColumns, judgedOrMissing, lockedKey, logChange, positionColumns, toChangedKey, whenWhole, type ChangedRow } from './change-key.ts'
import { emit } from './events.ts'
import { claim } from './idempotency.ts'
import { managedKeyColumns, onlyToken, timestamp, toManagedKey, type ManagedKeyRow } from './managed-key.ts'
import { policyPart, slackSeconds } from './policies.ts'

export async function findKey (db: Database, workspaceId: string, keyId: string): Promise<ManagedKey | undefined> {
  const [row] = await db.execute<ManagedKeyRow>(sql`
    select ${managedKeyColumns(db)} from ${db.tables.keys} where keys.id = ${keyId}::uuid and keys.workspace_id = ${workspaceId}`)
  return row === undefined ? undefined : toManagedKey(row)
}

interface InsertOptions {
  /** What the caller's `Idempotency-Key` is claimed with, in the same statement. */
  readonly request: IdempotentRequest | undefined
  /** By the database's clock, as it says it: later than this nothing is made. */
  readonly notAfter: string
  readonly settings: Policy
}

interface InsertedRow extends ManagedKeyRow {
  outcome: 'created' | 'late' | ExpiryFault['outcome']
  max_days: number
}

/** `late`: the caller is gone by now. `claimed`: the `Idempotency-Key` is taken. */
type Inserted = Extract<Created, { outcome: 'created' }> | ExpiryFault | { readonly outcome: 'late' | 'claimed' }

/** Writes a key, its token, its row of uses, its audit row and its event in one statement. */
export async function insertKey (db: Database, key: NewKey, { request, notAfter, settings }: InsertOptions): Promise<Inserted> {
  const { keys, keyUsage, tokens, audit } = db.tables
  const mayMake = request === undefined ? sql`true` : sql`exists (select from claimed)`
  const row = await provenChange<InsertedRow>(db, (proof) => sql`
    with ${policyPart(db, key.workspaceId, settings, { makesKeys: true })}, wanted as materialized (
      select clock_timestamp() as now, policy.max_days,
        case when ${key.expiresAt === undefined}::boolean
          then clock_timestamp() + least(policy.default_days, policy.max_days) * interval '1 day'
          else ${timestamp(key.expiresAt)}::timestamptz end as expires_at
      from policy
    ), judged as materialized (
      select ${withinPolicy} as expires_at, wanted.max_days,
        case when wanted.now >= ${notAfter}::timestamptz then 'late' else coalesce(${expiryFault}, 'created') end as outcome
      from wanted
    ), ${request === undefined ? sql`` : sql`${claim(db, { workspaceId: key.workspaceId, keyId: key.id, request }, sql`judged.outcome = 'created'`)},`} made as (
      insert into ${keys} (id, workspace_id, owner_id, name, scope, metadata, created_by, expires_at, allowed_cidrs, rate_requests, rate_window_seconds)
      select ${key.id}::uuid, ${key.workspaceId}, ${key.ownerId}::text, ${key.name}, ${key.scope},
        ${JSON.stringify(key.metadata)}::jsonb, ${key.createdBy}, judged.expires_at, ${textArray(key.allowedCidrs ?? null)},
        ${key.rateLimit?.requests ?? null}::int, ${key.rateLimit?.windowSeconds ?? null}::int
      from judged where judged.outcome = 'created' and ${mayMake}
      returning *
    ), tokened as (
      insert into ${tokens} (digest, key_id, hint, made_at)
      select ${digestToBytes(key.digest)}::bytea, id, ${key.hint}, created_at from made
    ), unused as (
      insert into ${keyUsage} (key_id, workspace_id) select id, workspace_id from made
    ), audited as (
      insert into ${audit} (id, workspace_id, key_id, action, actor, details)
      select ${uuidv7()}::uuid, workspace_id, id, 'key.created', created_by, jsonb_build_object('name', name, 'scope', scope, 'expires_at', ${isoTime(sql`expires_at`)}) from made
    ), shown as (
      select ${managedKeyColumns(db, onlyToken(key.hint))} from made as keys
    ), emitted as (
      ${emit(db, 'key.created', sql`shown`)}
    )
    select ${proof}, judged.outcome, judged.max_days, shown.* from judged left join shown on true`)
  if (row.outcome !== 'created') return row.outcome === 'late' ? { outcome: 'late' } : faultOf(row.outcome, row.max_days)
  return row.id === null ? { outcome: 'claimed' } : { outcome: 'created', key: toManagedKey(row) }
}

// Of the expiry in a row `wanted` with `now`, `expires_at` and `max_days`; null: nothing is wrong with it.
const expiryFault = sql`case
  when wanted.expires_at <= wanted.now then 'expiry_past'
  when wanted.max_days is not null and wanted.expires_at is null then 'endless'
  when wanted.expires_at > wanted.now + wanted.max_days * interval '1 day' + ${slackSeconds}::int * interval '1 second' then 'past_maximum'
  end`

const withinPolicy = sql`least(wanted.expires_at, wanted.now + wanted.max_days * interval '1 day')`

export function faultOf (outcome: ExpiryFault['outcome'], maxLifetimeDays: number): ExpiryFault {
  return outcome === 'expiry_past' ? { outcome } : { outcome, maxLifetimeDays }
}

function isoTime (time: SQL): SQL {
  return sql`to_char(${time} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`
}

// As JSON: the driver does not know the array type.
function textArray (texts: readonly string[] | null): SQL {
  return sql`(select array_agg(value order by place) from jsonb_array_elements_text(${texts === null ? null : JSON.stringify(texts)}::jsonb) with ordinality as given (value, place))`
}

interface EditedRow extends ChangedRow {
  outcome: 'edited' | 'revoked' | 'again' | ExpiryFault['outcome'] | null
  max_days: number
}

/** Changes what is given of a key: whether the expiry is in the future and within the policy is judged on the row as it is then. */
export async function editKey (db: Database, edit: KeyEdit, settings: Policy): Promise<Edited> {
  const { keys, audit } = db.tables
  const moves = edit.expiresAt !== undefined
  const details = JSON.stringify({
    ...edit.name !== undefined && { name: edit.name },
    ...moves && { expires_at: timestamp(edit.expiresAt) },
    ...edit.allowedCidrs !== undefined && { allowed_cidrs: edit.allowedCidrs },
    ...edit.rateLimit !== undefined && { rate_limit: edit.rateLimit && { requests: edit.rateLimit.requests, window_seconds: edit.rateLimit.windowSeconds } }
  })
  const row = await whenWhole<EditedRow>(db, (proof) => sql`
    with ${lockedKey(db, edit)}, ${policyPart(db, edit.workspaceId, settings)}, wanted as materialized (
      select target.id, target.digests, target.is_whole, target.revoked_at, clock_timestamp() as now, policy.max_days,
        coalesce(target.rotated_at, target.created_at) as made_at, ${timestamp(edit.expiresAt)}::timestamptz as expires_at
      from target, policy
    ), judged as materialized (
      select wanted.id, wanted.digests, wanted.max_days, least(wanted.expires_at, wanted.made_at + wanted.max_days * interval '1 day') as expires_at,
        case
          when not wanted.is_whole then 'again'
          when wanted.revoked_at is not null then 'revoked'
          when not ${moves}::boolean then 'edited'
          when wanted.expires_at <= wanted.now then 'expiry_past'
          when wanted.max_days is not null and wanted.expires_at is null then 'endless'
          when wanted.expires_at > wanted.made_at + wanted.max_days * interval '1 day' + ${slackSeconds}::int * interval '1 second' then 'past_maximum'
          else 'edited'
        end as outcome
      from wanted
    ), ${logChange(db, 'change', ['edited'])}, edited as (
      update ${keys} set
        name = coalesce(${edit.name ?? null}::text, keys.name),
        expires_at = case when ${moves}::boolean then judged.expires_at else keys.expires_at end,
        expiry_notice = case when ${moves}::boolean then null else keys.expiry_notice end,
        allowed_cidrs = case when ${edit.allowedCidrs !== undefined}::boolean then ${textArray(edit.allowedCidrs ?? null)} else keys.allowed_cidrs end,
        rate_requests = case when ${edit.rateLimit !== undefined}::boolean then ${edit.rateLimit?.requests ?? null}::int else keys.rate_requests end,
        rate_window_seconds = case when ${edit.rateLimit !== undefined}::boolean then ${edit.rateLimit?.windowSeconds ?? null}::int else keys.rate_window_seconds end
      from tick, judged where keys.id = judged.id
      returning keys.*
    ), audited as (
      insert into ${audit} (id, workspace_id, key_id, action, actor, details)
      select ${uuidv7()}::uuid, edited.workspace_id, edited.id, 'key.changed', ${edit.actor}, ${details}::jsonb from edited
    ), shown as (
      select ${managedKeyColumns(db)} from edited as keys
    ), emitted as (
      ${emit(db, 'key.updated', sql`shown`)}
    )
    select ${proof}, ${changedColumns}, judged.max_days, shown.* from ${judgedOrMissing} left join shown on true`)
  if (row.outcome === null) return { outcome: 'missing' }
  if (row.outcome === 'edited') return { outcome: 'edited', ...toChangedKey(row) }
  return row.outcome === 'revoked' || row.outcome === 'again' ? { outcome: 'revoked' } : faultOf(row.outcome, row.max_days)
}

/**
 * Revokes a key. One that is revoked already gets a place in the log again (R8 a) and keeps its first time, person and reason.
 */
export async function revokeKey (db: Database, change: KeyChange & { readonly reason: string | undefined }): Promise<ChangedKey | undefined> {
  const { keys, audit } = db.tables
  const { actor, reason = null } = change
  const row = await whenWhole<ChangedRow>(db, (proof) => sql`
    with ${lockedKey(db, change)}, judged as materialized (
      select target.id, target.digests, target.revoked_at, case when target.is_whole then 'revoked' else 'again' end as outcome from target
    ), ${logChange(db, 'revoke', ['revoked'])}, revoked as (
      update ${keys} set
        revoked_at = coalesce(keys.revoked_at, clock_timestamp()),
        revoked_by = coalesce(keys.revoked_by, ${actor}::text),
        revoke_reason = case when keys.revoked_at is null then ${reason}::text else keys.revoke_reason end
      from tick, judged where keys.id = judged.id
      returning keys.*, judged.revoked_at is null as is_first
    ), audited as (
      insert into ${audit} (id, workspace_id, key_id, action, actor, details)
      select ${uuidv7()}::uuid, revoked.workspace_id, revoked.id,
        case when is_first then 'key.revoked' else 'key.revoked_again' end, ${actor}, ${JSON.stringify({ reason })}::jsonb
      from revoked
    ), shown as (
      select ${managedKeyColumns(db)} from revoked as keys
    ), news as (
      select shown.* from shown, revoked where revoked.is_first
    ), emitted as (
      ${emit(db, 'key.revoked', sql`news`)}
    )
    select ${proof}, ${changedColumns}, shown.* from ${judgedOrMissing} left join shown on true`)
  return row.outcome === null ? undefined : toChangedKey(row)
}

interface WorkspaceChange {
  readonly workspaceId: string
  /** `undefined`: everyone's. */
  readonly ownerId?: string | undefined
  readonly actor: string
  readonly reason: string | undefined
}

interface RevokedRow {
  revoked: unknown
  seq: unknown
  window_ms: unknown
}

/**
 * Revokes every key of a workspace, or of one owner in it: one statement, one place in the log. It is logged as a change of the workspace, not as a
 * revocation: a key that is made at this very moment may be read before and live on, so what a cache holds is asked about again, not condemned.
 */
export async function revokeWorkspace (db: Database, { workspaceId, ownerId, actor, reason }: WorkspaceChange): Promise<RevokedKeys> {
  const { keys, audit } = db.tables
  const owned = ownerId === undefined ? sql`true` : sql`keys.owner_id = ${ownerId}`
  const details = JSON.stringify({ reason: reason ?? null, ...ownerId !== undefined && { owner_id: ownerId } })
  const action = ownerId === undefined ? 'workspace.revoked' : 'owner.revoked'
  const row = await provenChange<RevokedRow>(db, (proof) => sql`
    with target as materialized (
      select id from ${keys} where workspace_id = ${workspaceId} and ${owned} and ended < 2 order by id for update
    ), counted as materialized (
      select count(*)::int as keys from target
    ), tick as (
      update ${db.tables.revocationClock} set seq = seq + 1 from counted where revocation_clock.id = 1 returning seq, window_ms
    ), logged as (
      insert into ${db.tables.revocationLog} (seq, action, workspace_id) select tick.seq, 'change', ${workspaceId} from tick
    ), revoked as (
      update ${keys} set revoked_at = clock_timestamp(), revoked_by = ${actor}::text, revoke_reason = ${reason ?? null}::text
      from tick, target where keys.id = target.id and keys.revoked_at is null
      returning keys.*
    ), shown as (
      select ${managedKeyColumns(db)} from revoked as keys
    ), emitted as (
      ${emit(db, 'key.revoked', sql`shown`)}
    ), each as (
      insert into ${audit} (id, workspace_id, key_id, action, actor, details)
      select gen_random_uuid(), workspace_id, id, 'key.revoked', ${actor}, jsonb_build_object('reason', revoke_reason, 'part_of', ${action}::text) from revoked
      returning 1
    ), audited as (
      insert into ${audit} (id, workspace_id, key_id, action, actor, details, at)
      select ${uuidv7()}::uuid, ${workspaceId}, null, ${action}, ${actor}, ${details}::jsonb || jsonb_build_object('revoked', counted.keys),
        -- Above the rows of the keys, in a list that begins with the newest.
        clock_timestamp() + interval '1 millisecond'
      from tick, counted, (select count(*) from each) as before
    )
    select ${proof}, counted.keys as revoked, ${positionColumns()} from tick, counted`)
  return { revoked: asWhole(row.revoked, 'revoked'), logged: asPosition(row) }
}
