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
// The most keys that are sorted for one page: a list by its last uses, or the hits of the index of names or of last uses. More keys are read along the list, or along the index of last uses.
const sortedMax = 5000

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
  const along = orderText(query)
  const shown = orderText({ ...query, before: undefined })
  if (isNameSearch(query)) {
    // If the first names of the list have enough hits, these are the page. Otherwise the index of names finds up to `sortedMax` hits, which are sorted. If there are more,
    // the page is searched along the list, in `lookedAtMax` keys.
    const isEnough = sql`(select count(*) from tried) >= ${query.rowsMax}`
    return sql`
      with tried as materialized (${metAlong(db, query, triedMax)}), named as materialized (${namedCount(db, query)})
      select ${managedKeyColumns(db)} from (
        select * from tried where ${isEnough}
        union all select * from (${candidates(db, query, query.rowsMax)}) as keys where not ${isEnough} and (select hits from named) <= ${sortedMax}
        union all select * from (${metAlong(db, query, lookedAtMax)}) as keys where not ${isEnough} and (select hits from named) > ${sortedMax}
      ) as keys order by ${shown}`
  }
  if (isUnusedSearch(query)) {
    // If few keys match, the index of last uses finds them. If many match, the first ones along the list fill a page.
    const page = (rows: SQL, when: SQL) => sql`(select * from (${rows}) as keys where ${when} and ${lookedFor(db, query)} order by ${along} limit ${query.rowsMax})`
    return sql`
      with idle as materialized (${idle(db, query)})
      select ${managedKeyColumns(db)} from (
        ${page(candidates(db, query, sortedMax, isIdle), areFew)} union all ${page(candidates(db, query, lookedAtMax), sql`not ${areFew}`)}
      ) as keys order by ${shown}`
  }
  const found = needsLooking(query)
    ? sql`select * from (${candidates(db, query, lookedAtMax)}) as keys where ${lookedFor(db, query)} order by ${along} limit ${query.rowsMax}`
    : candidates(db, query, query.rowsMax)
  return sql`select ${managedKeyColumns(db)} from (${found}) as keys order by ${shown}`
}

/** Whether a page of this query can be short although the list goes on. */
export function mayBeShort (query: KeyQuery): boolean {
  return isByUse(query) || needsLooking(query) || isNameSearch(query)
}

