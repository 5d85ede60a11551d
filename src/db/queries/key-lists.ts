import { sql, type SQL } from 'drizzle-orm'
import type { ManagedKey } from '../../core/key-record.ts'
import type { KeyCount, KeyFilter, KeyOrder, KeyQuery, Place } from '../../core/key-store.ts'
import type { Database } from '../connect.ts'
import { managedKeyColumns, milliseconds, timestamp, toManagedKey, type ManagedKeyRow } from './managed-key.ts'

// A filter that no index serves looks at so many keys for one page.
const lookedAtMax = 20_000
const countedMax = 10_000
// The first names of a list, which are searched before the index of names is asked.
const triedMax = 2000
const countTriedMax = 5000
// The most keys that are sorted for one page: a list by its last uses, or the hits of the index of last uses. More keys are read along the list, or along the index of last uses.
const sortedMax = 5000
// The same for the hits of the index of names. A name that more of 1,000,000 keys have, evenly, fills a page within `lookedAtMax` keys of the list, which costs as much as sorting so many.
const hitsMax = 2500

type Filter = KeyFilter & { readonly workspaceId: string }
type Query = Filter & Partial<Pick<KeyQuery, 'order' | 'after' | 'before'>>

export async function listKeys (db: Database, query: KeyQuery): Promise<readonly ManagedKey[]> {
  return (await db.execute<ManagedKeyRow>(listKeysStatement(db, query))).map(toManagedKey)
}

/**
 * A page of a list. The upkeep writes down within minutes which keys have expired (`ended`), so that an index can lead to them; those of the
 * last minutes are few, and found by their expiry. `statement_timestamp()` and not the clock itself: one moment for a whole page.
 */
export function listKeysStatement (db: Database, query: KeyQuery): SQL {
  if (isByUse(query)) return listByUseStatement(db, query)
  const shown = orderText({ ...query, before: undefined })
  if (query.q === undefined && !needsLooking(query)) return sql`select ${managedKeyColumns(db)} from (${candidates(db, query, query.rowsMax)}) as keys order by ${shown}`
  const { parts, ways } = waysTo(db, query)
  return sql`${parts.length === 0 ? sql`` : sql`with ${sql.join(parts, sql`, `)}`} select ${managedKeyColumns(db)} from (${sql.join(ways, sql` union all `)}) as keys order by ${shown}`
}

/**
 * The ways to a page of a search, of which one has rows. A search for a part of the name: if the first names of the list have enough hits, these are the page. If they have so many that
 * `lookedAtMax` keys should be enough, the page is searched along the list. If it is not full, the index of names finds up to `hitsMax` hits, which are sorted; if there are more, the page
 * is what the list has within `lookedAtMax` keys. Unused keys: if few match, the index of last uses finds them. If many match, the first ones along the list fill a page.
 */
function waysTo (db: Database, query: KeyQuery): { parts: SQL[], ways: SQL[] } {
  const { q, rowsMax } = query
  const along = orderText(query)
  const page = (rows: SQL, when: SQL, filter: KeyFilter = query) => sql`(select * from (${rows}) as keys where ${when} and ${checked(db, filter)} order by ${along} limit ${rowsMax})`
  const [parts, ways]: [SQL[], SQL[]] = [[], []]
  let otherwise = sql`true`
  if (isUnusedSearch(query)) {
    parts.push(sql`idle as materialized (${idle(db, query)})`)
    ways.push(page(candidates(db, query, sortedMax, isIdle), areFew))
    otherwise = sql`not ${areFew}`
  }
  if (q !== undefined) {
    const isEnough = sql`(select count(*) from tried) >= ${rowsMax}`
    const isPromising = sql`(select count(*) from tried) >= ${Math.ceil(rowsMax * triedMax / lookedAtMax)}`
    const isFull = sql`(${isEnough} or (select count(*) from walked) >= ${rowsMax})`
    parts.push(
      sql`tried as materialized ${page(candidates(db, query, triedMax), otherwise)}`,
      sql`walked as materialized ${page(candidates(db, query, lookedAtMax), sql`not ${isEnough} and ${isPromising}`)}`,
      sql`named as materialized (${named(db, query, q, sql`${otherwise} and not ${isFull}`)})`
    )
    ways.push(
      sql`select * from tried where ${isEnough}`,
      sql`select * from walked where ${isFull} or ${areMany}`,
      page(sql`select * from named`, sql`not ${areMany}`, { ...query, q: undefined })
    )
    otherwise = sql`${areMany} and not ${isPromising}`
  }
  return { parts, ways: [...ways, page(candidates(db, query, lookedAtMax), otherwise)] }
}

