import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { digestToBytes, type Digest } from '../../src/core/key-record.ts'
import type { Renewal } from '../../src/core/window/store.ts'
import { connect } from '../../src/db/connect.ts'
import { startEmbedded } from '../../src/db/embedded/embedded.ts'
import { PostgresKeyStore } from '../../src/db/key-store.ts'
import { borrowedPool } from '../../src/db/replaceable-pool.ts'
import { migrate } from '../../src/db/migrate.ts'
import { PostgresWindowStore } from '../../src/db/window-store.ts'
import { freshDatabase, until } from '../support/servers.ts'

const digest = '\u0000'.repeat(16) + '\u00ff'.repeat(16) as Digest
const never = new AbortController().signal

async function setup (t: Test, { url }: { url?: string } = {}) {
  const databaseUrl = url ?? await freshDatabase(t)
  const { db, sql, close } = connect({ url: databaseUrl, max: 4 })
  const store = new PostgresWindowStore({ connect: () => connect({ url: databaseUrl, max: 1 }) })
  t.teardown(async () => { await store.close(); await close() })
  const id = randomUUID()
  const renew = (changes: Partial<Renewal> = {}) => store.renew({ id, applied: 0, acked: 0, timeline: undefined, rowsMax: 100, ...changes }, never)
  const log = async (action: string, target: { digest?: Buffer, workspaceId?: string } = {}) => {
    await sql.begin(async (tx) => {
      const [clock] = await tx<[{ seq: string }]>`update navis_keys.revocation_clock set seq = seq + 1 returning seq`
      await tx`insert into navis_keys.revocation_log (seq, action, digests, workspace_id) values (${clock.seq}, ${action}, case when ${target.digest ?? null}::bytea is not null then array[${target.digest ?? null}::bytea] end, ${target.workspaceId ?? null})`
    })
  }
  const windowMs = async () => (await sql<[{ window_ms: number }]>`select window_ms from navis_keys.revocation_clock`)[0].window_ms
  return { url: databaseUrl, db, sql, store, id, renew, log, windowMs }
}

async function renewsAsItShould (t: Test, { store, id, renew, log }: Awaited<ReturnType<typeof setup>>): Promise<void> {
  t.equal((await renew()).alive, false, 'a stranger is not alive')
  await store.join(id, 10_000, never)
  const before = Date.now()
  const first = await renew()
  t.match(first, { alive: true, seq: 0, rows: [] })
  t.match(first.timeline, /^\d+\/[0-9A-F]{8}$/)
  t.ok(Math.abs(first.databaseTime - before) < 5000, 'the time of the database is in milliseconds since the epoch')

  await log('revoke', { digest: digestToBytes(digest) })
  await log('change', { workspaceId: 'acme' })
  await log('revoke')
  const { timeline } = first
  const second = await renew({ timeline })
  t.strictSame(second.rows, [
    { seq: 1, action: 'revoke', target: { kind: 'key', digest } },
    { seq: 2, action: 'change', target: { kind: 'workspace', workspaceId: 'acme' } },
    { seq: 3, action: 'revoke', target: { kind: 'everything' } }
  ])
  t.equal(second.seq, 3)
  t.strictSame((await renew({ timeline, rowsMax: 2 })).rows.map((row) => row.seq), [2, 3], 'the newest, oldest first')
  t.strictSame((await renew({ timeline, applied: 2, acked: 2 })).rows.map((row) => row.seq), [3])
  t.match(await store.members(never), [{ id, acked: 2, renewals: 4, windowMs: 10_000 }])
}

t.test('a renewal reads the log and acknowledges what was applied', async (t) => {
  await renewsAsItShould(t, await setup(t))
})

t.test('the embedded database understands the same statements', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'navis-window-'))
  const embedded = await startEmbedded({ dataDir })
  t.teardown(async () => { await embedded.stop(); rmSync(dataDir, { recursive: true, force: true }) })
  await migrate(embedded.url)
  const { store, id, ...rest } = await setup(t, { url: embedded.url })
  await renewsAsItShould(t, { store, id, ...rest })
  t.equal(await store.reap(id, 0, never), false)
  t.equal(await store.prune(1, never), 2)
  await store.leave(id, never)
  t.strictSame(await store.members(never), [])
})

t.test('an acknowledgement never goes back, never passes the clock, and is never taken from another timeline', async (t) => {
  const { store, id, renew, log } = await setup(t)
  await store.join(id, 10_000, never)
  for (let i = 0; i < 3; i++) await log('revoke')
  const { timeline } = await renew()
  const acked = async () => (await store.members(never))[0]?.acked
  await renew({ acked: 2, timeline })
  await renew({ acked: 1, timeline })
  t.equal(await acked(), 2)
  await renew({ acked: 3, timeline: timeline.replace(/1$/, '2') })
  t.equal(await acked(), 2)
  await renew({ acked: 1000, timeline })
  t.equal(await acked(), 3)
})

