import { sql } from 'drizzle-orm'
import { digestToBytes, type Digest } from '../../core/key-record.ts'
import { keyTarget } from '../../core/committed.ts'
import type { ChangeTarget } from '../../core/lookup.ts'
import type { EndedTokens, Leak } from '../../core/token-store.ts'
import type { Database } from '../connect.ts'
import { asDigest, asDigests, asPosition, provenChange } from '../proof.ts'
import { changedColumns, isWhole, judgedOrMissing, positionColumns, whenWhole } from './change-key.ts'
import { emit } from './events.ts'
import { managedKeyColumns } from './managed-key.ts'

// Longer than any window, and than any commit waits for a standby before the database is given up.
const settledMinutes = 60

interface EndedRow {
  /** null: none of the tokens is of a key. */
  outcome: string | null
  /** The tokens that there are. */
  known: ReadonlyArray<{ readonly digest: string, readonly has_ended: boolean }>
  /** What caches have to forget: tokens, a workspace, or everything. */
  digests: unknown
  workspace_id: string | null
  seq: unknown
  window_ms: unknown
}

/**
 * Revokes the keys of tokens that were found where they must not be: one statement, one place in the log, an audit row and two events for each key. Keys
 * that are revoked already are logged again (R8 a), as a change of the workspace, or of everything where there are several: a key may be rotated at this very
 * moment, and this statement does not see the token that it gets then. What ended over an hour ago is in force since long before: the same report every day is no new
 * row in the log. The rows are locked in the order of their ids.
 */
export async function revokeLeaked (db: Database, leaks: readonly Leak[], actor: string): Promise<EndedTokens> {
  const given = JSON.stringify(leaks.map(({ digest, url, source }) => ({ digest: hexOf(digest), url: url ?? null, source: source ?? null })))
  const { keys, tokens, audit, revocationClock, revocationLog, events } = db.tables
  return toEndedTokens(await provenChange<EndedRow>(db, (proof) => sql`
    with given as materialized (
      select distinct on (digest) decode(digest, 'hex') as digest, url, source from jsonb_to_recordset(${given}::jsonb) as given (digest text, url text, source text) order by digest
    ), found as materialized (
      select given.*, tokens.key_id, tokens.is_current, tokens.ends_at from given join ${tokens} on tokens.digest = given.digest
    ), target as materialized (
      select keys.id, keys.workspace_id, keys.revoked_at, keys.expires_at from ${keys} where id in (select key_id from found) order by id for update
    ), living as materialized (
      select target.id, min(found.url) as url, min(found.source) as source from target join found on found.key_id = target.id
      where target.revoked_at is null and (target.expires_at is null or target.expires_at > clock_timestamp()) and (found.is_current or found.ends_at > clock_timestamp())
      group by target.id
    ), judged as materialized (
      select case when count(distinct workspace_id) = 1 then min(workspace_id) end as workspace_id from target
      where exists (select from found where found.key_id = target.id
        and coalesce(least(target.revoked_at, target.expires_at, case when not found.is_current then found.ends_at end), 'infinity') > clock_timestamp() - ${settledMinutes}::int * interval '1 minute')
      having count(*) > 0
    ), tick as (
      update ${revocationClock} set seq = seq + 1 from judged where revocation_clock.id = 1 returning seq, window_ms
    ), logged as (
      insert into ${revocationLog} (seq, action, workspace_id) select tick.seq, 'change', judged.workspace_id from tick, judged
    ), revoked as (
      update ${keys} set revoked_at = clock_timestamp(), revoked_by = ${actor}::text, revoke_reason = 'leaked'
      from tick, living where keys.id = living.id returning keys.*, living.url, living.source
    ), audited as (
      insert into ${audit} (id, workspace_id, key_id, action, actor, details)
      select gen_random_uuid(), workspace_id, id, 'key.leaked', ${actor}, jsonb_strip_nulls(jsonb_build_object('url', url, 'source', source)) from revoked
    ), shown as (
      select ${managedKeyColumns(db)} from revoked as keys
    ), emitted as (
      insert into ${events} (id, type, workspace_id, key_id, data)
      select gen_random_uuid(), kind.type, shown.workspace_id, shown.id,
        jsonb_build_object('key', to_jsonb(shown)) || case when kind.place = 1 then jsonb_strip_nulls(jsonb_build_object('url', living.url, 'source', living.source)) else '{}'::jsonb end
      from shown join living on living.id = shown.id cross join (values (1, 'key.leaked'), (2, 'key.revoked')) as kind (place, type) order by shown.id, kind.place
    )
    select ${proof}, case when tick.seq is not null then 'done' end as outcome, null as digests, judged.workspace_id, ${positionColumns()}, (
      select coalesce(json_agg(json_build_object('digest', encode(found.digest, 'hex'), 'has_ended', living.id is null)), '[]')
      from found join target on target.id = found.key_id left join living on living.id = found.key_id
    ) as known
    from ${judgedOrMissing}`))
}

