import { sql } from 'drizzle-orm'
import t, { type Test } from 'tap'
import { v7 as uuidv7 } from 'uuid'
import type { EventQuery } from '../../src/core/events.ts'
import { connect, type Database } from '../../src/db/connect.ts'
import { pruneAudit } from '../../src/db/queries/audit.ts'
import { listEvents as listPlaced, listEventsStatement, placeEvents, pruneEvents } from '../../src/db/queries/events.ts'
import { dueStatement, markExpired, noticeExpiring } from '../../src/db/queries/expiry.ts'
import { pruneKeys } from '../../src/db/queries/prune-keys.ts'
import { freshDatabase } from '../support/servers.ts'

async function setup (t: Test) {
  const { db, sql: client, close } = connect({ url: await freshDatabase(t), max: 6 })
  t.teardown(close)
  const { keys } = db.tables
  /** A key that expires in so many hours. */
  const expiring = async (hours: number | null) => {
    const id = uuidv7()
    await db.execute(sql`insert into ${keys} (id, workspace_id, name, scope, created_by, created_at, expires_at)
      values (${id}, 'acme', 'n', 'mcp:read', 'ops', clock_timestamp() - interval '400 days', clock_timestamp() + ${hours}::float8 * interval '1 hour')`)
    return id
  }
  const told = async () => (await db.execute<{ type: string, key_id: string, days: number | null, [column: string]: unknown }>(
    sql`select type, key_id, (data->>'days')::int as days from ${db.tables.events} order by seq`)).map(({ type, key_id: keyId, days }) => days === null ? [type, keyId] : [type, keyId, days])
  return { db, client, expiring, told }
}

async function listEvents (db: Database, query: EventQuery) {
  await placeEvents(db, 1000)
  return await listPlaced(db, query)
}

t.test('an expired key is written down once, with its event, and a key that goes on is left alone', async (t) => {
  const { db, expiring, told } = await setup(t)
  const expired = await expiring(-1)
  await expiring(1)
  await expiring(null)
  const revoked = await expiring(-2)
  await db.execute(sql`update ${db.tables.keys} set revoked_at = clock_timestamp(), revoked_by = 'ops' where id = ${revoked}`)
  t.equal(await markExpired(db, 100), 1)
  t.equal(await markExpired(db, 100), 0)
  t.strictSame(await told(), [['key.expired', expired]])
  t.match(await listEvents(db, { rowsMax: 10 }), [{ type: 'key.expired', keyId: expired, key: { id: expired, status: 'expired', name: 'n' } }])
  t.strictSame([...await db.execute(sql`select id from ${db.tables.keys} where ended = 1`)], [{ id: expired }])
})

t.test('notices come 7 days and 1 day before, each once, and again where the expiry moves', async (t) => {
  const { db, expiring, told } = await setup(t)
  const round = async () => [await noticeExpiring(db, { days: 1, rowsMax: 100 }), await noticeExpiring(db, { days: 7, rowsMax: 100 })]
  const near = await expiring(23)
  const week = await expiring(6 * 24)
  await expiring(8 * 24)
  await expiring(-1)
  t.strictSame(await round(), [1, 1])
  t.strictSame(await round(), [0, 0])
  t.strictSame(await told(), [['key.expiring', near, 1], ['key.expiring', week, 7]])
  await db.execute(sql`update ${db.tables.keys} set expires_at = clock_timestamp() + interval '20 hours' where id = ${week}`)
  t.strictSame(await round(), [1, 0], 'a day before comes after a week before')
  await db.execute(sql`update ${db.tables.keys} set expires_at = clock_timestamp() + interval '3 days', expiry_notice = null where id = ${near}`)
  t.strictSame(await round(), [0, 1])
  await db.execute(sql`update ${db.tables.keys} set expires_at = clock_timestamp() - interval '1 second' where id = ${week}`)
  t.equal(await markExpired(db, 100), 2)
  t.equal((await told()).filter(([type, id]) => type === 'key.expired' && id === week).length, 1)
})