t.test('a renewal is a write: a primary that cannot commit refuses it', async (t) => {
  const { url, store, id, sql } = await setup(t)
  await store.join(id, 10_000, never)
  await sql.unsafe(`alter database ${new URL(url).pathname.slice(1)} set default_transaction_read_only = on`)
  const readOnly = new PostgresWindowStore({ connect: () => connect({ url, max: 1 }) })
  t.teardown(() => readOnly.close())
  await t.rejects(readOnly.renew({ id, applied: 0, acked: 0, timeline: undefined, rowsMax: 10 }, never), { code: '25006' })
})

t.test('however many changes commit at once, a renewal never sees one without all that came before it', async (t) => {
  const { db, store, id, renew } = await setup(t)
  await store.join(id, 10_000, never)
  const keys = new PostgresKeyStore({ pool: borrowedPool(db, (host) => host), warnings: () => 0 })
  const over = new AbortController()
  const changes = Promise.all(Array.from({ length: 40 }, (_, i) => keys.revokeWorkspace({ workspaceId: `w${i}`, actor: 'test', reason: undefined }))).finally(() => { over.abort() })
  let applied = 0
  let renewals = 0
  do {
    const { seq, rows } = await renew({ applied })
    t.strictSame(rows.map((row) => row.seq), Array.from({ length: seq - applied }, (_, i) => applied + 1 + i))
    applied = seq
    renewals++
  } while (!over.signal.aborted)
  await changes
  t.ok(renewals > 1)
})

t.test('the clock shows the longest window of any living member', async (t) => {
  const { store, windowMs } = await setup(t)
  const [short, long] = [randomUUID(), randomUUID()]
  await store.join(long, 60_000, never)
  await store.join(short, 10_000, never)
  t.equal(await windowMs(), 60_000)
  await store.leave(long, never)
  t.equal(await windowMs(), 10_000)
  await store.leave(short, never)
  t.equal(await windowMs(), 0)
})

t.test('members that join at the same moment all count towards the longest window', async (t) => {
  const { url, windowMs } = await setup(t)
  await Promise.all([10_000, 60_000, 20_000].map(async (length) => {
    const store = new PostgresWindowStore({ connect: () => connect({ url, max: 1 }) })
    await store.join(randomUUID(), length, never)
    await store.close()
  }))
  t.equal(await windowMs(), 60_000)
})

t.test('joining twice under one id leaves one member, and does not bring a dead one back', async (t) => {
  const { store, id, renew } = await setup(t)
  await store.join(id, 10_000, never)
  await store.join(id, 10_000, never)
  t.equal((await store.members(never)).length, 1)
  t.equal(await store.reap(id, 0, never), true)
  await store.join(id, 10_000, never)
  t.equal((await renew()).alive, false)
})

t.test('a member that has renewed since it was looked at is not counted out', async (t) => {
  const { store, id, renew } = await setup(t)
  await store.join(id, 10_000, never)
  const [seen] = await store.members(never)
  await renew()
  t.equal(await store.reap(id, seen?.renewals, never), false)
  t.equal((await renew()).alive, true)
})

t.test('a member that was counted out is fenced, and no longer waited for', async (t) => {
  const { store, id, renew } = await setup(t)
  await store.join(id, 10_000, never)
  t.equal(await store.reap(id, 0, never), true)
  t.equal(await store.reap(id, 0, never), false)
  t.equal((await renew()).alive, false)
  t.strictSame(await store.members(never), [])
})

t.test('the log keeps its newest rows, and the clock shows up to where it was pruned', async (t) => {
  const { store, sql } = await setup(t)
  await sql`insert into navis_keys.revocation_log (seq, action) select n, 'revoke' from generate_series(1, 2500) n`
  await sql`update navis_keys.revocation_clock set seq = 2500`
  t.strictSame([await store.prune(100, never), await store.prune(100, never), await store.prune(100, never), await store.prune(100, never)], [1000, 1000, 400, 0])
  const [left] = await sql`select count(*)::int, min(seq)::int, (select pruned_to from navis_keys.revocation_clock)::int as pruned_to from navis_keys.revocation_log`
  t.match(left, { count: 100, min: 2401, pruned_to: 2400 })
})

t.test('a renewal that is given up does not hold up the next one, and may still be carried out', async (t) => {
  const { store, sql, id, renew } = await setup(t)
  await store.join(id, 10_000, never)
  let release = () => {}
  let lock: Promise<unknown> = Promise.resolve()
  await new Promise<void>((resolve) => {
    lock = sql.begin(async (tx) => {
      await tx`select from navis_keys.window_members for update`
      await new Promise<void>((_resolve) => { release = _resolve; resolve() })
    })
  })
  const controller = new AbortController()
  const stuck = store.renew({ id, applied: 0, acked: 0, timeline: undefined, rowsMax: 10 }, controller.signal)
  await until(async () => (await sql`select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`).count === 1)
  controller.abort()
  await t.rejects(stuck, { name: 'AbortError' })
  release()
  await lock
  t.equal((await renew()).alive, true)
})

t.test('the answer of a joining holds the secret that rows and hints are signed with', async (t) => {
  const { store, sql, id } = await setup(t)
  const { rowSecret } = await store.join(id, 10_000, never)
  const [clock] = await sql<[{ row_secret: Buffer }]>`select row_secret from navis_keys.revocation_clock`
  t.equal(rowSecret.length, 32)
  t.ok(clock.row_secret.equals(rowSecret))
})