/** Whether a page of this query can be short although the list goes on. */
export function mayBeShort (query: KeyQuery): boolean {
  return isByUse(query) || needsLooking(query) || query.q !== undefined
}

/** The last of the keys that a short page of such a query was looked for in; `undefined`: all keys of the list were looked at. */
export async function lookedTo (db: Database, query: KeyQuery): Promise<Place | undefined> {
  // Where an index has led to all that there are, nothing is left.
  const isLooked = [
    ...query.q === undefined ? [] : [sql`(select count(*) from (${named(db, query, query.q)}) as named) > ${hitsMax}`],
    ...isUnusedSearch(query) ? [sql`(select count(*) from (${idle(db, query)}) as idle) > ${sortedMax}`] : []
  ]
  const [row] = await db.execute<{ at: number, id: string, [column: string]: unknown }>(isByUse(query)
    ? sql`with ${sizeParts(db, query)} select ${milliseconds(sql`keys.used`)} as at, keys.id from (${walk(db, query)}) as keys order by ${orderText(query)} offset ${lookedAtMax - 1} limit 1`
    : sql`select ${milliseconds(sql`keys.created_at`)} as at, keys.id from (${candidates(db, query, lookedAtMax)}) as keys
        where ${sql.join([sql`true`, ...isLooked], sql` and `)} order by ${orderText(query)} offset ${lookedAtMax - 1} limit 1`)
  return row === undefined ? undefined : { at: row.at, id: row.id }
}

/**
 * A page in the order of the last use, which is in another table. A list of up to `sortedMax` keys is sorted, to the millisecond. A longer one is read
 * along the index of last uses, to the minute: each of its keys is checked against the filter, `lookedAtMax` at most for one page.
 */
function listByUseStatement (db: Database, query: KeyQuery): SQL {
  const { keys, keyUsage } = db.tables
  const along = orderText(query)
  const sorted = sql`
    select keys.*, coalesce((select key_usage.last_used_at from ${keyUsage} where key_usage.key_id = keys.id), 'epoch') as used from (
      select * from few where not (select is_long from length)
      union all select * from named where not (select is_walked from size)
    ) as keys offset 0`
  // `key_id` is a column of the walk: the key itself has none of that name.
  const found = sql`
    select keys.* from ${keys} where keys.id = key_id and ${isOfStatus(query)} and ${isAmong(query)} and ${checked(db, query)} offset 0`
  return sql`
    with ${sizeParts(db, query)}, page as (
      (select * from (${sorted}) as keys where ${sql.join([checked(db, query), ...placed(db, query)], sql` and `)} order by ${along} limit ${query.rowsMax})
      union all
      (select found.*, keys.used from (${walk(db, query)}) as keys cross join lateral (${found}) as found order by ${along} limit ${query.rowsMax})
    )
    select ${managedKeyColumns(db)} from page as keys order by ${orderText({ ...query, before: undefined })}`
}

/**
 * `few`: the first keys of the list, of any name. `named`: the keys with the wanted part of a name, by the index of names, where it is a rare one.
 * `is_walked`: there are too many of both to sort them.
 */
function sizeParts (db: Database, { workspaceId, ownerId, scope, status, unusedDays, expiresWithinDays, q }: KeyQuery): SQL {
  const list = { workspaceId, ownerId, scope, status, unusedDays, expiresWithinDays }
  return sql`few as materialized (${candidates(db, list, sortedMax + 1)}), length as materialized (
      select count(*) > ${sortedMax} as is_long, ${q === undefined ? sql`false` : sql`count(*) filter (where ${isIn(q)}) < ${sortedMax / 100}`} as is_rare from few as keys
    ), named as materialized (
      ${q === undefined ? sql`select * from few where false` : named(db, list, q, sql`(select is_long and is_rare from length)`)}
    ), size as materialized (
      select is_long and (not is_rare or ${areMany}) as is_walked from length
    )`
}

// The keys of a workspace along the index of last uses, as far as one page looks.
function walk (db: Database, query: KeyQuery): SQL {
  const { workspaceId, after, before } = query
  const byMinute = { ...query, after: after && minuteOf(after), before: before && minuteOf(before) }
  return sql`
    select * from (
      select key_usage.key_id as id, key_usage.key_id, key_usage.used_minute as used from ${db.tables.keyUsage} where key_usage.workspace_id = ${workspaceId}
    ) as keys where ${sql.join([sql`(select is_walked from size)`, ...placed(db, byMinute)], sql` and `)} order by ${orderText(query)} limit ${lookedAtMax}`
}

