import { sql } from 'drizzle-orm'
import { v7 as uuidv7 } from 'uuid'
import { digestToBytes, type Digest } from '../../core/key-record.ts'
import type { ChangedKey, IdempotentRequest, Rotated, Rotation } from '../../core/key-store.ts'
import type { Policy } from '../../core/policy.ts'
import type { Database } from '../connect.ts'
import { provenChange } from '../proof.ts'
import { changedColumns, judgedOrMissing, lockedKey, logChange, mayBeCached, toChangedKey, whenWhole, type ChangedRow } from './change-key.ts'
import { emit } from './events.ts'
import { claim } from './idempotency.ts'
import { managedKeyColumns, milliseconds } from './managed-key.ts'
import { policyPart } from './policies.ts'

/** The longest that a token lives after its rotation while the first use of the new one is awaited. */
const firstUseDaysMax = 30

interface RotateOptions {
  readonly request: IdempotentRequest | undefined
  /** By the database's clock, as it says it: later than this nothing is rotated, since nobody would get the new token. */
  readonly notAfter: string
  readonly settings: Policy
}

interface RotatedRow extends ChangedRow {
  outcome: Rotated['outcome'] | 'again' | 'late' | null
}

/**
 * Gives a key a new token, in one statement. The token before it ends now or lives on for its grace, never longer than the key; older ones end now. Times
 * are rounded down to what the column holds: no token lives on for the rest of a millisecond. A repeated request changes nothing and is logged all the same.
 */
export async function rotateKey (db: Database, rotation: Rotation, { request, notAfter, settings }: RotateOptions): Promise<Rotated | { readonly outcome: 'late' } | undefined> {
  const { keys, tokens, audit, idempotency } = db.tables
  const { workspaceId, keyId, actor, digest, hint, graceSeconds, graceStarts } = rotation
  const awaitsFirstUse = graceStarts === 'first_use'
  const endsAt = awaitsFirstUse
    ? sql`judged.now + ${firstUseDaysMax}::int * interval '1 day'`
    : sql`judged.now + ${graceSeconds}::int * interval '1 second'`
  const earlier = request === undefined
    ? sql`select null::uuid as key_id, null::bytea as body_digest where false`
    : sql`select key_id, body_digest from ${idempotency} where workspace_id = ${workspaceId} and request_digest = ${Buffer.from(request.requestDigest)}::bytea
        and created_at > clock_timestamp() - interval '24 hours'`
  const row = await whenWhole<RotatedRow>(db, (proof) => sql`
    with ${lockedKey(db, rotation)}, ${policyPart(db, workspaceId, settings)}, earlier as materialized (
      ${earlier}
    ), judged as materialized (
      select target.id, target.digests,
        greatest(date_trunc('milliseconds', clock_timestamp()), coalesce(target.rotated_at, target.created_at) + interval '1 millisecond') as now,
        policy.max_days,
        case
          when not target.is_whole then 'again'
          when target.revoked_at is not null then 'revoked'
          when target.expires_at <= clock_timestamp() then 'expired'
          when earlier.body_digest = ${request === undefined ? null : Buffer.from(request.bodyDigest)}::bytea then 'repeated'
          when earlier.key_id is not null then 'reused'
          when clock_timestamp() >= ${notAfter}::timestamptz then 'late'
          else 'rotated'
        end as outcome
      from target cross join policy left join earlier on true
    ), ${request === undefined ? sql`` : sql`${claim(db, { workspaceId, keyId, request }, sql`judged.outcome = 'rotated'`)},`} ${logChange(db, 'change', ['rotated', 'repeated'])}, rotated as (
      update ${keys} set rotated_at = judged.now, expires_at = least(keys.expires_at, judged.now + judged.max_days * interval '1 day'), unused_notice_at = null,
        expiry_notice = case when keys.expires_at is distinct from least(keys.expires_at, judged.now + judged.max_days * interval '1 day') then null else keys.expiry_notice end
      from tick, judged where keys.id = judged.id and judged.outcome = 'rotated'
      returning keys.*
    ), ended as (
      update ${tokens} set is_current = false, grace_seconds = null, ends_at = least(tokens.ends_at, case when tokens.is_current then ${endsAt} else judged.now end)
      from rotated, judged where tokens.key_id = rotated.id and (tokens.is_current or tokens.ends_at > judged.now)
      returning tokens.hint, tokens.ends_at, tokens.made_at
    ), previous as (
      select hint, ends_at from ended order by made_at desc limit 1
    ), counted as materialized (
      select count(*) as tokens from ended
    ), tokened as (
      insert into ${tokens} (digest, key_id, hint, made_at, grace_seconds)
      select ${digestToBytes(digest)}::bytea, rotated.id, ${hint}, rotated.rotated_at, ${awaitsFirstUse ? graceSeconds : null}::int
      from rotated, counted where counted.tokens > 0
    ), audited as (
      insert into ${audit} (id, workspace_id, key_id, action, actor, details)
      select ${uuidv7()}::uuid, rotated.workspace_id, rotated.id, 'key.rotated', ${actor},
        ${JSON.stringify({ grace_seconds: graceSeconds, grace_starts: graceStarts })}::jsonb from rotated
    ), shown as (
      select ${managedKeyColumns(db, {
        hint: sql`${hint}::text`,
        previous: sql`(select json_build_object('hint', previous.hint, 'ends_at', ${milliseconds(sql`least(previous.ends_at, keys.expires_at)`)}, 'grace_seconds', ${awaitsFirstUse ? graceSeconds : null}::int) from previous where previous.ends_at > clock_timestamp())`
      })} from rotated as keys
    ), emitted as (
      ${emit(db, 'key.rotated', sql`shown`)}
    ), untouched as (
      select ${managedKeyColumns(db)} from target as keys, judged where judged.outcome = 'repeated'
    )
    select ${proof}, ${changedColumns}, one.* from ${judgedOrMissing} left join (select * from shown union all select * from untouched) as one on true`)
  switch (row.outcome) {
    case 'rotated':
    case 'repeated': return { outcome: row.outcome, ...toChangedKey(row) }
    case null:
    case 'again': return undefined
    default: return { outcome: row.outcome }
  }
}

