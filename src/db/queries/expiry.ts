import { sql, type SQL } from 'drizzle-orm'
import type { UpkeepStep } from '../../core/upkeep.ts'
import type { Database } from '../connect.ts'
import { emit } from './events.ts'
import { managedKeyColumns } from './managed-key.ts'

/** Writes down for some keys that they have expired, which the lists rely on, and emits `key.expired`; resolves to how many. */
export async function markExpired (db: Database, rowsMax: number): Promise<number> {
  return await notice(db, { days: 0, event: emit(db, 'key.expired', sql`shown`), rowsMax })
}

/** Emits `key.expiring` for some keys that expire within `days`, and notes that it has; resolves to how many. A key that was made with less left is told of at once. */
export async function noticeExpiring (db: Database, { days, rowsMax }: UpkeepStep): Promise<number> {
  return await notice(db, { days, event: emit(db, 'key.expiring', sql`shown`, sql`jsonb_build_object('days', ${days}::int)`), rowsMax })
}

interface Notice {
  /** 0: the key has expired. */
  readonly days: number
  readonly event: SQL
  readonly rowsMax: number
}

async function notice (db: Database, { days, event, rowsMax }: Notice): Promise<number> {
  const { keys } = db.tables
  const [row] = await db.execute<{ noticed: number, [column: string]: unknown }>(sql`
    with candidate as materialized (
      ${dueStatement(db, { days, rowsMax })}
    ), due as materialized (
      select keys.id from ${keys} join candidate on candidate.id = keys.id
      where keys.ended = 0 and (keys.expiry_notice is null or keys.expiry_notice > ${days}::int) and ${isDue(days)}
      order by keys.id limit ${rowsMax} for update of keys skip locked
    ), noticed as (
      update ${keys} set expiry_notice = ${days}::int from due where keys.id = due.id returning keys.*
    ), shown as (
      select ${managedKeyColumns(db)} from noticed as keys
    ), emitted as (
      ${event}
    )
    select count(*)::int as noticed from noticed`)
  return row?.noticed ?? 0
}

/** Keys that may be due, along the index on what they were told last. Another replica may hold some of them: they are locked, and looked at again, by the statement around this one. */
export function dueStatement ({ tables: { keys } }: Database, { days, rowsMax }: Omit<Notice, 'event'>): SQL {
  const former = [sql`keys.expiry_notice is null`, ...[7, 1].filter((notice) => notice > days).map((notice) => sql`keys.expiry_notice = ${sql.raw(String(notice))}`)]
  const parts = former.map((told) => sql`
      (select keys.id from ${keys} where keys.ended = 0 and ${told} and ${isDue(days)} order by keys.expires_at limit ${rowsMax})`)
  return sql.join(parts, sql` union all `)
}

// `statement_timestamp()` and not the clock itself, which could not be looked up in an index.
function isDue (days: number): SQL {
  return days === 0
    ? sql`keys.expires_at <= statement_timestamp()`
    : sql`keys.expires_at > statement_timestamp() and keys.expires_at <= statement_timestamp() + ${days}::int * interval '1 day'`
}