/** The last of the keys that a short page of such a query was looked for in; `undefined`: all keys of the list were looked at. */
export async function lookedTo (db: Database, query: KeyQuery): Promise<Place | undefined> {
  const isSearch = isNameSearch(query)
  // Where an index has led to all that there are, nothing is left.
  const isLooked = isSearch ? sql`(${namedCount(db, query)}) > ${sortedMax}` : isUnusedSearch(query) ? sql`(select count(*) from (${idle(db, query)}) as idle) > ${sortedMax}` : sql`true`
  const [row] = await db.execute<{ at: number, id: string, [column: string]: unknown }>(isByUse(query)
    ? sql`with ${sizeParts(db, query)} select ${milliseconds(sql`keys.used`)} as at, keys.id from (${walk(db, query)}) as keys order by ${orderText(query)} offset ${lookedAtMax - 1} limit 1`
    : sql`select ${milliseconds(sql`keys.created_at`)} as at, keys.id from (${candidates(db, isSearch ? { ...query, q: undefined } : query, lookedAtMax)}) as keys
        where ${isLooked} order by ${orderText(query)} offset ${lookedAtMax - 1} limit 1`)
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
    select keys.* from ${keys} where keys.id = key_id and (${sql.join(partsOf[query.status].map(({ condition }) => condition), sql` or `)})
      and ${isAmong(db, { ...query, q: undefined })} and ${checked(db, query)} offset 0`
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
  const byName = q !== undefined && hasParts(q)
  return sql`few as materialized (${candidates(db, list, sortedMax + 1)}), length as materialized (
      select count(*) > ${sortedMax} as is_long, ${byName ? sql`count(*) filter (where ${isIn(q)}) < ${sortedMax / 100}` : sql`false`} as is_rare from few as keys
    ), named as materialized (
      ${byName ? sql`select * from (${candidates(db, { ...list, q }, sortedMax + 1)}) as keys where (select is_long and is_rare from length)` : sql`select * from few where false`}
    ), size as materialized (
      select is_long and (not is_rare or (select count(*) from named) > ${sortedMax}) as is_walked from length
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
  if (isUnusedSearch(query)) {
    const counts = (rows: SQL, when: SQL, looked: SQL) => sql`select ${looked} as looked, (count(*) filter (where ${lookedFor(db, query)}))::int as found from (${rows}) as keys having ${when}`
    return sql`
      with idle as materialized (${idle(db, query)})
      ${counts(candidates(db, query, sortedMax, isIdle), areFew, sql`0`)} union all ${counts(candidates(db, query, lookedAtMax), sql`not ${areFew}`, sql`count(*)::int`)}`
  }
  if (needsLooking(query)) {
    return sql`select count(*)::int as looked, (count(*) filter (where ${lookedFor(db, query)}))::int as found from (${candidates(db, query, lookedAtMax)}) as keys`
  }
  const { q } = query
  const parts = partsOf[query.status].map(({ condition }) => sql`(select 1 from ${db.tables.keys} where ${condition} and ${isAmong(db, query)} limit ${countedMax + 1})`)
  const counted = sql`select 0 as looked, count(*)::int as found from (select 1 from (${sql.join(parts, sql` union all `)}) as parts limit ${countedMax + 1}) as keys`
  if (q === undefined) return counted
  return sql`
    with tried as materialized (
      select count(*)::int as looked, (count(*) filter (where ${isIn(q)}))::int as found from (${candidates(db, { ...query, q: undefined }, countTriedMax)}) as keys
    )
    select looked, found from tried where ${isCommon}
    union all select * from (${counted}) as counted where not (select ${isCommon} from tried)`
}

const isCommon = sql`(looked < ${countTriedMax} or found >= ${countTriedMax / 100})`

/** Whether a filter is asked for that no index serves. */
function needsLooking ({ q, unusedDays, neverUsed }: KeyFilter): boolean {
  return unusedDays !== undefined || neverUsed === true || (q !== undefined && !hasParts(q))
}

/** Whether a part of the name is asked for that the index of names knows, and nothing that no index serves. */
function isNameSearch (query: KeyFilter): query is KeyFilter & { readonly q: string } {
  return query.q !== undefined && hasParts(query.q) && !needsLooking(query)
}

// The keys whose names have the part, among the first `lookedAtMax` keys of the list.
function metAlong (db: Database, query: KeyQuery & { readonly q: string }, lookedAtMax: number): SQL {
  return sql`select * from (${candidates(db, { ...query, q: undefined }, lookedAtMax)}) as keys where ${isIn(query.q)} order by ${orderText(query)} limit ${query.rowsMax}`
}

// The number of hits of the index of names, counted up to one more than are sorted.
function namedCount (db: Database, query: KeyQuery): SQL {
  const where = sql.join([isAmong(db, query), ...placed(db, query)], sql` and `)
  const parts = partsOf[query.status].map(({ condition }) => sql`(select 1 from ${db.tables.keys} where ${condition} and ${where} limit ${sortedMax + 1})`)
  return sql`select count(*)::int as hits from (${sql.join(parts, sql` union all `)}) as hits`
}

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

// The rows of the list in its order, by the indexes; `among`: a further condition, which another index serves.
function candidates (db: Database, query: Query, rowsMax: number, among?: SQL): SQL {
  const along = orderText(query)
  const where = sql.join([isAmong(db, query), ...placed(db, query), ...among === undefined ? [] : [among]], sql` and `)
  const parts = partsOf[query.status].map(({ condition, isUnordered }) => {
    const rows = sql`select keys.* from ${db.tables.keys} where ${condition} and ${where}`
    return isUnordered || among !== undefined || (query.q !== undefined && hasParts(query.q))
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

// The filters that indexes serve.
function isAmong (db: Database, { workspaceId, ownerId, scope, q, unusedDays, expiresWithinDays, order }: Query): SQL {
  // In the order of the expiry its index has it in this form.
  const expiresAt = order === 'expiry' ? orders.expiry.value : sql`keys.expires_at`
  return sql.join([
    sql`keys.workspace_id = ${workspaceId}`,
    ...ownerId === undefined ? [] : [sql`keys.owner_id = ${ownerId}`],
    ...scope === undefined ? [] : [sql`keys.scope = ${scope}`],
    ...q === undefined || !hasParts(q) ? [] : [named(db, workspaceId, q)],
    ...unusedDays === undefined ? [] : [sql`keys.created_at <= ${daysAgo(unusedDays)}`],
    ...expiresWithinDays === undefined
      ? []
      : [sql`${expiresAt} > statement_timestamp() and ${expiresAt} <= statement_timestamp() + ${expiresWithinDays}::int * interval '1 day'`]
  ], sql` and `)
}

// The conditions that `isAmong` without a name leaves out.
function checked (db: Database, query: Query): SQL {
  const { q } = query
  const named = q === undefined ? sql`true` : isIn(q)
  return needsLooking({ ...query, q: undefined }) ? sql`${named} and ${lookedFor(db, { ...query, q: undefined })}` : named
}

// The others, asked row by row: a join could be planned as a walk through the uses of all workspaces.
function lookedFor ({ tables }: Database, { q, unusedDays, neverUsed }: KeyFilter): SQL {
  const lastUse = sql`(select key_usage.last_used_at from ${tables.keyUsage} where key_usage.key_id = keys.id)`
  return sql.join([
    ...q === undefined || hasParts(q) ? [] : [isIn(q)],
    ...unusedDays === undefined ? [] : [sql`coalesce(${lastUse}, '-infinity') <= ${daysAgo(unusedDays)}`],
    ...neverUsed === true ? [sql`${lastUse} is null`] : []
  ], sql` and `)
}

// The index knows a name by every three characters in a row. Fewer than three it does not know.
function named ({ tables }: Database, workspaceId: string, q: string): SQL {
  const parts = sql`${sql.identifier(tables.schemaName)}.name_parts`
  return sql`${parts}(keys.workspace_id, keys.name) @> ${parts}(${workspaceId}, ${q}) and ${isIn(q)}`
}

function hasParts (q: string): boolean {
  return [...q].length >= 3
}

function isIn (q: string): SQL {
  return sql`strpos(lower(keys.name), lower(${q})) > 0`
}

function daysAgo (days: number): SQL {
  return sql`statement_timestamp() - ${days}::int * interval '1 day'`
}
