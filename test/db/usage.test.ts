import { randomUUID } from 'node:crypto'
import { sql } from 'drizzle-orm'
import t, { type Test } from 'tap'
import { v7 as uuidv7 } from 'uuid'
import type { KeyUse } from '../../src/core/usage.ts'
import { connect } from '../../src/db/connect.ts'
import { insertCalls, listCalls, listCallsStatement, pruneCalls } from '../../src/db/queries/calls.ts'
import { pruneUsage, readUsage, recordUsage } from '../../src/db/queries/usage.ts'
import { freshDatabase } from '../support/servers.ts'

const today = () => new Date().toISOString().slice(0, 10)
const days = { from: '2000-01-01', to: '2100-01-01' }

async function setup (t: Test) {
  const { db, close } = connect({ url: await freshDatabase(t), max: 4 })
  t.teardown(close)
  const keyIds = await Promise.all(Array.from({ length: 20 }, async () => {
    const id = uuidv7()
    await db.execute(sql`insert into ${db.tables.keys} (id, workspace_id, owner_id, name, scope, created_by) values (${id}, 'acme', 'ada', 'n', 'mcp:read', 'o')`)
    return id
  }))
  return { db, keyIds }
}

function use (keyId: string, fields: Partial<KeyUse> = {}): KeyUse {
  return { keyId, ageMs: 1000, accepted: 1, refused: {}, user: undefined, tools: [], ...fields }
}

t.test('batches of several replicas on the same keys at once add up exactly, also when each is sent twice', async (t) => {
  const { db, keyIds } = await setup(t)
  const batches = Array.from({ length: 12 }, (_, i) => ({
    id: randomUUID(),
    // Each in another order: nobody deadlocks.
    uses: [...keyIds.slice(i), ...keyIds.slice(0, i)].map((keyId) => use(keyId, { accepted: 3, refused: { expired: 1, rate_limited: 2 }, tools: [{ tool: 'search', calls: 2, denied: 1, failed: 0 }] }))
  }))
  await Promise.all([...batches, ...batches].map((batch) => recordUsage(db, batch)))
  for (const keyId of keyIds) {
    const found = await readUsage(db, { workspaceId: 'acme', keyId, ...days })
    t.same(found!.days, [{ day: today(), accepted: 36, refused: { expired: 12, rate_limited: 24 } }])
    t.same(found!.tools, [{ tool: 'search', calls: 24, denied: 12, failed: 0 }])
  }
})

t.test('the last use never moves back, and says from where and with what', async (t) => {
  const { db, keyIds: [keyId = ''] } = await setup(t)
  const last = async () => (await readUsage(db, { workspaceId: 'acme', keyId, ...days }))!.last
  t.equal(await last(), null)
  await recordUsage(db, { id: randomUUID(), uses: [use(keyId, { ageMs: 5000, user: { address: '203.0.113.9', client: 'curl/8' } })] })
  const first = await last()
  t.match(first, { address: '203.0.113.9', client: 'curl/8' })
  await recordUsage(db, { id: randomUUID(), uses: [use(keyId, { ageMs: 60_000, user: { address: '192.0.2.1', client: undefined } })] })
  t.same(await last(), first)
  await recordUsage(db, { id: randomUUID(), uses: [use(keyId, { ageMs: null, accepted: 0, refused: { revoked: 1 } })] })
  t.same(await last(), first, 'a refusal is no use')
  await recordUsage(db, { id: randomUUID(), uses: [use(keyId, { ageMs: 3000, user: { address: '192.0.2.1', client: undefined } })] })
  t.match(await last(), { address: '192.0.2.1', client: null }, 'a client belongs to its own use')
  await recordUsage(db, { id: randomUUID(), uses: [use(keyId, { ageMs: 0 })] })
  t.match(await last(), { address: null, client: null }, 'what is not known of the last use is not taken from an older one')
  t.equal(await readUsage(db, { workspaceId: 'other', keyId, ...days }), undefined, 'another workspace has no such key')
})