/**
 * Ends one token for its holder (RFC 7009): a token in its grace ends alone, the newest one ends the key.
 */
export async function endToken (db: Database, digest: Digest): Promise<EndedTokens> {
  const { keys, tokens, audit, revocationClock, revocationLog } = db.tables
  return toEndedTokens(await whenWhole<EndedRow>(db, (proof) => sql`
    with target as materialized (
      select keys.*, ${isWhole(db)} as is_whole from ${keys} where keys.id = (select key_id from ${tokens} where digest = ${digestToBytes(digest)}::bytea) for update
    ), judged as materialized (
      select target.id, target.revoked_at, token.is_current as is_newest, token.ends_at > clock_timestamp() as is_in_grace, token.digest, case when target.is_whole then 'done' else 'again' end as outcome,
        array(select tokens.digest from ${tokens} where tokens.key_id = target.id and (tokens.digest = token.digest or token.is_current) order by tokens.digest) as digests
      from target join ${tokens} as token on token.digest = ${digestToBytes(digest)}::bytea
    ), tick as (
      update ${revocationClock} set seq = seq + 1 from judged where revocation_clock.id = 1 and judged.outcome = 'done' returning seq, window_ms
    ), logged as (
      insert into ${revocationLog} (seq, action, digests) select tick.seq, 'change', judged.digests from tick, judged
    ), ended as (
      update ${tokens} set ends_at = least(tokens.ends_at, date_trunc('milliseconds', clock_timestamp()))
      from tick, judged where tokens.digest = judged.digest and not tokens.is_current
    ), revoked as (
      update ${keys} set revoked_at = clock_timestamp(), revoked_by = 'token', revoke_reason = 'self'
      from tick, judged where keys.id = judged.id and judged.is_newest and keys.revoked_at is null returning keys.*
    ), audited as (
      insert into ${audit} (id, workspace_id, key_id, action, actor, details)
      select gen_random_uuid(), workspace_id, id, 'key.revoked', 'token', '{"reason":"self"}'::jsonb from revoked
      union all
      select gen_random_uuid(), target.workspace_id, target.id, 'key.token_ended', 'token', '{}'::jsonb from target, judged, tick where not judged.is_newest and judged.is_in_grace and target.revoked_at is null
    ), shown as (
      select ${managedKeyColumns(db)} from revoked as keys
    ), emitted as (
      ${emit(db, 'key.revoked', sql`shown`)}
    )
    select ${proof}, ${changedColumns}, null as workspace_id, (
      select coalesce(json_agg(json_build_object('digest', encode(judged.digest, 'hex'), 'has_ended', judged.revoked_at is not null)), '[]') from judged
    ) as known
    from ${judgedOrMissing}`))
}

function toEndedTokens (row: EndedRow): EndedTokens {
  return {
    known: new Map(row.known.map(({ digest, has_ended: hasEnded }) => [asDigest(digest, 'known'), { hasEnded }])),
    change: row.outcome === null ? undefined : { target: targetOf(row), logged: asPosition(row) }
  }
}

function targetOf ({ digests, workspace_id: workspaceId }: EndedRow): ChangeTarget {
  if (digests !== null) return keyTarget({ digests: asDigests(digests) })
  return workspaceId === null ? { kind: 'everything' } : { kind: 'workspace', workspaceId }
}

function hexOf (digest: Digest): string {
  return digestToBytes(digest).toString('hex')
}