t.test('replicas that take the same step at once tell of every key exactly once', async (t) => {
  const { db, told } = await setup(t)
  const { keys } = db.tables
  await db.execute(sql`insert into ${keys} (id, workspace_id, name, scope, created_by, expires_at)
    select gen_random_uuid(), 'acme', 'n', 'mcp:read', 'ops', clock_timestamp() - i * interval '1 second' from generate_series(1, 1000) as i`)
  const drain = async () => { for (let none = 0; none < 3;) none = await markExpired(db, 40) === 0 ? none + 1 : 0 }
  await Promise.all([drain(), drain(), drain(), drain()])
  await drain()
  const ids = (await told()).map(([, id]) => id)
  t.equal(ids.length, 1000)
  t.equal(new Set(ids).size, 1000)
})

t.test('a key that another transaction holds is passed over, and a key that it prolonged is not told of', async (t) => {
  const { db, client, expiring, told } = await setup(t)
  const held = await expiring(-1)
  const other = await expiring(-1)
  const holder = await client.reserve()
  await holder`begin`
  await holder.unsafe(`update navis_keys.keys set expires_at = clock_timestamp() + interval '90 days' where id = '${held}'`)
  t.equal(await markExpired(db, 100), 1, 'it waits for nobody')
  await holder`commit`
  holder.release()
  t.equal(await markExpired(db, 100), 0)
  t.strictSame(await told(), [['key.expired', other]])
})

t.test('pages of events leave none out and tell none twice', async (t) => {
  const { db } = await setup(t)
  const { keys } = db.tables
  await db.execute(sql`insert into ${keys} (id, workspace_id, name, scope, created_by, expires_at)
    select gen_random_uuid(), 'acme', 'n', 'mcp:read', 'ops', clock_timestamp() - interval '1 second' from generate_series(1, 95)`)
  while (await markExpired(db, 30) > 0);
  const seen: string[] = []
  for (let after: string | undefined; ;) {
    const page: readonly { id: string }[] = (await listEvents(db, { after, rowsMax: 10 }))!
    if (page.length === 0) break
    seen.push(...page.map(({ id }) => id))
    after = seen.at(-1)
  }
  t.equal(seen.length, 95)
  t.equal(new Set(seen).size, 95)
  t.equal(await listEvents(db, { after: uuidv7(), rowsMax: 10 }), undefined, 'an event that is not known')
})

t.test('old entries go in small steps; an event goes when no receiver waits for it', async (t) => {
  const { db, expiring } = await setup(t)
  const { audit, events, deliveries } = db.tables
  await db.execute(sql`insert into ${audit} (id, workspace_id, action, actor, at) select gen_random_uuid(), 'acme', 'key.created', 'ops', clock_timestamp() - i * interval '1 day' from generate_series(0, 19) as i`)
  t.equal(await pruneAudit(db, { days: 10, rowsMax: 6 }), 6)
  t.equal(await pruneAudit(db, { days: 10, rowsMax: 6 }), 4)
  t.equal(await pruneAudit(db, { days: 10, rowsMax: 6 }), 0)
  t.strictSame([...await db.execute(sql`select count(*)::int as left from ${audit}`)], [{ left: 10 }])

  await expiring(-1)
  await expiring(-1)
  await markExpired(db, 10)
  const [waited, other] = (await listEvents(db, { rowsMax: 10 }))!
  await db.execute(sql`insert into ${deliveries} (receiver, key_id, place) select decode('00', 'hex'), key_id, place from ${events} where id = ${waited!.id}`)
  t.equal(await pruneEvents(db, { days: 30, rowsMax: 10 }), 0)
  await db.execute(sql`update ${events} set at = clock_timestamp() - interval '31 days'`)
  t.equal(await pruneEvents(db, { days: 30, rowsMax: 10 }), 1)
  t.equal(await listEvents(db, { after: other!.id, rowsMax: 10 }), undefined)
  await db.execute(sql`delete from ${deliveries}`)
  t.equal(await pruneEvents(db, { days: 30, rowsMax: 10 }), 1)
})

