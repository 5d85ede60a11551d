import { sql } from 'drizzle-orm'
import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { v7 as uuidv7 } from 'uuid'
import type { Delivery } from '../../src/core/webhooks.ts'
import { connect, type Database } from '../../src/db/connect.ts'
import { listEvents, placeEvents, pruneEvents } from '../../src/db/queries/events.ts'
import { editKey, revokeWorkspace } from '../../src/db/queries/keys.ts'
import { claimDeliveries, finishDelivery, forgetReceivers, nameReceivers, postponeDelivery, queueDeliveries } from '../../src/db/queries/webhooks.ts'
import { noPolicy } from '../../src/core/policy.ts'
import { systemClock } from '../../src/core/clock.ts'
import { borrowedPool } from '../../src/db/replaceable-pool.ts'
import { PostgresWebhookStore } from '../../src/db/webhook-store.ts'
import { freshDatabase } from '../support/servers.ts'
import { until } from '../support/until.ts'

const leaseMs = 30_000

async function setup (t: Test) {
  const url = await freshDatabase(t)
  const { db, sql: client, close } = connect({ url, max: 12 })
  t.teardown(close)
  const newKey = async () => {
    const id = uuidv7()
    await db.execute(sql`insert into ${db.tables.keys} (id, workspace_id, name, scope, created_by) values (${id}, 'acme', 'n', 'mcp:read', 'ops')`)
    return id
  }
  const emitFor = async (keyId: string, type = 'key.updated') => {
    const [row] = await db.execute<{ id: string, [column: string]: unknown }>(sql`
      insert into ${db.tables.events} (id, type, workspace_id, key_id, data) values (gen_random_uuid(), ${type}, 'acme', ${keyId}, '{"key":{}}') returning id`)
    return row!.id
  }
  const named = new Set<string>()
  const receiver = randomBytes(32).toString('hex')
  const queue = async (receivers = [receiver], rowsMax = 1000) => {
    await placeEvents(db, 1000)
    for (const one of receivers) if (!named.has(one)) await nameReceivers(db, [one])
    for (const one of receivers) named.add(one)
    return await queueDeliveries(db, { receivers, rowsMax })
  }
  const claim = async (rowsMax = 100, wanted = receiver) => await claimDeliveries(db, { receiver: wanted, rowsMax, leaseMs })
  // The clock of a machine may be set back by a moment between two statements; what was due by it is due again then.
  const claimDue = async () => {
    let taken: readonly Delivery[] = []
    await until(async () => (taken = await claim()).length > 0)
    return taken
  }
  return { url, db, client, newKey, emitFor, receiver, queue, claim, claimDue }
}

/** Confirms as a process does. */
async function finish (db: Database, delivery: Delivery): Promise<void> {
  while (!await finishDelivery(db, delivery));
}

const ids = (deliveries: readonly Delivery[]) => deliveries.map(({ event }) => event.id)

t.test('a receiver is not given what happened before a replica named it, also where nobody has asked for events yet', async (t) => {
  const { db, newKey, emitFor, receiver } = await setup(t)
  const ada = await newKey()
  await emitFor(ada)
  const store = new PostgresWebhookStore({ pool: borrowedPool(db, (one) => one), clock: systemClock })
  t.match(await store.queue([receiver]), { due: [] })
  const later = await emitFor(ada)
  t.match(await store.queue([receiver]), { due: [receiver] })
  t.strictSame(ids(await store.claim({ receiver, rowsMax: 10, leaseMs })), [later])
})

t.test('a receiver is given what happens from its beginning on, and of each key one event at a time, in order', async (t) => {
  const { db, newKey, emitFor, receiver, queue, claim, claimDue } = await setup(t)
  const [ada, ben] = [await newKey(), await newKey()]
  await emitFor(ada)
  t.strictSame(await queue(), { due: [], oldestMs: 0, hasMore: false }, 'it begins here')
  const events = [await emitFor(ada), await emitFor(ada), await emitFor(ben), await emitFor(ada)]
  t.match(await queue(), { due: [receiver], hasMore: false })
  const first = await claimDue()
  t.strictSame(ids(first), [events[0], events[2]])
  t.strictSame(await claim(), [], 'they are taken')
  await finish(db, first[0]!)
  const second = await claimDue()
  t.strictSame(ids(second), [events[1]])
  await finish(db, second[0]!)
  t.strictSame(ids(await claimDue()), [events[3]])
  await finish(db, first[1]!)
  t.match(await queue(), { due: [] })
})

