import { randomUUID } from 'node:crypto'
import type { Row, Sql } from 'postgres'
import type { RenewalAnswer } from '../../core/window/step.ts'
import { AnswerRefused, type Heard, type OwnRow, type PutBack, type Renewal } from '../../core/window/store.ts'
import type { Member, Roll } from '../../core/window/waits.ts'
import type { HistoryStrategy } from '../history.ts'
import { emitText } from './events.ts'
import { inOneTransaction } from '../one-transaction.ts'
import { asText, asWhole, byteas, durableProofColumns, durably, integer, proofColumns, provenAnswer, uuid, uuids, wrong, type Answer } from '../proof.ts'

/** Where the window's tables are, and how the database tells its history. */
export interface WindowTables {
  readonly schema: string
  readonly history: HistoryStrategy
}

/** One statement and its proven answer: never prepared on the server, in one round trip. */
async function ask (sql: Sql, nonce: string, statement: string): Promise<Answer> {
  return provenAnswer(await sql.unsafe(statement), nonce)
}

/** Waits for every change and every joining under way, and keeps later ones waiting until the transaction ends. */
function lockClock (schema: string): string {
  return `select from "${schema}".revocation_clock where id = 1 for update`
}

/** Makes the clock show the longest window of any living member, which is what a change waits out. After `lockClock`, in a separate statement. */
function settleWindowLength (schema: string): string {
  return `
    update "${schema}".revocation_clock
    set window_ms = coalesce((select max(window_ms) from "${schema}".window_members where dead_at is null), 0)
    where id = 1`
}

function isLiving ({ id, beats }: Pick<OwnRow, 'id' | 'beats'>): string {
  return `window_members.id = ${uuid(id)} and window_members.dead_at is null and window_members.beat = any(${uuids(beats)})`
}

interface Joining {
  readonly id: string
  readonly formerId: string | undefined
  readonly windowMs: number
}

/**
 * Commits a row of members, before the member's first renewal is sent, without a lineage and with its id as first beat (R2). Under the
 * clock's row lock: a change that commits later waits for the new member's window too, one that commits earlier is seen by its
 * first renewal.
 */
export async function joinWindow (sql: Sql, { schema }: WindowTables, { id, formerId, windowMs }: Joining): Promise<{ rowSecret: Buffer }> {
  const nonce = randomUUID()
  const rows = await inOneTransaction(sql, [
    lockClock(schema),
    ...formerId === undefined ? [] : [`update "${schema}".window_members set dead_at = clock_timestamp() where id = ${uuid(formerId)} and dead_at is null`],
    `insert into "${schema}".window_members (id, beat, window_ms) values (${uuid(id)}, ${uuid(id)}, ${integer(windowMs)}) on conflict (id) do nothing`,
    settleWindowLength(schema),
    `select json_build_object(${durableProofColumns(nonce)}, 'secret', encode(row_secret, 'hex'))::text as answer from "${schema}".revocation_clock where id = 1`
  ])
  const secret = provenAnswer(withAnswer(rows), nonce).text('secret')
  if (!/^[0-9a-f]{32,}$/.test(secret)) throw wrong('secret')
  return { rowSecret: Buffer.from(secret, 'hex') }
}

/** Those of a transaction's rows that are an answer: locks return rows too, without a column. */
function withAnswer (rows: readonly Row[]): Row[] {
  return rows.filter((row) => Object.keys(row).length > 0)
}

/**
 * Renews a membership and reads the log, in one statement and so at one moment (R3). A write on purpose: a primary
 * that has been replaced, or whose standby does not answer, cannot commit it. Only where the row bears a beat of ours: a row that was
 * restored looks alive, and a replica that goes on with it would go on in a history that never knew it.
 */