t.test('calls are there once, found by every filter on an index, and forgotten after their time', async (t) => {
  const { db, keyIds: [one = '', two = ''] } = await setup(t)
  const call = { workspaceId: 'acme', upstream: 'default', method: 'tools/call', decision: 'passed' as const, status: 200, ms: 3.4 }
  const calls = Array.from({ length: 50 }, (_, i) => ({
    ...call, id: uuidv7(), keyId: i % 2 === 0 ? one : two, tool: i % 5 === 0 ? 'write' : 'search', decision: i % 10 === 0 ? 'denied' as const : 'passed' as const, ageMs: i * 1000
  }))
  await insertCalls(db, calls)
  await insertCalls(db, calls.slice(0, 10))
  const page = { workspaceId: 'acme', rowsMax: 100, after: undefined }
  const all = await listCalls(db, page)
  t.same(all.map(({ id }) => id), calls.map(({ id }) => id), 'newest first')
  t.match(all[0], { keyId: one, upstream: 'default', method: 'tools/call', tool: 'write', decision: 'denied', status: 200, ms: 3 })
  t.equal((await listCalls(db, { ...page, keyId: two })).length, 25)
  t.equal((await listCalls(db, { ...page, tool: 'write' })).length, 10)
  t.equal((await listCalls(db, { ...page, decision: 'denied' })).length, 5)
  t.equal((await listCalls(db, { ...page, workspaceId: 'other' })).length, 0)
  const middle = all[24]!
  t.equal((await listCalls(db, { ...page, after: middle })).length, 25)
  t.equal((await listCalls(db, { ...page, from: middle.at })).length + (await listCalls(db, { ...page, to: middle.at })).length, 50)

  await db.execute(sql`insert into ${db.tables.calls} (id, at, workspace_id, key_id, upstream, method, tool, decision, status, ms)
    select gen_random_uuid(), now() - n * interval '1 minute', 'workspace ' || n % 20, ${two}::uuid, 'default', 'tools/call', 'search', 'passed', 200, 1 from generate_series(1, 40000) n`)
  await db.execute(sql`analyze ${db.tables.calls}`)
  for (const filter of [{}, { keyId: two }, { from: Date.now() - 86_400_000 }]) {
    const rows = await db.execute<{ 'QUERY PLAN': string }>(sql`explain (analyze) ${listCallsStatement(db, { ...page, ...filter, workspaceId: 'workspace 1', rowsMax: 51 })}`)
    t.match(rows.map((row) => row['QUERY PLAN']).join('\n'), /Index Scan using calls_/)
  }
  const before = 40_000 + 50
  const gone = await pruneCalls(db, { days: 7, rowsMax: 1000 })
  t.equal(gone, 1000, 'few at a time')
  while (await pruneCalls(db, { days: 7, rowsMax: 20_000 }) > 0);
  const [left] = await db.execute<{ rows: number }>(sql`select count(*)::int as rows from ${db.tables.calls}`)
  t.ok(left!.rows < before - 25_000 && left!.rows > 10_000, `${left!.rows} are left`)
})

t.test('usage is forgotten after its time', async (t) => {
  const { db, keyIds: [keyId = ''] } = await setup(t)
  await recordUsage(db, { id: randomUUID(), uses: [use(keyId, { user: { address: '203.0.113.9', client: 'curl/8' }, tools: [{ tool: 'search', calls: 1, denied: 0, failed: 0 }] })] })
  await db.execute(sql`insert into ${db.tables.usageDays} (key_id, day, accepted) values (${keyId}, current_date - 100, 5)`)
  t.equal(await pruneUsage(db, { days: 90, rowsMax: 100 }), 1)
  t.same((await readUsage(db, { workspaceId: 'acme', keyId, ...days }))!.days.map(({ day }) => day), [today()])
})