t.test('what is due and what comes after an event is found along an index, however many keys there are', async (t) => {
  const { db } = await setup(t)
  const { keys, events } = db.tables
  await db.execute(sql`insert into ${keys} (id, workspace_id, name, scope, created_by, expires_at, expiry_notice)
    select gen_random_uuid(), 'acme', 'n', 'mcp:read', 'ops', clock_timestamp() + i * interval '10 seconds', case when i < 40000 then 7 end from generate_series(1, 40000) as i`)
  await db.execute(sql`insert into ${events} (id, type, workspace_id, key_id, data) select id, 'key.created', workspace_id, id, '{}' from ${keys} limit 20000`)
  while (await placeEvents(db, 10_000) > 0);
  await db.execute(sql`analyze ${keys}`)
  await db.execute(sql`analyze ${events}`)
  const [some] = await db.execute<{ id: string, [column: string]: unknown }>(sql`select id from ${events} limit 1`)
  const rows = [
    { when: 'expired', statement: dueStatement(db, { days: 0, rowsMax: 500 }), index: 'keys_due' },
    { when: 'a week before, where all but one were told of', statement: dueStatement(db, { days: 7, rowsMax: 500 }), index: 'keys_due' },
    { when: 'events after one', statement: listEventsStatement(db, { after: some!.id, rowsMax: 100 }), index: 'events_place' }
  ]
  for (const { when, statement, index } of rows) {
    const plan = (await db.execute<{ 'QUERY PLAN': string, [column: string]: unknown }>(sql`explain (analyze, costs off, timing off, summary off) ${statement}`)).map((row) => row['QUERY PLAN']).join('\n')
    t.match(plan, index, when)
    t.notMatch(plan, /Seq Scan/, when)
    t.notMatch(plan, /Rows Removed by Filter: \d{3,}/, when)
  }
})

t.test('keys that ended long ago are deleted in steps, with their tokens; living ones and what is still to be told stay', async (t) => {
  const { db, expiring } = await setup(t)
  const { keys, tokens, events, keyUsage, walks } = db.tables
  const day = 24
  const [old, late, living, endless, revoked] = [await expiring(-40 * day), await expiring(-20 * day), await expiring(day), await expiring(null), await expiring(null)]
  await db.execute(sql`update ${keys} set revoked_at = clock_timestamp() - interval '31 days', revoked_by = 'ops' where id = ${revoked}`)
  await db.execute(sql`insert into ${tokens} (digest, key_id, hint) select sha256(id::text::bytea), id, 'h' from ${keys}`)
  await db.execute(sql`insert into ${keyUsage} (key_id, workspace_id, last_used_at) select id, workspace_id, clock_timestamp() from ${keys}`)
  const walk = async (rowsMax: number) => {
    let looked = 0
    for (let seen; (seen = await pruneKeys(db, { days: 30, rowsMax })) > 0;) looked += seen
    await db.execute(sql`update ${walks} set next_at = clock_timestamp() - interval '1 minute'`)
    return looked
  }
  const left = async () => (await db.execute<{ id: string, [column: string]: unknown }>(sql`select id from ${keys}`)).map(({ id }) => id).sort()
  await pruneKeys(db, { days: 30, rowsMax: 1 })
  await markExpired(db, 100)
  await walk(2)
  t.ok((await left()).includes(old), 'its expiry is not told yet')
  await placeEvents(db, 100)
  t.equal(await walk(2), 4)
  t.strictSame(await left(), [late, living, endless].sort())
  t.equal((await db.execute(sql`select 1 from ${tokens}`)).length, 3)
  t.equal((await db.execute(sql`select 1 from ${keyUsage}`)).length, 3)
  t.equal((await db.execute(sql`select 1 from ${events} where key_id = ${old}`)).length, 1, 'what happened to it is still told')
})