export async function renewWindow (sql: Sql, { schema, history }: WindowTables, { id, beat, beats, applied, givesUpLineage, rowsMax }: Renewal): Promise<RenewalAnswer> {
  const answer = await ask(sql, beat, `
    with present as materialized (
      select seq, lineage, former, window_ms, ${history.timeline} as timeline, ${history.serverStart} as server_start
      from "${schema}".revocation_clock where id = 1
    ), mine as (
      update "${schema}".window_members set
        beat = ${uuid(beat)},
        acked = greatest(acked, least(${integer(applied)}, present.seq)),
        lineage = ${givesUpLineage ? 'null' : 'window_members.lineage'}
      from present where ${isLiving({ id, beats })}
      returning window_members.lineage
    )
    select json_build_object(
      ${durableProofColumns(beat)},
      'row', case
        when exists (select from mine) then 'alive'
        when exists (select from "${schema}".window_members where id = ${uuid(id)} and dead_at is not null and beat = any(${uuids(beats)})) then 'dead'
        else 'missing'
      end,
      'own_lineage', (select lineage from mine),
      'lineage', lineage, 'former', former, 'timeline', timeline, 'server_start', server_start,
      'seq', seq, 'window_ms', window_ms,
      'database_time', extract(epoch from clock_timestamp())::float8 * 1000,
      'rows', coalesce((
        select json_agg(json_build_array(newest.seq, action, (select json_agg(encode(digest, 'hex')) from unnest(digests) digest), workspace_id) order by newest.seq)
        from (select * from "${schema}".revocation_log where revocation_log.seq > ${integer(applied)} order by seq desc limit ${integer(rowsMax)}) newest
      ), '[]')
    )::text as answer
    from present`)
  const row = answer.text('row')
  if (row !== 'alive' && row !== 'dead' && row !== 'missing') throw wrong('row')
  return {
    row,
    lineage: answer.textOrNull('own_lineage'),
    history: answer.history(),
    seq: answer.whole('seq'),
    windowMs: answer.whole('window_ms'),
    databaseTime: answer.time('database_time'),
    rows: answer.changes('rows')
  }
}

/** All living members, how many they are, and ourselves with a beat of ours among them: nothing less may end a wait (R10). */
export async function readRoll (sql: Sql, { schema }: WindowTables, own: OwnRow): Promise<Omit<Roll, 'sentAt' | 'answeredAt'>> {
  const nonce = randomUUID()
  const answer = await ask(sql, nonce, `
    with living as materialized (select * from "${schema}".window_members where dead_at is null)
    select json_build_object(
      ${proofColumns(nonce)}, 'seq', seq, 'lineage', lineage,
      'count', (select count(*) from living),
      'members', coalesce((select json_agg(json_build_array(id, acked, beat, lineage, window_ms)) from living), '[]')
    )::text as answer
    from "${schema}".revocation_clock where id = 1`)
  const members = answer.list('members').map(memberOf)
  if (members.length !== answer.whole('count')) throw wrong('count')
  const mine = members.find((member) => member.id === own.id)
  if (mine === undefined || !own.isOwnBeat(mine.beat)) throw new AnswerRefused('it does not know this replica')
  return { seq: answer.whole('seq'), lineage: answer.text('lineage'), members }
}

function memberOf (row: unknown): Member {
  if (!Array.isArray(row) || row.length !== 5) throw wrong('members')
  const [id, acked, beat, lineage, windowMs] = row as unknown[]
  return {
    id: asText(id, 'id'),
    acked: asWhole(acked, 'acked'),
    beat: asText(beat, 'beat'),
    lineage: lineage === null ? undefined : asText(lineage, 'lineage'),
    windowMs: asWhole(windowMs, 'window_ms')
  }
}

/** Gives the clock's lineage to living members that have none, if our own row, with a beat of ours, bears it (R9). */
export async function admitMembers (sql: Sql, { schema }: WindowTables, own: OwnRow, until: number): Promise<number> {
  const nonce = randomUUID()
  const answer = await ask(sql, nonce, `
    with ours as materialized (
      select revocation_clock.lineage from "${schema}".window_members join "${schema}".revocation_clock on revocation_clock.lineage = window_members.lineage
      where revocation_clock.id = 1 and ${isLiving(own)} and clock_timestamp() < to_timestamp(${integer(Math.floor(until))} / 1000.0)
    ), admitted as (
      update "${schema}".window_members set lineage = ours.lineage from ours
      where window_members.dead_at is null and window_members.lineage is null
      returning 1
    )
    select json_build_object(${durableProofColumns(nonce)}, 'admitted', (select count(*) from admitted))::text as answer`)
  return answer.whole('admitted')
}

