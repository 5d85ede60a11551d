import { sql, type SQL } from 'drizzle-orm'
import { triedDays, type Delivery, type QueuedWork } from '../../core/webhooks.ts'
import type { Database } from '../connect.ts'
import { eventColumns, toKeyEvent, type EventRow } from './events.ts'
import { milliseconds } from './managed-key.ts'

/*
 * A receiver has one row in `deliveries` for each key with events that it has not confirmed, and the row is at the first of them. Both moving the receiver's place and
 * moving a delivery to the next event hold the receiver's row, so that an event is either seen by the one or queued by the other.
 */

/** How long a receiver that no replica names any more is remembered, with what waits for it. */
const forgottenAfterDays = 7

/** Says of receivers that there are replicas that name them. A new one is given what happens from now on. */
export async function nameReceivers (db: Database, ids: readonly string[]): Promise<void> {
  const { eventClock, receivers } = db.tables
  await db.execute(sql`
    insert into ${receivers} as receivers (receiver, place) select given.receiver, event_clock.place from (${givenReceivers(ids)}) as given, ${eventClock} where event_clock.id = 1 order by given.receiver
    on conflict (receiver) do update set seen_at = clock_timestamp()`)
}

function givenReceivers (ids: readonly string[]): SQL {
  return sql`select decode(value, 'hex') as receiver from jsonb_array_elements_text(${JSON.stringify(ids)}::jsonb)`
}

interface QueuedRow {
  due: string[]
  oldest_ms: number | null
  behind: boolean
  [column: string]: unknown
}

/** Gives each receiver the events up to the newest place, at most `rowsMax` at a time. */
export async function queueDeliveries (db: Database, { receivers: ids, rowsMax }: { readonly receivers: readonly string[], readonly rowsMax: number }): Promise<QueuedWork> {
  const { events, eventClock, receivers, deliveries } = db.tables
  const [row] = await db.execute<QueuedRow>(sql`
    with given as materialized (${givenReceivers(ids)}), clock as materialized (
      select place from ${eventClock} where id = 1
    ), turn as materialized (
      select receivers.receiver, receivers.place from ${receivers} join given on given.receiver = receivers.receiver, clock
      where receivers.place < clock.place order by receivers.receiver for update of receivers skip locked
    ), next as materialized (
      select turn.receiver, event.key_id, event.place
      from turn cross join lateral (select key_id, place from ${events} as event where event.place > turn.place order by event.place limit ${rowsMax}) as event
    ), queued as (
      insert into ${deliveries} (receiver, key_id, place)
      select distinct on (receiver, key_id) receiver, key_id, place from next order by receiver, key_id, place
      on conflict (receiver, key_id) do nothing
      returning receiver
    ), moved as (
      update ${receivers} set place = reached.place from (select receiver, max(place) as place from next group by receiver) as reached where receivers.receiver = reached.receiver
    )
    select
      (select coalesce(json_agg(encode(receiver, 'hex')), '[]') from given
        where exists (select from ${deliveries} where deliveries.receiver = given.receiver and deliveries.next_at <= statement_timestamp())
          or exists (select from queued where queued.receiver = given.receiver)) as due,
      (select max(${milliseconds(sql`clock_timestamp()`)} - ${milliseconds(sql`event.at`)}) from given
        cross join lateral (select min(deliveries.place) as place from ${deliveries} where deliveries.receiver = given.receiver) as first
        join ${events} as event on event.place = first.place) as oldest_ms,
      exists (select from next group by receiver having count(*) >= ${rowsMax}) as behind`)
  return { due: row?.due ?? [], oldestMs: row?.oldest_ms ?? 0, hasMore: row?.behind ?? false }
}

interface ClaimedRow extends EventRow {
  place: string
  attempts: number
  is_old: boolean
}

interface Claim {
  readonly receiver: string
  readonly rowsMax: number
  readonly leaseMs: number
}

