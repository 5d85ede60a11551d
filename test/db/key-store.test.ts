import t, { type Test } from 'tap'
import { sql } from 'drizzle-orm'
import { v7 as uuidv7 } from 'uuid'
import { digestToBytes } from '../../src/core/key-record.ts'
import type { NewKey } from '../../src/core/key-store.ts'
import { TokenFormat } from '../../src/core/token.ts'
import { connect } from '../../src/db/connect.ts'
import { PostgresKeyStore } from '../../src/db/key-store.ts'
import { borrowedPool, ReplaceablePool } from '../../src/db/replaceable-pool.ts'
import { migrate } from '../../src/db/migrate.ts'
import { freshDatabase, startPostgres, startProxy, until } from '../support/servers.ts'

// A second is meant. What hangs would hang for good: a busy machine gets more.
const deadlineMs = 60_000

const tokens = new TokenFormat()

async function setup (t: Test) {
  const url = await freshDatabase(t)
  const connection = connect({ url, max: 12 })
  t.teardown(() => connection.close())
  return { url, db: connection.db, store: new PostgresKeyStore({ pool: borrowedPool(connection.db, (db) => db) }) }
}

function newKey (values: Partial<NewKey> = {}): NewKey {
  const { digest, hint } = tokens.mint()
  return { id: uuidv7(), digest, hint, workspaceId: 'acme', ownerId: null, name: 'a key', scope: 'mcp:read', metadata: {}, expiresAt: null, createdBy: 'ops', ...values }
}

function request (key: string, body = 'body') {
  return { requestDigest: Buffer.from(key.padEnd(32)), bodyDigest: Buffer.from(body.padEnd(32)) }
}

const ops = { workspaceId: 'acme', actor: 'ops' }

t.test('twenty revocations of one key at once: each has a place in the log, the first one is kept', async (t) => {
  const { db, store } = await setup(t)
  const key = newKey()
  await store.create(key)
  const all = await Promise.all(Array.from({ length: 20 }, (_, i) =>
    store.revoke({ workspaceId: 'acme', keyId: key.id, actor: `actor ${i}`, reason: `reason ${i}` })))
  t.strictSame(all.map((done) => done!.logged.seq).sort((a, b) => a - b), Array.from({ length: 20 }, (_, i) => i + 1))
  const first = all.findIndex((done) => done!.logged.seq === 1)
  t.match(await store.find('acme', key.id), { status: 'revoked', revokedBy: `actor ${first}`, revokeReason: `reason ${first}` })
  const [log] = await db.execute(sql`select count(*)::int as rows, count(distinct digests)::int as digests from navis_keys.revocation_log where action = 'revoke'`)
  t.strictSame({ ...log }, { rows: 20, digests: 1 })
})

t.test('a change of a key names the tokens that have ended so recently that a cache may still accept them', async (t) => {
  const { db, store } = await setup(t)
  const key = newKey()
  await store.create(key)
  const rotate = async (graceSeconds: number, graceStarts: 'now' | 'first_use' = 'now') => {
    const { digest, hint } = tokens.mint()
    const rotated = await store.rotate({ ...ops, keyId: key.id, digest, hint, graceSeconds, graceStarts })
    return { digest, names: rotated.outcome === 'rotated' ? rotated.digests : [] }
  }
  // The answer to each of these may have been lost, and the rotation made again: nobody has waited for what the first one ended.
  const second = await rotate(0)
  const third = await rotate(0)
  t.strictSame([...third.names].sort(), [key.digest, second.digest].sort())
  const fourth = await rotate(600, 'first_use')
  const all = [key.digest, second.digest, third.digest, fourth.digest].sort()
  t.strictSame([...(await store.recordFirstUse({ keyId: key.id, ageMs: 0 }))!.digests].sort(), all, 'a first use')
  const edited = await store.edit({ ...ops, keyId: key.id, name: 'another name', expiresAt: undefined })
  t.strictSame('digests' in edited ? [...edited.digests].sort() : edited, all, 'an edit')
  t.strictSame([...(await store.revoke({ ...ops, keyId: key.id, reason: undefined }))!.digests].sort(), all, 'a revocation')
  const ended = (await store.endToken(fourth.digest)).change!.target
  t.strictSame('digests' in ended ? [...ended.digests].sort() : ended, all, 'and its holder')
  // Longer ago than any window that may have been open then.
  await db.execute(sql`update navis_keys.revocation_clock set window_ms = 1000`)
  await db.execute(sql`update navis_keys.tokens set ends_at = clock_timestamp() - interval '4 s' where not is_current and digest <> ${digestToBytes(third.digest)}`)
  t.strictSame([...(await store.revoke({ ...ops, keyId: key.id, reason: undefined }))!.digests].sort(), [third.digest, fourth.digest].sort())
})