function minuteOf ({ at, id }: Place): Place {
  return { at: Math.floor(at / 60_000) * 60_000, id }
}

function isByUse ({ order }: Pick<Query, 'order'>): boolean {
  return order === 'used' || order === 'idle'
}

export async function countKeys (db: Database, query: Filter): Promise<KeyCount> {
  const [row] = await db.execute<{ looked: number, found: number, [column: string]: unknown }>(countKeysStatement(db, query))
  const { looked = 0, found = 0 } = row ?? {}
  if (looked > 0) return { count: found, isExact: looked < (needsLooking(query) ? lookedAtMax : countTriedMax) }
  return { count: Math.min(found, countedMax), isExact: found <= countedMax }
}

export function countKeysStatement (db: Database, query: Filter): SQL {
  const counts = (rows: SQL, when: SQL, looked: SQL) => sql`select ${looked} as looked, (count(*) filter (where ${checked(db, query)}))::int as found from (${rows}) as keys having ${when}`
  if (isUnusedSearch(query)) {
    return sql`
      with idle as materialized (${idle(db, query)})
      ${counts(candidates(db, query, sortedMax, isIdle), areFew, sql`0`)} union all ${counts(candidates(db, query, lookedAtMax), sql`not ${areFew}`, sql`count(*)::int`)}`
  }
  if (needsLooking(query)) return counts(candidates(db, query, lookedAtMax), sql`true`, sql`count(*)::int`)
  const { q } = query
  const where = q === undefined ? isAmong(query) : sql`${isAmong(query)} and ${hasParts(db, query, q)}`
  const parts = partsOf[query.status].map(({ condition }) => sql`(select 1 from ${db.tables.keys} where ${condition} and ${where} limit ${countedMax + 1})`)
  const counted = sql`select 0 as looked, count(*)::int as found from (select 1 from (${sql.join(parts, sql` union all `)}) as parts limit ${countedMax + 1}) as keys`
  if (q === undefined) return counted
  return sql`
    with tried as materialized (${counts(candidates(db, query, countTriedMax), sql`true`, sql`count(*)::int`)})
    select looked, found from tried where ${isCommon}
    union all select * from (${counted}) as counted where not (select ${isCommon} from tried)`
}

const isCommon = sql`(looked < ${countTriedMax} or found >= ${countTriedMax / 100})`

/** Whether a filter is asked for that is looked at key by key. */
function needsLooking ({ unusedDays, neverUsed }: KeyFilter): boolean {
  return unusedDays !== undefined || neverUsed === true
}

// The keys of the list that the index of names leads to, up to one more than are sorted for a page. The fence: a list in which few names have the part must not be walked to its end.
function named (db: Database, query: Query, q: string, when = sql`true`): SQL {
  const where = sql.join([isOfStatus(query), isAmong(query), hasParts(db, query, q), ...placed(db, query)], sql` and `)
  return sql`select * from (select keys.* from ${db.tables.keys} where ${where} offset 0) as keys where ${when} limit ${hitsMax + 1}`
}

// Whether the index of names leads to too many keys to sort them.
const areMany = sql`(select count(*) from named) > ${hitsMax}`

/** Whether keys are asked for that have not been used for so many days. */
function isUnusedSearch (query: KeyFilter): query is KeyFilter & { readonly unusedDays: number } {
  return query.unusedDays !== undefined && query.neverUsed !== true
}

// Keys of the workspace that have not been used for so many days, up to one more than are sorted.
function idle ({ tables }: Database, { workspaceId, unusedDays }: Filter & { readonly unusedDays: number }): SQL {
  return sql`select key_usage.key_id from ${tables.keyUsage} where key_usage.workspace_id = ${workspaceId} and key_usage.used_minute <= ${daysAgo(unusedDays)} limit ${sortedMax + 1}`
}

const areFew = sql`(select count(*) from idle) <= ${sortedMax}`
// An array, so that each is looked up by its id: as a join it could be planned as a walk through all keys.
const isIdle = sql`keys.id = any (array(select key_id from idle))`

// The rows of the list in its order, by the indexes, whatever their names and uses; `among`: a further condition, which another index serves.
function candidates (db: Database, query: Query, rowsMax: number, among?: SQL): SQL {
  const along = orderText(query)
  const where = sql.join([isAmong(query), ...placed(db, query), ...among === undefined ? [] : [among]], sql` and `)
  const parts = partsOf[query.status].map(({ condition, isUnordered }) => {
    const rows = sql`select keys.* from ${db.tables.keys} where ${condition} and ${where}`
    return isUnordered || among !== undefined
      ? sql`(select * from (${rows} offset 0) as keys order by ${along} limit ${rowsMax})`
      : sql`(${rows} order by ${along} limit ${rowsMax})`
  })
  return sql`select * from (${sql.join(parts, sql` union all `)}) as keys order by ${along} limit ${rowsMax}`
}