t.test('a delivery that another process took meanwhile is neither confirmed nor postponed by the one before', async (t) => {
  const { db, newKey, emitFor, queue, claim, claimDue } = await setup(t)
  const key = await newKey()
  await queue()
  const [one, two] = [await emitFor(key), await emitFor(key)]
  await queue()
  const [frozen] = await claimDue()
  await db.execute(sql`update ${db.tables.deliveries} set next_at = clock_timestamp()`)
  const [other] = await claimDue()
  t.match([frozen, other], [{ attempts: 1, event: { id: one } }, { attempts: 2, event: { id: one } }])
  await finish(db, frozen!)
  await postponeDelivery(db, frozen!, 0)
  t.strictSame(await claim(), [], 'the other one still has it')
  await finish(db, other!)
  await finish(db, other!)
  t.strictSame(ids(await claimDue()), [two])
})

t.test('what is postponed is due again then, with its count', async (t) => {
  const { db, newKey, emitFor, queue, claim, claimDue } = await setup(t)
  await queue()
  const event = await emitFor(await newKey())
  await queue()
  const [delivery] = await claimDue()
  await postponeDelivery(db, delivery!, 60_000)
  t.strictSame(await claim(), [])
  await postponeDelivery(db, delivery!, 0)
  t.match(await claimDue(), [{ attempts: 2, isOld: false, event: { id: event } }])
  await db.execute(sql`update ${db.tables.events} set at = clock_timestamp() - interval '4 days'`)
  await db.execute(sql`update ${db.tables.deliveries} set next_at = clock_timestamp()`)
  t.match(await claimDue(), [{ attempts: 3, isOld: true }])
  t.ok((await queue()).oldestMs > 3.9 * 86_400_000)
})

t.test('four processes that queue, take and confirm at once deliver every event once, each key in order', async (t) => {
  const { db, newKey, emitFor, queue, claim } = await setup(t)
  await queue()
  const keys = await Promise.all(Array.from({ length: 12 }, newKey))
  const made = new Map<string, string[]>(keys.map((key) => [key, []]))
  const delivered = new Map<string, string[]>(keys.map((key) => [key, []]))
  const state = { isMaking: true }
  const making = Promise.all(keys.map(async (key) => { for (let i = 0; i < 25; i++) made.get(key)!.push(await emitFor(key)) })).then(() => { state.isMaking = false })
  const process = async () => {
    for (let idle = 0; state.isMaking || idle < 3;) {
      await queue(undefined, 7)
      const taken = await claim(5)
      idle = taken.length === 0 ? idle + 1 : 0
      for (const delivery of taken) {
        delivered.get(delivery.event.keyId)!.push(delivery.event.id)
        await finish(db, delivery)
      }
    }
  }
  await Promise.all([making, process(), process(), process(), process()])
  await until(async () => {
    await process()
    return [...delivered.values()].flat().length === 300
  })
  for (const key of keys) t.strictSame(delivered.get(key), made.get(key))
})

t.test('an event that a confirmation cannot see yet is not lost with the row that it deletes', async (t) => {
  const { db, client, newKey, emitFor, receiver, queue, claimDue } = await setup(t)
  const key = await newKey()
  await queue()
  await emitFor(key)
  await queue()
  const [delivery] = await claimDue()
  // Another process has the receiver's row, and is about to queue a later event; the confirmation waits for it.
  const other = await client.reserve()
  await other`begin`
  await other.unsafe(`select 1 from navis_keys.receivers where receiver = decode('${receiver}', 'hex') for update`)
  const finishing = finishDelivery(db, delivery!)
  await until(async () => (await client`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%is_newest%'`).length > 0)
  const later = await emitFor(key)
  await placeEvents(db, 100)
  await other.unsafe(`update navis_keys.receivers set place = (select place from navis_keys.event_clock) where receiver = decode('${receiver}', 'hex')`)
  await other`commit`
  other.release()
  t.equal(await finishing, false, 'it is to be repeated')
  t.equal(await finishDelivery(db, delivery!), true)
  t.strictSame(ids(await claimDue()), [later])
})

t.test('events of one key get their places in the order in which they happened, although a transaction that began earlier made the later one', async (t) => {
  const { db, client, newKey } = await setup(t)
  const [first, second] = [await newKey(), await newKey()].sort()
  const holder = await client.reserve()
  await holder`begin`
  await holder.unsafe(`select 1 from navis_keys.keys where id = '${second}' for update`)
  // It holds the first key, has its transaction's number, and waits for the second.
  const revoking = revokeWorkspace(db, { workspaceId: 'acme', actor: 'ops', reason: undefined })
  await until(async () => (await client`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%ended < 2%'`).length > 0)
  await holder.unsafe(`insert into navis_keys.events (id, type, workspace_id, key_id, data) values (gen_random_uuid(), 'key.updated', 'acme', '${second}', '{"key":{}}')`)
  await holder`commit`
  holder.release()
  await revoking
  while (await placeEvents(db, 1) > 0);
  const told = await listEvents(db, { rowsMax: 10 })
  t.strictSame(told?.filter(({ keyId }) => keyId === second).map(({ type }) => type), ['key.updated', 'key.revoked'])
  t.equal(told?.filter(({ keyId }) => keyId === first).length, 1)
})