t.test('an edit that is refused leaves no trace', async (t) => {
  const { db, store } = await setup(t)
  const revoked = newKey()
  const live = newKey()
  await store.create(revoked)
  await store.create(live)
  await store.revoke({ ...ops, keyId: revoked.id, reason: undefined })
  const traces = async () => (await db.execute(sql`select (select seq from navis_keys.revocation_clock) as seq, (select count(*) from navis_keys.audit) as audits`))[0]
  const before = await traces()
  t.strictSame(await store.edit({ ...ops, keyId: revoked.id, name: 'x', expiresAt: undefined }), { outcome: 'revoked' })
  t.strictSame(await store.edit({ ...ops, keyId: live.id, name: 'x', expiresAt: Date.now() - 1 }), { outcome: 'expiry_past' })
  t.strictSame(await store.edit({ ...ops, keyId: uuidv7(), name: 'x', expiresAt: undefined }), { outcome: 'missing' })
  t.strictSame(await store.edit({ workspaceId: 'other', actor: 'ops', keyId: live.id, name: 'x', expiresAt: undefined }), { outcome: 'missing' })
  t.equal(await store.revoke({ workspaceId: 'other', actor: 'ops', keyId: live.id, reason: undefined }), undefined)
  t.strictSame(await traces(), before)
})

t.test('a whole workspace is revoked under one place in the log, and no other workspace is touched', async (t) => {
  const { db, store } = await setup(t)
  for (let i = 0; i < 5; i++) await store.create(newKey())
  const foreign = newKey({ workspaceId: 'other' })
  await store.create(foreign)
  t.strictSame(await store.revokeWorkspace({ ...ops, reason: 'leak' }), { revoked: 5, logged: { seq: 1, windowMs: 0 } })
  t.equal((await store.list({ workspaceId: 'acme', status: 'revoked', rowsMax: 10, after: undefined })).length, 5)
  t.match(await store.find('other', foreign.id), { status: 'active' })
  const log = await db.execute(sql`select seq, workspace_id, digests[1] as digest from navis_keys.revocation_log`)
  t.strictSame(log.map((row) => ({ ...row })), [{ seq: '1', workspace_id: 'acme', digest: null }])
  t.match((await store.revokeWorkspace({ ...ops, reason: 'leak' })), { revoked: 0, logged: { seq: 2 } })
})

t.test('revocations, edits and whole workspaces at once neither deadlock nor share a place in the log', async (t) => {
  const { db, store } = await setup(t)
  const keys = Array.from({ length: 12 }, () => newKey())
  for (const key of keys) await store.create(key)
  const changes = keys.flatMap((key, i) => [
    store.edit({ ...ops, keyId: key.id, name: `name ${i}`, expiresAt: undefined }),
    store.revoke({ ...ops, keyId: key.id, reason: undefined }),
    ...(i % 3 === 0 ? [store.revokeWorkspace({ ...ops, reason: undefined })] : [])
  ])
  await Promise.all(changes)
  const [log] = await db.execute(sql`select max(seq)::int = count(*)::int as dense, max(seq) = (select seq from navis_keys.revocation_clock) as same from navis_keys.revocation_log`)
  t.strictSame({ ...log }, { dense: true, same: true })
  t.equal((await store.list({ workspaceId: 'acme', status: 'all', rowsMax: 50, after: undefined })).every(({ status }) => status === 'revoked'), true)
})

