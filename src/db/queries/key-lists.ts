import { sql, type SQL } from 'drizzle-orm'
import type { ManagedKey } from '../../core/key-record.ts'
import type { KeyQuery } from '../../core/key-store.ts'
import type { Database } from '../connect.ts'
import { managedKeyColumns, timestamp, toManagedKey, type ManagedKeyRow } from './managed-key.ts'

export async function listKeys (db: Database, query: KeyQuery): Promise<readonly ManagedKey[]> {
  return (await db.execute<ManagedKeyRow>(listKeysStatement(db, query))).map(toManagedKey)
}

/**
 * A page of a list. The upkeep writes down within minutes which keys have expired (`ended`), so that an index can lead to them; those of the
 * last minutes are few, and found by their expiry. `statement_timestamp()` and not the clock itself: one moment for a whole page.
 */
export function listKeysStatement (db: Database, query: KeyQuery): SQL {
  const where = sql`keys.workspace_id = ${query.workspaceId} and ${filtersOf(db, query)}`
  const parts = partsOf[query.status].map(({ condition, isUnordered }) => {
    const rows = sql`select keys.* from ${db.tables.keys} where ${condition} and ${where}`
    return isUnordered
      ? sql`(select * from (${rows} offset 0) as keys order by ${newestFirst} limit ${query.rowsMax})`
      : sql`(${rows} order by ${newestFirst} limit ${query.rowsMax})`
  })
  return sql`
    select ${managedKeyColumns(db)} from (
      select * from (${sql.join(parts, sql` union all `)}) as keys order by ${newestFirst} limit ${query.rowsMax}
    ) as keys order by ${newestFirst}`
}

// "nulls last" is how the indexes are made; without it they do not serve this order, even where nothing is null.
const newestFirst = sql`keys.created_at desc nulls last, keys.id desc nulls last`

interface Part {
  readonly condition: SQL
  /** Few rows, which are found by another index than that of the order. Without the fence, the planner would walk through all others to find them in order. */
  readonly isUnordered?: true
}

// Each part is read along an index in the order of the list, and no further than the page reaches.
const partsOf: Readonly<Record<KeyQuery['status'], readonly Part[]>> = {
  all: [{ condition: sql`keys.ended = 0` }, { condition: sql`keys.ended = 1` }, { condition: sql`keys.ended = 2` }],
  active: [{ condition: sql`keys.ended = 0 and (keys.expires_at is null or keys.expires_at > statement_timestamp())` }],
  expired: [{ condition: sql`keys.ended = 1` }, { condition: sql`keys.ended = 0 and keys.expires_at <= statement_timestamp()`, isUnordered: true }],
  revoked: [{ condition: sql`keys.ended = 2` }]
}

function filtersOf (db: Database, { workspaceId, ownerId, scope, q, unusedDays, expiresWithinDays, after }: KeyQuery): SQL {
  const filters = [
    ...after === undefined ? [] : [sql`(keys.created_at, keys.id) < (${timestamp(after.at)}::timestamptz, ${after.id}::uuid)`],
    ...ownerId === undefined ? [] : [sql`keys.owner_id = ${ownerId}`],
    ...scope === undefined ? [] : [sql`keys.scope = ${scope}`],
    ...q === undefined ? [] : [named(db, workspaceId, q)],
    ...unusedDays === undefined ? [] : [unusedFor(db, unusedDays)],
    ...expiresWithinDays === undefined
      ? []
      : [sql`keys.expires_at > statement_timestamp() and keys.expires_at <= statement_timestamp() + ${expiresWithinDays}::int * interval '1 day'`]
  ]
  return filters.length === 0 ? sql`true` : sql.join(filters, sql` and `)
}

// The index knows a name by every three characters in a row. Fewer than three it does not know: those are in many names, and soon found.
function named ({ tables }: Database, workspaceId: string, q: string): SQL {
  const isIn = sql`strpos(lower(keys.name), lower(${q})) > 0`
  if ([...q].length < 3) return isIn
  const parts = sql`${sql.identifier(tables.schemaName)}.name_parts`
  return sql`${parts}(keys.workspace_id, keys.name) @> ${parts}(${workspaceId}, ${q}) and ${isIn}`
}

function unusedFor ({ tables }: Database, days: number): SQL {
  const since = sql`statement_timestamp() - ${days}::int * interval '1 day'`
  return sql`keys.created_at <= ${since}
    and not exists (select from ${tables.keyUsage} where key_usage.key_id = keys.id and key_usage.last_used_at > ${since})`
}