/** Under the clock's lock: a new lineage for the clock and for our row, if no living member bears the clock's (R9). */
export async function foundLineage (sql: Sql, { schema }: WindowTables, own: OwnRow, lineage: string): Promise<boolean> {
  const nonce = randomUUID()
  const rows = await inOneTransaction(sql, [
    lockClock(schema),
    `with mine as (
      update "${schema}".window_members set lineage = ${uuid(lineage)}
      where ${isLiving(own)} and window_members.lineage is null and not exists (
        select from "${schema}".window_members other join "${schema}".revocation_clock on revocation_clock.lineage = other.lineage
        where revocation_clock.id = 1 and other.dead_at is null
      )
      returning 1
    ), founded as (
      update "${schema}".revocation_clock set former = revocation_clock.lineage, lineage = ${uuid(lineage)} from mine where revocation_clock.id = 1 returning 1
    )
    select json_build_object(${durableProofColumns(nonce)}, 'founded', exists (select from founded))::text as answer`
  ])
  return provenAnswer(withAnswer(rows), nonce).boolean('founded')
}

/** Marks a member dead unless it has renewed since its beat was read; its next renewal then finds no row (R12). */
export async function countOutMember (sql: Sql, { schema }: WindowTables, { id, beat }: Pick<Member, 'id' | 'beat'>): Promise<boolean> {
  const nonce = randomUUID()
  const answer = await ask(sql, nonce, `
    with gone as (
      update "${schema}".window_members set dead_at = clock_timestamp()
      where id = ${uuid(id)} and dead_at is null and beat = ${uuid(beat)}
      returning 1
    )
    select json_build_object(${durableProofColumns(nonce)}, 'gone', exists (select from gone))::text as answer`)
  return answer.boolean('gone')
}

const keysNamedMax = 8

/**
 * Revokes, in one statement and under one position, those keys of the digests that are not revoked: a failover has lost it (R16). Only
 * in the lineage in which the revocations were heard, or in the one that came after it; and where our row bore no lineage then, only in a database that
 * knows the id of ours that heard them: it has been a member there, so it is no copy that was made before. Rows of keys are locked first and the
 * clock's last, as in every change.
 */