/** Takes deliveries that are due, the longest first. */
export async function claimDeliveries (db: Database, { receiver, rowsMax, leaseMs }: Claim): Promise<readonly Delivery[]> {
  const { events, deliveries } = db.tables
  const rows = await db.execute<ClaimedRow>(sql`
    with due as materialized (
      select receiver, key_id from ${deliveries} where receiver = decode(${receiver}, 'hex') and next_at <= statement_timestamp()
      order by next_at limit ${rowsMax} for update skip locked
    ), claimed as (
      update ${deliveries} set attempts = deliveries.attempts + 1, next_at = clock_timestamp() + ${leaseMs}::float8 * interval '1 millisecond'
      from due where deliveries.receiver = due.receiver and deliveries.key_id = due.key_id
      returning deliveries.place, deliveries.attempts
    )
    select claimed.place, claimed.attempts, events.at < clock_timestamp() - ${triedDays}::int * interval '1 day' as is_old, ${eventColumns}
    from claimed join ${events} on events.place = claimed.place`)
  return rows.map((row) => ({ receiver, place: Number(row.place), attempts: row.attempts, isOld: row.is_old, event: toKeyEvent(row) }))
}

/**
 * Moves a delivery to the next event of its key, or away where there is none. Resolves to `false` where the receiver was given events meanwhile: this
 * statement may not have seen them, and is to be repeated.
 */
export async function finishDelivery (db: Database, { receiver, place, attempts, event: { keyId } }: Delivery): Promise<boolean> {
  const { events, receivers, deliveries } = db.tables
  const [row] = await db.execute<{ is_newest: boolean, [column: string]: unknown }>(sql`
    with turn as materialized (
      select receivers.place, receivers.place = (select place from ${receivers} as seen where seen.receiver = decode(${receiver}, 'hex')) as is_newest
      from ${receivers} where receivers.receiver = decode(${receiver}, 'hex') for update
    ), mine as materialized (
      select deliveries.receiver, deliveries.key_id, deliveries.place, turn.place as up_to from ${deliveries}, turn
      where turn.is_newest and deliveries.receiver = decode(${receiver}, 'hex') and deliveries.key_id = ${keyId}::uuid
        and deliveries.place = ${place}::bigint and deliveries.attempts = ${attempts}::int for update of deliveries
    ), next as materialized (
      select (select min(events.place) from ${events} where events.key_id = mine.key_id and events.place > mine.place and events.place <= mine.up_to) as place from mine
    ), advanced as (
      update ${deliveries} set place = next.place, attempts = 0, next_at = clock_timestamp() from mine, next
      where deliveries.receiver = mine.receiver and deliveries.key_id = mine.key_id and next.place is not null
    ), done as (
      delete from ${deliveries} using mine, next where deliveries.receiver = mine.receiver and deliveries.key_id = mine.key_id and next.place is null
    )
    select is_newest from turn`)
  // A receiver that has been forgotten has no deliveries either.
  return row?.is_newest ?? true
}

export async function postponeDelivery (db: Database, { receiver, place, attempts, event: { keyId } }: Delivery, delayMs: number): Promise<void> {
  await db.execute(sql`
    update ${db.tables.deliveries} set next_at = clock_timestamp() + ${delayMs}::float8 * interval '1 millisecond'
    where receiver = decode(${receiver}, 'hex') and key_id = ${keyId}::uuid and place = ${place}::bigint and attempts = ${attempts}::int`)
}

/** Forgets receivers that no replica has named for days, and what waits for them; resolves to how many rows went. */
export async function forgetReceivers (db: Database, rowsMax: number): Promise<number> {
  const { receivers, deliveries } = db.tables
  const [row] = await db.execute<{ gone: number, [column: string]: unknown }>(sql`
    with idle as materialized (
      select receiver from ${receivers} where seen_at < statement_timestamp() - ${forgottenAfterDays}::int * interval '1 day' for update skip locked
    ), gone as (
      delete from ${deliveries} where (receiver, key_id) in (select deliveries.receiver, deliveries.key_id from ${deliveries} join idle on idle.receiver = deliveries.receiver limit ${rowsMax}) returning 1
    ), counted as materialized (
      select count(*)::int as gone from gone
    ), forgotten as (
      delete from ${receivers} using idle, counted where receivers.receiver = idle.receiver and counted.gone = 0
    )
    select gone from counted`)
  return row?.gone ?? 0
}
