import { sql, type SQL } from 'drizzle-orm'
import type { EventQuery, EventType, KeyEvent } from '../../core/events.ts'
import type { UpkeepStep } from '../../core/upkeep.ts'
import type { Database } from '../connect.ts'
import { milliseconds, toManagedKey, type ManagedKeyRow } from './managed-key.ts'

/**
 * Writes an event for each row of `source`, a part of the same statement that has the columns of `managedKeyColumns`: what happened and the
 * fact of it are one transaction.
 */
export function emit ({ tables }: Database, type: EventType, source: SQL, details: SQL = sql`'{}'::jsonb`): SQL {
  return sql`insert into ${tables.events} (id, type, workspace_id, key_id, data)
      select gen_random_uuid(), ${type}, source.workspace_id, source.id, jsonb_build_object('key', to_jsonb(source)) || ${details} from ${source} as source`
}

interface EventRow {
  id: string
  type: EventType
  at: number
  key_id: string
  data: { key: ManagedKeyRow, days?: number }
  [column: string]: unknown
}

/**
 * Events in the order of their transactions; `undefined` where there is no event `after`. Those of a transaction that began after one that still runs are held back: the other may
 * yet add events before them, which a reader who goes on after the last one it saw would miss.
 */
export async function listEvents (db: Database, query: EventQuery): Promise<readonly KeyEvent[] | undefined> {
  const rows = await db.execute<EventRow>(listEventsStatement(db, query))
  if (rows.length === 0 && query.after !== undefined) {
    const known = await db.execute(sql`select 1 from ${db.tables.events} where id = ${query.after}::uuid`)
    if (known.length === 0) return undefined
  }
  return rows.map(({ id, type, at, key_id: keyId, data: { key, days } }) => ({ id, type, at, keyId, key: toManagedKey(key), days }))
}

export function listEventsStatement ({ tables: { events } }: Database, { after, rowsMax }: EventQuery): SQL {
  const place = (column: SQL) => sql`(select ${column} from ${events} where id = ${after}::uuid)`
  const isAfter = after === undefined ? sql`true` : sql`(events.xid, events.seq) > (${place(sql`xid`)}, ${place(sql`seq`)})`
  return sql`
    select id, type, ${milliseconds(sql`events.at`)} as at, key_id, data from ${events}
    where events.xid < pg_snapshot_xmin(pg_current_snapshot()) and ${isAfter}
    order by events.xid, events.seq limit ${rowsMax}`
}

/** Forgets some of the events that are older than `days` and that no receiver still waits for; resolves to how many went. */
export async function pruneEvents (db: Database, { days, rowsMax }: UpkeepStep): Promise<number> {
  const { events, deliveries } = db.tables
  const gone = await db.execute(sql`
    delete from ${events} where id in (
      select id from ${events} where at < statement_timestamp() - ${days}::int * interval '1 day'
        and not exists (select from ${deliveries} where deliveries.event_id = events.id)
      order by at limit ${rowsMax} for update skip locked)
    returning 1`)
  return gone.length
}