export async function putBackRevocations (sql: Sql, { schema }: WindowTables, own: OwnRow, { lineage, heardBy, digests }: Heard): Promise<PutBack> {
  const nonce = randomUUID()
  const answer = await ask(sql, nonce, `
    with allowed as materialized (
      select 1 from "${schema}".revocation_clock, "${schema}".window_members
      where revocation_clock.id = 1 and ${uuid(lineage)} in (revocation_clock.lineage, revocation_clock.former) and ${isLiving(own)}
    ), target as materialized (
      select id, workspace_id from "${schema}".keys
      where revoked_at is null and exists (select from allowed)${heardBy === undefined ? '' : ` and exists (select from "${schema}".window_members where id = ${uuid(heardBy)})`}
        and id in (select key_id from "${schema}".tokens where digest = any(${byteas(digests)}))
      order by id for update
    ), counted as materialized (
      select count(*)::int as keys from target
    ), gone as materialized (
      select array_agg(digest order by digest) as digests from "${schema}".tokens where key_id in (select id from target)
    ), tick as (
      update "${schema}".revocation_clock set seq = seq + 1 from counted where revocation_clock.id = 1 and counted.keys > 0
      returning seq, window_ms
    ), logged as (
      insert into "${schema}".revocation_log (seq, action, digests)
      select tick.seq, case when counted.keys <= ${keysNamedMax} then 'revoke' else 'change' end, case when counted.keys <= ${keysNamedMax} then gone.digests end
      from tick, counted, gone
    ), revoked as (
      update "${schema}".keys set revoked_at = clock_timestamp(), revoked_by = 'navis-keys', revoke_reason = 'revoked before a failover that lost it'
      from tick, target where keys.id = target.id and keys.revoked_at is null
      returning keys.*
    ), emitted as (
      ${emitText(schema, 'key.revoked', 'revoked')}
    ), audited as (
      insert into "${schema}".audit (id, workspace_id, key_id, action, actor, details)
      select gen_random_uuid(), target.workspace_id, target.id, 'key.revoked', 'navis-keys', '{"reason":"revoked before a failover that lost it"}'::jsonb from tick, target
    )
    select json_build_object(
      ${durableProofColumns(nonce)}, 'allowed', exists (select from allowed),
      'keys', counted.keys,
      'digests', coalesce((select json_agg(encode(digest, 'hex')) from unnest(gone.digests) digest), '[]'),
      'seq', (select seq from tick), 'window_ms', (select window_ms from tick)
    )::text as answer
    from counted, gone`)
  if (!answer.boolean('allowed')) throw new Error('The row of this replica is not the one that it was: asking again after the next renewal.')
  const revoked = answer.digests('digests')
  if (revoked.length === 0) return { revoked, change: undefined }
  const isNamed = answer.whole('keys') <= keysNamedMax
  return {
    revoked,
    change: {
      seq: answer.whole('seq'),
      windowMs: answer.whole('window_ms'),
      action: isNamed ? 'revoke' : 'change',
      target: isNamed ? { kind: 'key', digests: revoked } : { kind: 'everything' }
    }
  }
}

const rowsAtATime = 1000

/**
 * Deletes up to a thousand of the oldest log rows beyond the newest `keepRows`, and forgets the long dead. The clock's
 * lock is held meanwhile, and every change waits for it: hence the bound. `pruned_to` rises in the same transaction.
 */
export async function pruneRevocationLog (sql: Sql, { schema }: WindowTables, keepRows: number): Promise<number> {
  const nonce = randomUUID()
  const reach = await ask(sql, nonce, `
    with forgotten as (delete from "${schema}".window_members where dead_at < clock_timestamp() - interval '1 day')
    select json_build_object(${durableProofColumns(nonce)}, 'to', coalesce((
      select least(seq - ${integer(keepRows)}, (select min(seq) from "${schema}".revocation_log) + ${integer(rowsAtATime - 1)})
      from "${schema}".revocation_clock where id = 1 and seq - ${integer(keepRows)} >= (select min(seq) from "${schema}".revocation_log)
    ), 0))::text as answer`)
  const to = reach.whole('to')
  if (to === 0) return 0
  const rows = await inOneTransaction(sql, [
    `update "${schema}".revocation_clock set pruned_to = greatest(pruned_to, ${integer(to)}) where id = 1`,
    `with gone as (delete from "${schema}".revocation_log where seq <= ${integer(to)} returning seq)
     select json_build_object(${durableProofColumns(nonce)}, 'rows', count(*))::text as answer from gone`,
    settleWindowLength(schema)
  ])
  return provenAnswer(withAnswer(rows), nonce).whole('rows')
}

/** Deletes a row of members; the member has shut its window before (R12). */
export async function leaveWindow (sql: Sql, { schema }: WindowTables, id: string): Promise<void> {
  await inOneTransaction(sql, [durably, lockClock(schema), `delete from "${schema}".window_members where id = ${uuid(id)}`, settleWindowLength(schema)])
}

/** Deletes every row of members. Only while no member can be alive: a change would not wait for a member whose row is gone. */
export async function clearMembers (sql: Sql, schema: string): Promise<void> {
  await inOneTransaction(sql, [durably, lockClock(schema), `delete from "${schema}".window_members`, settleWindowLength(schema)])
}