t.test('ten requests with one Idempotency-Key at once make one key', async (t) => {
  const { db, store } = await setup(t)
  const all = await Promise.all(Array.from({ length: 10 }, () => store.create(newKey(), request('one'))))
  const created = all.filter(({ outcome }) => outcome === 'created')
  t.equal(created.length, 1)
  const [made] = await db.execute<{ id: string }>(sql`select id from navis_keys.keys`)
  t.equal(all.filter((one) => one.outcome === 'repeated' && one.keyId === made!.id).length, 9)
  t.match(await store.create(newKey(), request('one', 'other body')), { outcome: 'reused' })
  t.match(await store.create(newKey({ workspaceId: 'other' }), request('one')), { outcome: 'created' })
})

t.test('a create that is refused does not use its Idempotency-Key up', async (t) => {
  const { store } = await setup(t)
  t.match(await store.create(newKey({ expiresAt: Date.now() - 1000 }), request('one')), { outcome: 'expiry_past' })
  t.match(await store.create(newKey(), request('one')), { outcome: 'created' })
})

t.test('after 24 hours an Idempotency-Key is new again, and old ones are cleared away a few at a time', async (t) => {
  const { db, store } = await setup(t)
  await store.create(newKey(), request('old'))
  for (let i = 0; i < 25; i++) await store.create(newKey(), request(`filler ${i}`))
  await db.execute(sql`update navis_keys.idempotency set created_at = created_at - interval '24 hours'`)
  t.match(await store.create(newKey(), request('old')), { outcome: 'created' })
  t.match(await store.create(newKey(), request('old')), { outcome: 'repeated' })
  for (let i = 0; i < 3; i++) await store.create(newKey(), request(`new ${i}`))
  const [left] = await db.execute(sql`select count(*)::int as rows from navis_keys.idempotency`)
  t.strictSame({ ...left }, { rows: 4 })
})

t.test('while Postgres is frozen every call is refused as unavailable instead of waiting, nothing is half done, and it heals by itself', async (t) => {
  const server = await startPostgres(t)
  await migrate(server.url)
  const { db, close } = connect({ url: server.url, max: 5 })
  t.teardown(() => close())
  const store = new PostgresKeyStore({ pool: borrowedPool(db, (host) => host) })
  const live = newKey()
  await store.create(live)
  const key = newKey()
  await server.pause()
  const started = performance.now()
  const calls = await Promise.allSettled([
    store.create(key), store.create(newKey(), request('x')), store.find('acme', live.id), store.sharedSecret(),
    store.list({ workspaceId: 'acme', status: 'all', rowsMax: 5, after: undefined }),
    store.edit({ ...ops, keyId: live.id, name: 'n', expiresAt: undefined }),
    store.revokeWorkspace({ workspaceId: 'other', actor: 'ops', reason: undefined }),
    store.listAudit({ workspaceId: 'acme', rowsMax: 5, after: undefined })
  ])
  t.ok(performance.now() - started < deadlineMs)
  for (const call of calls) t.match(call, { status: 'rejected', reason: { code: 'unavailable', retryAfterS: 1 } })
  await server.resume()
  await until(() => store.create(newKey()), { timeoutMs: deadlineMs })
  t.equal(await store.find('acme', key.id), undefined, 'what was given up is not made later')
})

