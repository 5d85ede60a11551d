import { sql } from 'drizzle-orm'
import { digestToBytes } from '../../core/key-record.ts'
import type { Imported, ImportFault, KeysImport } from '../../core/key-store.ts'
import type { Policy } from '../../core/policy.ts'
import type { Database } from '../connect.ts'
import { hasCode } from '../outage.ts'
import { provenChange, wrong } from '../proof.ts'
import { emit } from './events.ts'
import { managedKeyColumns, timestamp } from './managed-key.ts'
import { policyPart, slackSeconds } from './policies.ts'

interface JudgedRow {
  readonly place: number
  readonly outcome: 'new' | 'already_there' | ImportFault
}

interface JudgedRows {
  readonly rows: readonly JudgedRow[]
  readonly max_days: number | null
}

const uniqueViolation = '23505'
// Each meeting with another import leaves fewer tokens that are not there yet.
const meetingsMax = 10

/** Writes keys whose tokens were made elsewhere, with audit rows and events: all of them or none, in one statement. */
export async function importKeys (db: Database, wanted: KeysImport, settings: Policy): Promise<Imported> {
  const { rows, max_days: maxLifetimeDays } = await judged(db, wanted, settings)
  const faults = rows.flatMap(({ place, outcome }) => outcome === 'new' || outcome === 'already_there' ? [] : [{ place, fault: outcome }])
  if (faults.length > 0) return { outcome: 'refused', maxLifetimeDays, faults }
  const imported = rows.filter(({ outcome }) => outcome === 'new').length
  return { outcome: 'imported', imported, alreadyThere: rows.length - imported }
}

// Another import of the same token that commits while this statement runs is not seen by it, and is met at the index.
async function judged (db: Database, wanted: KeysImport, settings: Policy): Promise<JudgedRows> {
  for (let meetings = 0; ; meetings++) {
    try {
      return await insert(db, wanted, settings)
    } catch (error) {
      if (!hasCode(error, uniqueViolation) || meetings >= meetingsMax) throw error
    }
  }
}

// Tokens are inserted in the order of their digests: two imports that share some wait for one another in that order alone, and never in a circle.
async function insert (db: Database, { workspaceId, actor, keys: given }: KeysImport, settings: Policy): Promise<JudgedRows> {
  const { keys, keyUsage, tokens, audit } = db.tables
  const texts = JSON.stringify(given.map(({ id, digest, hint, ownerId, name, scope, metadata, expiresAt, createdAt }, place) => ({
    place,
    id,
    digest: digestToBytes(digest).toString('hex'),
    hint,
    owner_id: ownerId,
    name,
    scope,
    metadata,
    has_expiry: expiresAt !== undefined,
    expires_at: timestamp(expiresAt),
    created_at: timestamp(createdAt)
  })))
  const judgment = await provenChange<JudgedRows>(db, (proof) => sql`
    with ${policyPart(db, workspaceId, settings, { makesKeys: true })}, given as materialized (
      select given.*, decode(given.digest_hex, 'hex') as digest, clock_timestamp() as now, policy.max_days, policy.default_days
      from policy, (
        select place, id, digest as digest_hex, hint, owner_id, name, scope, metadata, has_expiry, expires_at, created_at
        from jsonb_to_recordset(${texts}::text::jsonb) as given (
          place int, id uuid, digest text, hint text, owner_id text, name text, scope text, metadata jsonb, has_expiry boolean, expires_at timestamptz, created_at timestamptz)
      ) as given
    ), wanted as materialized (
      select given.*, holder.workspace_id as held_by, coalesce(given.created_at, given.now) as made_at,
        coalesce(given.created_at, given.now) + given.max_days * interval '1 day' as latest,
        case when given.has_expiry then given.expires_at
          else least(given.now + given.default_days * interval '1 day', coalesce(given.created_at, given.now) + given.max_days * interval '1 day') end as wants
      from given left join ${tokens} on tokens.digest = given.digest left join ${keys} as holder on holder.id = tokens.key_id
    ), judged as materialized (
      select wanted.*, least(wants, latest) as ends, case
        when held_by <> ${workspaceId} then 'taken'
        when held_by is not null then 'already_there'
        when made_at > now + ${slackSeconds}::int * interval '1 second' then 'created_in_future'
        when has_expiry and wants <= now then 'expiry_past'
        when max_days is not null and has_expiry and wants is null then 'endless'
        when latest <= now then 'too_old'
        when wants > latest + ${slackSeconds}::int * interval '1 second' then 'past_maximum'
        else 'new' end as outcome
      from wanted
    ), faults as materialized (
      select count(*) as number from judged where outcome not in ('new', 'already_there')
    ), made as (
      insert into ${keys} (id, workspace_id, owner_id, name, scope, metadata, created_at, created_by, expires_at)
      select judged.id, ${workspaceId}, owner_id, name, scope, metadata, least(made_at, now), ${actor}, ends
      from judged, faults where judged.outcome = 'new' and faults.number = 0
      returning *
    ), tokened as (
      insert into ${tokens} (digest, key_id, hint, made_at)
      select judged.digest, made.id, judged.hint, made.created_at from made join judged on judged.id = made.id order by judged.digest
    ), unused as (
      insert into ${keyUsage} (key_id, workspace_id) select id, workspace_id from made
    ), shown as (
      select ${managedKeyColumns(db, { hint: sql`judged.hint`, previous: sql`null::json` })} from made as keys join judged on judged.id = keys.id
    ), audited as (
      insert into ${audit} (id, workspace_id, key_id, action, actor, details)
      select gen_random_uuid(), workspace_id, id, 'key.imported', ${actor}, jsonb_build_object('name', name, 'scope', scope, 'hint', hint) from shown
    ), emitted as (
      ${emit(db, 'key.created', sql`shown`)}
    )
    select ${proof}, (select coalesce(json_agg(json_build_object('place', place, 'outcome', outcome) order by place), '[]') from judged) as rows, policy.max_days from policy`)
  if (!Array.isArray(judgment.rows) || judgment.rows.length !== given.length) throw wrong('rows')
  return judgment
}