/** Begins the grace of a rotated key's former token, `ageMs` after the new one was used for the first time; `undefined` where none is awaited. */
export async function recordFirstUse (db: Database, { keyId, ageMs }: { readonly keyId: string, readonly ageMs: number }): Promise<ChangedKey | undefined> {
  const { keys, tokens, revocationClock, revocationLog } = db.tables
  const row = await provenChange<ChangedRow>(db, (proof) => sql`
    with target as materialized (
      select keys.* from ${keys} where keys.id = ${keyId}::uuid and keys.revoked_at is null for update
    ), judged as materialized (
      select target.id, 'begun' as outcome, token.grace_seconds,
        clock_timestamp() - ${ageMs}::float8 * interval '1 millisecond' as used_at,
        array(select tokens.digest from ${tokens} where tokens.key_id = target.id and ${mayBeCached(db)} order by tokens.is_current desc, tokens.digest) as digests
      from target join ${tokens} as token on token.key_id = target.id and token.is_current
      where token.grace_seconds is not null and token.made_at = target.rotated_at
    ), tick as (
      update ${revocationClock} set seq = seq + 1 from judged where revocation_clock.id = 1 returning seq, window_ms
    ), logged as (
      insert into ${revocationLog} (seq, action, digests) select tick.seq, 'change', judged.digests from tick, judged
    ), begun as (
      update ${tokens} set grace_seconds = null,
        ends_at = case when tokens.is_current then tokens.ends_at else least(tokens.ends_at, date_trunc('milliseconds', judged.used_at + judged.grace_seconds * interval '1 second')) end
      from tick, judged where tokens.key_id = judged.id and (tokens.is_current or tokens.ends_at > clock_timestamp())
    )
    select ${proof}, ${changedColumns}, one.* from ${judgedOrMissing} left join (select ${managedKeyColumns(db)} from target as keys) as one on true`)
  return row.outcome === null ? undefined : toChangedKey(row)
}

// How often an event tells of one ended token that goes on being used.
const endedUseEvery = sql`interval '1 day'`

/** Tells of the use of tokens that had ended before their keys, of each once a day. The key's row is held, as by every change of it, so that its events stay in order. The key may have been revoked since, for that very use. */
export async function recordEndedUse (db: Database, digests: readonly Digest[]): Promise<void> {
  const { keys, tokens } = db.tables
  const given = JSON.stringify(digests.map((digest) => digestToBytes(digest).toString('hex')))
  const isNews = sql`tokens.digest in (select decode(value, 'hex') from jsonb_array_elements_text(${given}::jsonb)) and not tokens.is_current
    and tokens.ends_at <= clock_timestamp() and (tokens.ended_use_at is null or tokens.ended_use_at < clock_timestamp() - ${endedUseEvery})`
  await db.execute(sql`
    with target as materialized (
      select keys.* from ${keys} where keys.id in (select tokens.key_id from ${tokens} where ${isNews}) order by keys.id for update
    ), used as (
      update ${tokens} set ended_use_at = clock_timestamp() from target where tokens.key_id = target.id and ${isNews} and (target.revoked_at is null or tokens.ends_at < target.revoked_at) returning tokens.key_id
    ), shown as (
      select ${managedKeyColumns(db)} from target as keys where keys.id in (select key_id from used)
    )
    ${emit(db, 'key.ended_token_used', sql`shown`)}`)
}