t.test('a link that is cut without a word: every call is refused instead of waiting, nothing is half done, and it works when it is back', async (t) => {
  const { db, url } = await setup(t)
  const address = new URL(url)
  const proxy = await startProxy(t, { to: Number(address.port) })
  address.port = String(proxy.port)
  const pool = new ReplaceablePool({ url: address.href, max: 4, prepare: (one) => one })
  t.teardown(() => pool.close())
  const store = new PostgresKeyStore({ pool })
  const refused = async (calls: ReadonlyArray<Promise<unknown>>) => {
    const started = performance.now()
    for (const call of await Promise.allSettled(calls)) t.match(call, { status: 'rejected', reason: { code: 'unavailable' } })
    t.ok(performance.now() - started < deadlineMs)
  }
  const healed = async () => {
    await until(() => store.create(newKey({ name: 'healed' })), { timeoutMs: deadlineMs })
  }
  const live = newKey()
  await store.create(live)
  const calls = () => [
    store.create(newKey({ name: 'lost' })), store.create(newKey({ name: 'lost' }), request(`${Math.random()}`)), store.list({ workspaceId: 'acme', status: 'all', rowsMax: 5, after: undefined }),
    store.edit({ ...ops, keyId: live.id, name: 'edited', expiresAt: undefined }), store.revokeWorkspace({ ...ops, reason: undefined }), store.sharedSecret()
  ]
  await Promise.all(Array.from({ length: 4 }, () => store.find('acme', live.id)))

  proxy.cut()
  await refused(calls())
  await refused(calls())
  proxy.heal()
  await healed()

  await Promise.all(Array.from({ length: 4 }, () => store.find('acme', live.id)))
  proxy.lose()
  await refused([store.sharedSecret(), ...Array.from({ length: 4 }, () => store.find('acme', live.id))])
  await healed()
  const [left] = await db.execute(sql`select (select count(*)::int from navis_keys.keys where name = 'lost') as keys, (select count(*)::int from navis_keys.idempotency) as claims`)
  t.strictSame({ ...left }, { keys: 0, claims: 0 })
})

t.test('a call that is not answered takes no other one with it', async (t) => {
  const { db, url } = await setup(t)
  const pool = new ReplaceablePool({ url, max: 4, prepare: (one) => one })
  t.teardown(() => pool.close())
  const store = new PostgresKeyStore({ pool })
  const [live, other] = [newKey(), newKey({ workspaceId: 'other' })]
  await store.create(live)
  await store.create(other)
  let commit = () => {}
  const held = new Promise<void>((resolve) => { commit = resolve })
  let lock = () => {}
  const locked = new Promise<void>((resolve) => { lock = resolve })
  const locks = db.transaction(async (tx) => {
    await tx.execute(sql`select from navis_keys.keys where workspace_id = 'other' for update`)
    lock()
    await held
  })
  await locked
  const bulk = store.revokeWorkspace({ workspaceId: 'other', actor: 'ops', reason: undefined })
  // Whichever waits first goes first: connections are opened at their own pace.
  await until(async () => (await db.execute(sql`select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`)).length === 1)
  await t.rejects(store.revoke({ workspaceId: 'other', keyId: other.id, actor: 'ops', reason: undefined }), { code: 'unavailable' })
  t.match(await store.find('acme', live.id), { status: 'active' }, 'on connections that are new')
  commit()
  await locks
  t.match(await bulk, { revoked: 1 })
})

t.test('while Postgres is down every call is refused as unavailable, and it heals by itself', async (t) => {
  const server = await startPostgres(t)
  await migrate(server.url)
  const { db, close } = connect({ url: server.url, max: 5 })
  t.teardown(() => close())
  const store = new PostgresKeyStore({ pool: borrowedPool(db, (host) => host) })
  await store.create(newKey())
  await server.stop()
  for (let i = 0; i < 3; i++) {
    const started = performance.now()
    await t.rejects(store.create(newKey()), { code: 'unavailable' })
    t.ok(performance.now() - started < deadlineMs)
  }
  await server.start()
  await until(() => store.create(newKey()), { timeoutMs: deadlineMs })
})