t.test('a transaction that runs for long delays no event of others, and its own are told when it has ended', async (t) => {
  const { db, client, newKey, emitFor } = await setup(t)
  const [slowKey, key] = [await newKey(), await newKey()]
  const slow = await client.reserve()
  await slow`begin`
  await slow.unsafe(`insert into navis_keys.events (id, type, workspace_id, key_id, data) values (gen_random_uuid(), 'key.updated', 'acme', '${slowKey}', '{"key":{}}')`)
  const quick = await emitFor(key)
  await placeEvents(db, 100)
  t.match(await listEvents(db, { rowsMax: 10 }), [{ id: quick }])
  await slow`commit`
  slow.release()
  await placeEvents(db, 100)
  t.match(await listEvents(db, { after: quick, rowsMax: 10 }), [{ keyId: slowKey }])
})

t.test('two that give places at once give each place once, and a reader sees them in order', async (t) => {
  const { db, newKey, emitFor } = await setup(t)
  const keys = await Promise.all(Array.from({ length: 6 }, newKey))
  const state = { isMaking: true }
  const making = Promise.all(keys.map(async (key) => { for (let i = 0; i < 40; i++) await emitFor(key) })).then(() => { state.isMaking = false })
  const placing = async () => { while (state.isMaking) await placeEvents(db, 5) }
  const seen: string[] = []
  const reading = async () => {
    while (seen.length < 240) {
      if (!state.isMaking) await placeEvents(db, 1000)
      seen.push(...(await listEvents(db, { after: seen.at(-1), rowsMax: 50 }))!.map(({ id }) => id))
    }
  }
  await Promise.all([making, placing(), placing(), reading()])
  t.equal(new Set(seen).size, 240)
  const [row] = await db.execute<{ first: string, last: string, places: string, [column: string]: unknown }>(sql`select min(place) as first, max(place) as last, count(distinct place) as places from ${db.tables.events}`)
  t.strictSame({ ...row }, { first: '1', last: '240', places: '240' })
})

t.test('a receiver that nobody names any more is forgotten with what waits for it, in steps; the others keep what they wait for', async (t) => {
  const { db, newKey, emitFor, receiver, queue, claimDue } = await setup(t)
  const gone = randomBytes(32).toString('hex')
  await queue([receiver, gone])
  for (let i = 0; i < 5; i++) await emitFor(await newKey())
  await queue([receiver, gone])
  await db.execute(sql`update ${db.tables.receivers} set seen_at = clock_timestamp() - interval '8 days'`)
  await nameReceivers(db, [receiver])
  t.strictSame([await forgetReceivers(db, 3), await forgetReceivers(db, 3), await forgetReceivers(db, 3), await forgetReceivers(db, 3)], [3, 2, 0, 0])
  t.strictSame([...await db.execute(sql`select encode(receiver, 'hex') as receiver from ${db.tables.receivers}`)], [{ receiver }])
  t.equal((await claimDue()).length, 5)
})

t.test('an event is kept while a receiver has not been given it or has not confirmed it', async (t) => {
  const { db, newKey, emitFor, queue, claimDue } = await setup(t)
  const key = await newKey()
  await queue()
  const ours = [await emitFor(key), await emitFor(key)]
  await placeEvents(db, 100)
  await db.execute(sql`update ${db.tables.events} set at = clock_timestamp() - interval '40 days'`)
  const prune = async () => await pruneEvents(db, { days: 30, rowsMax: 10 })
  t.equal(await prune(), 0, 'it has not been given them')
  await queue()
  t.equal(await prune(), 0)
  const [first] = await claimDue()
  await finish(db, first!)
  t.equal(await prune(), 1)
  t.strictSame(ids(await claimDue()), [ours[1]])
})

t.test('an edit of a key tells of itself in its own transaction', async (t) => {
  const { db, newKey } = await setup(t)
  const keyId = await newKey()
  await editKey(db, { workspaceId: 'acme', keyId, actor: 'ops', name: 'another', expiresAt: undefined }, noPolicy)
  await placeEvents(db, 100)
  t.match(await listEvents(db, { rowsMax: 10 }), [{ type: 'key.updated', keyId, key: { name: 'another' } }])
})
