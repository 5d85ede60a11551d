import { sql } from 'drizzle-orm'
import { unusedNoticeDays, type UnusedStep } from '../../core/unused-keys.ts'
import type { Policy } from '../../core/policy.ts'
import type { Database } from '../connect.ts'
import { asDigests, asPosition, asWhole, provenChange } from '../proof.ts'
import { isWhole, mayBeCached, positionColumns } from './change-key.ts'
import { emit } from './events.ts'
import { managedKeyColumns } from './managed-key.ts'

interface UnusedRow {
  looked: unknown
  revoked: unknown
  digests: unknown
  seq: unknown
  window_ms: unknown
}

// Of one step: they are named in the log and over Redis, each by its tokens.
const revokedMax = 8
const walkEveryMinutes = 60
/** A process that could not write uses and has not said so for this long has ended, and lost them. */
const gapMinutes = 60

/**
 * The next step of a walk through all keys, along their ids: keys that have not been used for as long as the policy says are told of, and revoked a week later. Counted from the last use,
 * the making of the newest token, or the last time that uses were lost, whichever came last; nothing is done while a process cannot write uses.
 * What was told under another policy, or so long ago that nobody knows it any more, is told again.
 * The walk's row is held by one process at a time; a key that another statement holds is left to the next walk.
 */
export async function unusedStep (db: Database, { rowsMax, settings }: { readonly rowsMax: number, readonly settings: Policy }): Promise<UnusedStep> {
  const { keys, keyUsage, policies, tokens, walks, usageGaps, revocationClock, revocationLog, audit } = db.tables
  const row = await provenChange<UnusedRow>(db, (proof) => sql`
    with known as (
      insert into ${walks} (name) values ('unused') on conflict (name) do nothing
    ), turn as materialized (
      select place from ${walks} where name = 'unused' and next_at <= statement_timestamp()
        and (${settings.unusedDays}::int is not null or exists (select from ${policies} where unused_days is not null)
          or place is not null)
        and not exists (select from ${usageGaps} where is_open and at > statement_timestamp() - ${gapMinutes}::int * interval '1 minute')
      for update skip locked
    ), lost as materialized (
      select max(case when is_open then at + ${gapMinutes}::int * interval '1 minute' else at end) as at from ${usageGaps}
    ), page as materialized (
      select keys.id from ${keys}, turn where turn.place is null or keys.id > turn.place order by keys.id limit ${rowsMax}
    ), held as materialized (
      select keys.*, ${isWhole(db)} as is_whole from ${keys}
      where keys.id in (select id from page) and keys.ended = 0 and (keys.expires_at is null or keys.expires_at > statement_timestamp())
        and (keys.unused_notice_at is not null or (keys.created_at <= statement_timestamp() - interval '1 day'
          and (${settings.unusedDays}::int is not null or exists (select from ${policies} where policies.workspace_id = keys.workspace_id and policies.unused_days is not null))))
      order by keys.id for update of keys skip locked
    ), seen as materialized (
      select held.id, held.is_whole, held.unused_notice_at as told_at,
        least(policies.unused_days, ${settings.unusedDays}::int) as days, policies.updated_at as policy_at,
        greatest(held.created_at, held.rotated_at, lost.at, (select last_used_at from ${keyUsage} where key_usage.key_id = held.id)) as at
      from held cross join lost left join ${policies} on policies.workspace_id = held.workspace_id
    ), judged as materialized (
      select seen.id, case
        when days is null or seen.at > statement_timestamp() - days * interval '1 day' or seen.at > told_at then case when told_at is not null then 'used' end
        when told_at is null or told_at < policy_at or told_at <= statement_timestamp() - ${2 * unusedNoticeDays}::int * interval '1 day' then 'told'
        when told_at <= statement_timestamp() - ${unusedNoticeDays}::int * interval '1 day' and is_whole then 'revoked'
        end as outcome
      from seen
    ), ending as materialized (
      select id from judged where outcome = 'revoked' order by id limit ${revokedMax}
    ), reached as materialized (
      select case when (select count(*) from judged where outcome = 'revoked') > ${revokedMax}
        then (select id from ending order by id desc limit 1)
        when (select count(*) from page) = ${rowsMax} then (select id from page order by id desc limit 1) end as place from turn
    ), walked as (
      update ${walks} set place = reached.place,
        next_at = case when reached.place is null then clock_timestamp() + ${walkEveryMinutes}::int * interval '1 minute' else walks.next_at end
      from reached where walks.name = 'unused'
    ), noticed as (
      update ${keys} set unused_notice_at = case when judged.outcome = 'told' then clock_timestamp() end
      from judged, reached where keys.id = judged.id and judged.outcome in ('told', 'used') and (reached.place is null or judged.id <= reached.place)
      returning keys.*, judged.outcome
    ), told as (
      select ${managedKeyColumns(db)} from noticed as keys where keys.outcome = 'told'
    ), told_of as (
      ${emit(db, 'key.unused', sql`told`)}
    ), gone as materialized (
      select array_agg(tokens.digest order by tokens.digest) as digests from ${tokens}
      where tokens.key_id in (select id from ending) and ${mayBeCached(db)}
    ), tick as (
      update ${revocationClock} set seq = seq + 1 where revocation_clock.id = 1 and exists (select from ending) returning seq, window_ms
    ), logged as (
      insert into ${revocationLog} (seq, action, digests) select tick.seq, 'revoke', gone.digests from tick, gone
    ), revoked as (
      update ${keys} set revoked_at = clock_timestamp(), revoked_by = 'policy', revoke_reason = 'unused' from tick, ending where keys.id = ending.id returning keys.*
    ), audited as (
      insert into ${audit} (id, workspace_id, key_id, action, actor, details)
      select gen_random_uuid(), workspace_id, id, 'key.revoked', 'policy', '{"reason":"unused"}'::jsonb from revoked
    ), shown as (
      select ${managedKeyColumns(db)} from revoked as keys
    ), emitted as (
      ${emit(db, 'key.revoked', sql`shown`)}
    )
    select ${proof}, (select count(*)::int from page) as looked, (select count(*)::int from ending) as revoked,
      (select coalesce(json_agg(encode(digest, 'hex')), '[]') from gone, unnest(gone.digests) as digest) as digests, ${positionColumns()}
    from (select 1) as statement left join tick on true`)
  return {
    looked: asWhole(row.looked, 'looked'),
    revoked: asWhole(row.revoked, 'revoked') === 0 ? undefined : { digests: asDigests(row.digests), logged: asPosition(row) }
  }
}
