import { sql } from 'drizzle-orm'
import type { Database } from '../connect.ts'
import { asWhole, provenChange } from '../proof.ts'

/** What stands in the place of a person who was erased. */
export const erasedActor = 'erased'

interface ErasedRow {
  erased: unknown
  living: unknown
}

interface Erasure {
  readonly workspaceId: string
  readonly ownerId: string
  readonly actor: string
}

/**
 * Takes a person out of what is recorded of keys that have ended, in one transaction: owner, names, metadata, addresses, client, calls, events, sessions, and the actor of changes. Ids, days and counts stay,
 * without the person. Living keys are left: without their owner nobody could find them any more. What a replica still had in memory at an earlier time goes too.
 */
export async function eraseOwner (db: Database, { workspaceId, ownerId, actor }: Erasure): Promise<{ erased: number, living: number }> {
  const { keys, keyUsage, usageTools, calls, audit, events, sessions, policies } = db.tables
  const theirActor = `user:${ownerId}`
  const row = await provenChange<ErasedRow>(db, (proof) => sql`
    with ended as materialized (
      select id from ${keys} where workspace_id = ${workspaceId} and owner_id = ${ownerId} and revoked_at is not null order by id for update
    ), erased as materialized (
      select id from ended union select id from ${keys} where workspace_id = ${workspaceId} and erased
    ), left_over as materialized (
      select count(*)::int as living from ${keys} where workspace_id = ${workspaceId} and owner_id = ${ownerId} and revoked_at is null
    ), acted as materialized (
      select distinct key_id as id from ${audit} where workspace_id = ${workspaceId} and actor = ${theirActor} and key_id is not null
    ), touched as materialized (
      select id, true as is_theirs from ended union all (select id, false from acted where id not in (select id from ended))
    ), nameless as (
      update ${keys} set erased = true, owner_id = null, name = ${erasedActor}, metadata = '{}'::jsonb,
        created_by = case when created_by = ${theirActor} then ${erasedActor} else created_by end, revoked_by = case when revoked_by = ${theirActor} then ${erasedActor} else revoked_by end, revoke_reason = null
      from ended where keys.id = ended.id
    ), unsigned as (
      update ${keys} set created_by = case when created_by = ${theirActor} then ${erasedActor} else created_by end, revoked_by = case when revoked_by = ${theirActor} then ${erasedActor} else revoked_by end
      where keys.id in (select id from touched where not is_theirs) and (created_by = ${theirActor} or revoked_by = ${theirActor})
    ), uses as (
      update ${keyUsage} as usage set address = null, client = null from erased where usage.key_id = erased.id and (usage.address is not null or usage.client is not null)
    ), tools as (
      delete from ${usageTools} as usage using erased where usage.key_id = erased.id
    ), called as (
      delete from ${calls} as calls using erased where calls.key_id = erased.id
    ), told as (
      update ${events} set data = events.data || jsonb_build_object('key', (events.data->'key')
        || case when touched.is_theirs then ${JSON.stringify({ owner_id: null, name: erasedActor, metadata: {}, revoke_reason: null })}::jsonb else '{}'::jsonb end
        || case when events.data->'key'->>'created_by' = ${theirActor} then ${JSON.stringify({ created_by: erasedActor })}::jsonb else '{}'::jsonb end
        || case when events.data->'key'->>'revoked_by' = ${theirActor} then ${JSON.stringify({ revoked_by: erasedActor })}::jsonb else '{}'::jsonb end)
      from touched where events.key_id = touched.id
    ), noted as (
      update ${audit} set actor = case when audit.actor = ${theirActor} then ${erasedActor} else audit.actor end, details = case when audit.key_id in (select id from ended) or audit.details->>'owner_id' = ${ownerId} then audit.details - 'owner_id' - 'name' - 'reason' else audit.details end
      where audit.workspace_id = ${workspaceId} and (audit.actor = ${theirActor} or audit.key_id in (select id from ended) or audit.details->>'owner_id' = ${ownerId})
    ), ruled as (
      update ${policies} set updated_by = ${erasedActor} where workspace_id = ${workspaceId} and updated_by = ${theirActor}
    ), signed_out as (
      delete from ${sessions} where workspace_id = ${workspaceId} and owner_id = ${ownerId}
    ), audited as (
      insert into ${audit} (id, workspace_id, key_id, action, actor, details)
      select gen_random_uuid(), ${workspaceId}, null, 'owner.erased', ${actor}, jsonb_build_object('erased', (select count(*)::int from ended))
    )
    select ${proof}, (select count(*)::int from ended) as erased, living from left_over`)
  return { erased: asWhole(row.erased, 'erased'), living: asWhole(row.living, 'living') }
}