interface Order {
  /** Of a row named `keys`. */
  readonly value: SQL
  readonly isDescending: boolean
  /** Where the cursor does not say the value: the row is asked for it, which may have been renamed or moved meanwhile. */
  readonly isLookedUp: boolean
}

const orders: Readonly<Record<KeyOrder, Order>> = {
  newest: { value: sql`keys.created_at`, isDescending: true, isLookedUp: false },
  oldest: { value: sql`keys.created_at`, isDescending: false, isLookedUp: false },
  name: { value: sql`(lower(keys.name) collate "C")`, isDescending: false, isLookedUp: true },
  expiry: { value: sql`coalesce(keys.expires_at, 'infinity'::timestamptz)`, isDescending: false, isLookedUp: true },
  // The cursor says the time: a key that is used between two pages must not take the next page with it.
  used: { value: sql`keys.used`, isDescending: true, isLookedUp: false },
  idle: { value: sql`keys.used`, isDescending: false, isLookedUp: false }
}

// Before a place, the list is read the other way round. The nulls are where the indexes have them: without that they do not serve the order,
// even where nothing is null.
function orderText ({ order = 'newest', before }: Query): SQL {
  const { value, isDescending } = orders[order]
  const direction = isDescending === (before === undefined) ? sql`desc nulls last` : sql`asc nulls first`
  return sql`${value} ${direction}, keys.id ${direction}`
}

function placed ({ tables }: Database, { order = 'newest', after, before }: Query): SQL[] {
  const place = before ?? after
  if (place === undefined) return []
  const { value, isDescending, isLookedUp } = orders[order]
  const bound = isLookedUp
    ? sql`(select ${value}, keys.id from ${tables.keys} where keys.id = ${place.id}::uuid)`
    : sql`(${timestamp(place.at)}::timestamptz, ${place.id}::uuid)`
  return [sql`(${value}, keys.id) ${isDescending === (before === undefined) ? sql`<` : sql`>`} ${bound}`]
}

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

function isOfStatus ({ status }: Pick<Query, 'status'>): SQL {
  return sql`(${sql.join(partsOf[status].map(({ condition }) => condition), sql` or `)})`
}

// The filters that the indexes of the list serve.
function isAmong ({ workspaceId, ownerId, scope, unusedDays, expiresWithinDays, order }: Query): SQL {
  // In the order of the expiry its index has it in this form.
  const expiresAt = order === 'expiry' ? orders.expiry.value : sql`keys.expires_at`
  return sql.join([
    sql`keys.workspace_id = ${workspaceId}`,
    ...ownerId === undefined ? [] : [sql`keys.owner_id = ${ownerId}`],
    ...scope === undefined ? [] : [sql`keys.scope = ${scope}`],
    ...unusedDays === undefined ? [] : [sql`keys.created_at <= ${daysAgo(unusedDays)}`],
    ...expiresWithinDays === undefined
      ? []
      : [sql`${expiresAt} > statement_timestamp() and ${expiresAt} <= statement_timestamp() + ${expiresWithinDays}::int * interval '1 day'`]
  ], sql` and `)
}

// The others, asked row by row: a join could be planned as a walk through the uses of all workspaces.
function checked ({ tables }: Database, { q, unusedDays, neverUsed }: KeyFilter): SQL {
  const lastUse = sql`(select key_usage.last_used_at from ${tables.keyUsage} where key_usage.key_id = keys.id)`
  return sql.join([
    sql`true`,
    ...q === undefined ? [] : [isIn(q)],
    ...unusedDays === undefined ? [] : [sql`coalesce(${lastUse}, '-infinity') <= ${daysAgo(unusedDays)}`],
    ...neverUsed === true ? [sql`${lastUse} is null`] : []
  ], sql` and `)
}

// The index knows a name by every three characters in a row, and one or two characters by how these begin.
function hasParts ({ tables }: Database, { workspaceId }: Query, q: string): SQL {
  const schema = sql.identifier(tables.schemaName)
  return sql`${schema}.name_parts(keys.workspace_id, keys.name) @@ ${schema}.name_query(${workspaceId}, ${q}) and ${isIn(q)}`
}

function isIn (q: string): SQL {
  return sql`strpos(lower(keys.name), lower(${q})) > 0`
}

function daysAgo (days: number): SQL {
  return sql`statement_timestamp() - ${days}::int * interval '1 day'`
}
