import { sql, type SQL } from 'drizzle-orm'
import { PgDialect } from 'drizzle-orm/pg-core'
import type { EventQuery, EventType, KeyEvent } from '../../core/events.ts'
import type { UpkeepStep } from '../../core/upkeep.ts'
import type { Database } from '../connect.ts'
import { durably } from '../proof.ts'
import { tablesIn } from '../schema.ts'
import { managedKeyColumns, milliseconds, toManagedKey, type ManagedKeyRow } from './managed-key.ts'

/**
 * Writes an event for each row of `source`, a part of the same statement that has the columns of `managedKeyColumns`: what happened and the
 * fact of it are one transaction.
 */
export function emit ({ tables }: Database, type: EventType, source: SQL, details: SQL = sql`'{}'::jsonb`): SQL {
  return sql`insert into ${tables.events} (id, type, workspace_id, key_id, data)
      select gen_random_uuid(), ${type}, source.workspace_id, source.id, jsonb_build_object('key', to_jsonb(source)) || ${details} from ${source} as source`
}

/** The same for statements that are text: `source` is a part of the statement with the columns of `keys`. */
export function emitText (schema: string, type: EventType, source: string): string {
  const tables = tablesIn(schema)
  const { sql: text, params } = new PgDialect().sqlToQuery(sql`
    insert into ${tables.events} (id, type, workspace_id, key_id, data)
    select gen_random_uuid(), ${sql.raw(`'${type}'`)}, shown.workspace_id, shown.id, jsonb_build_object('key', to_jsonb(shown)) from (
      select ${managedKeyColumns({ tables })} from ${sql.raw(source)} as keys
    ) as shown`)
  if (params.length > 0) throw new Error('A text cannot have parameters.')
  return text
}

/** Of `eventColumns`. */
export interface EventRow {
  id: string
  type: EventType
  at: number
  key_id: string
  data: { key: ManagedKeyRow, days?: number }
  [column: string]: unknown
}

export const eventColumns = sql`events.id, events.type, ${milliseconds(sql`events.at`)} as at, events.key_id, events.data`

export function toKeyEvent ({ id, type, at, key_id: keyId, data: { key, days } }: EventRow): KeyEvent {
  return { id, type, at, keyId, key: toManagedKey(key), days }
}

/**
 * Gives places to some of the events that have none yet; resolves to how many. One at a time, under the lock of the clock: places become visible in their order.
 * Events of one key get theirs in the order in which they happened, because a statement that sees the later one sees the earlier one too. Another process may be at
 * it: then there is nothing to do. The commit waits for the disk: after a crash, what has been shown must not have other places.
 */
export async function placeEvents (db: Database, rowsMax: number): Promise<number> {
  const { events, eventClock } = db.tables
  const [row] = await db.execute<{ placed: number, [column: string]: unknown }>(sql`
    with turn as materialized (
      select place from ${eventClock} where id = 1 and exists (select from ${events} where events.place is null) for update skip locked
    ), unplaced as materialized (
      select events.id, events.seq from ${events} where events.place is null and exists (select from turn) order by events.seq limit ${rowsMax} for update of events
    ), numbered as materialized (
      select unplaced.id, turn.place + row_number() over (order by unplaced.seq) as place from turn, unplaced
    ), placed as (
      update ${events} set place = numbered.place from numbered where events.id = numbered.id
    ), counted as materialized (
      select count(*)::int as placed from numbered
    ), moved as (
      update ${eventClock} set place = event_clock.place + counted.placed from counted, turn where event_clock.id = 1 and counted.placed > 0
    )
    select placed, (${sql.raw(durably)}) as durable from counted`)
  return row?.placed ?? 0
}

/** Events in the order of their places; `undefined` where there is no event `after`. */
export async function listEvents (db: Database, query: EventQuery): Promise<readonly KeyEvent[] | undefined> {
  const rows = await db.execute<EventRow>(listEventsStatement(db, query))
  if (rows.length === 0 && query.after !== undefined) {
    const known = await db.execute(sql`select 1 from ${db.tables.events} where id = ${query.after}::uuid and place is not null`)
    if (known.length === 0) return undefined
  }
  return rows.map(toKeyEvent)
}

export function listEventsStatement ({ tables: { events } }: Database, { after, rowsMax }: EventQuery): SQL {
  const isAfter = after === undefined ? sql`events.place is not null` : sql`events.place > (select place from ${events} where id = ${after}::uuid)`
  return sql`select ${eventColumns} from ${events} where ${isAfter} order by events.place limit ${rowsMax}`
}

/** Forgets some of the events that are older than `days` and that no receiver still waits for; resolves to how many went. */
export async function pruneEvents (db: Database, { days, rowsMax }: UpkeepStep): Promise<number> {
  const { events, deliveries, receivers } = db.tables
  const gone = await db.execute(sql`
    delete from ${events} where id in (
      select id from ${events} where at < statement_timestamp() - ${days}::int * interval '1 day' and events.place is not null
        and not exists (select from ${receivers} where receivers.place < events.place)
        and not exists (select from ${deliveries} where deliveries.key_id = events.key_id and deliveries.place <= events.place)
      order by at limit ${rowsMax} for update skip locked)
    returning 1`)
  return gone.length
}
