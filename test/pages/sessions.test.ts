import { hash } from 'node:crypto'
import t, { type Test } from 'tap'
import type { Person } from '../../src/core/person.ts'
import { isFormToken, Sessions, type SessionLimits } from '../../src/core/sessions.ts'
import { connect } from '../../src/db/connect.ts'
import { ReplaceablePool } from '../../src/db/replaceable-pool.ts'
import { PostgresSessionStore } from '../../src/db/session-store.ts'
import { freshDatabase, startPostgres, startProxy, until } from '../support/servers.ts'
import { migrate } from '../../src/db/migrate.ts'

const ada: Person = { workspaceId: 'acme', ownerId: 'ada', name: 'Ada Lovelace', actor: 'user:ada', admin: false }
const long: SessionLimits = { idleMs: 60_000, lifetimeMs: 600_000 }

async function setup (t: Test, databaseUrl?: string) {
  const url = databaseUrl ?? await freshDatabase(t)
  const { sql, close } = connect({ url, max: 2 })
  t.teardown(() => close())
  const pool = new ReplaceablePool({ url, max: 2, prepare: (db) => db })
  t.teardown(() => pool.close())
  return { sql, sessions: (limits = long, credentials: Buffer[] = []) => new Sessions({ store: new PostgresSessionStore(pool), limits, credentials }) }
}

t.test('a session is known to every replica until it is ended, and then to none', async (t) => {
  const { sessions } = await setup(t)
  const secret = await sessions().start(ada)
  t.match(await sessions().find(secret), { person: ada })
  await sessions().end(secret)
  t.equal(await sessions().find(secret), undefined)
})

t.test('a session ends with the management token that opened it; one that a provider opened does not', async (t) => {
  const { sessions } = await setup(t)
  const [old, other] = ['old', 'other'].map((secret) => hash('sha256', secret, 'buffer')) as [Buffer, Buffer]
  const before = sessions(long, [old, other])
  const [byOld, byOther, byProvider] = [await before.start(ada, old), await before.start(ada, other), await before.start(ada)]
  t.ok(await before.find(byOld))
  const rotated = sessions(long, [other, hash('sha256', 'new', 'buffer')])
  t.equal(await rotated.find(byOld), undefined)
  t.match(await rotated.find(byOther), { person: ada })
  t.match(await rotated.find(byProvider), { person: ada })
})

t.test('the table holds nothing that opens a session', async (t) => {
  const { sessions, sql } = await setup(t)
  const secret = await sessions().start(ada)
  const { formToken } = (await sessions().find(secret))!
  const [row] = await sql`select sessions::text as text, digest from navis_keys.sessions`
  t.notMatch(row!['text'], secret)
  t.notMatch(row!['text'], formToken)
  t.same(row!['digest'], hash('sha256', secret, 'buffer'))
  t.equal(await sessions().find(row!['digest'].toString('base64url')), undefined)
})

t.test('a session ends when it is unused for long, however long its lifetime', async (t) => {
  const { sessions, sql } = await setup(t)
  const secret = await sessions().start(ada)
  await sql`update navis_keys.sessions set seen_at = clock_timestamp() - interval '59 seconds'`
  t.ok(await sessions().find(secret), 'and using it starts the time anew')
  t.ok(await sessions().find(secret))
  await sql`update navis_keys.sessions set seen_at = clock_timestamp() - interval '61 seconds'`
  t.equal(await sessions().find(secret), undefined)
  t.equal(await sessions().find(secret), undefined, 'asking does not bring it back')
})

t.test('a session ends with its lifetime, however busy it is', async (t) => {
  const { sessions } = await setup(t)
  const brief = sessions({ idleMs: 60_000, lifetimeMs: 300 })
  const secret = await brief.start(ada)
  t.ok(await brief.find(secret))
  await until(async () => await brief.find(secret) === undefined)
})

t.test('sessions that are over leave the table when the next one starts', async (t) => {
  const { sessions, sql } = await setup(t)
  await sessions().start(ada)
  await sql`update navis_keys.sessions set ends_at = clock_timestamp() - interval '1 second'`
  await sessions().start(ada)
  t.same(await sql`select count(*)::int as n from navis_keys.sessions`, [{ n: 1 }])
})

t.test('what is no secret of ours is not looked up', async (t) => {
  const { sessions } = await setup(t)
  for (const text of [undefined, '', 'x', 'a'.repeat(43) + '=', '\u0000'.repeat(43)]) t.equal(await sessions().find(text), undefined)
})

t.test('a form token is of one session only', async (t) => {
  const { sessions } = await setup(t)
  const one = (await sessions().find(await sessions().start(ada)))!
  const other = (await sessions().find(await sessions().start(ada)))!
  t.ok(isFormToken(one, one.formToken))
  for (const presented of [other.formToken, '', undefined, ['x'], one.formToken + 'x', one.formToken.toLowerCase()]) t.notOk(isFormToken(one, presented))
})

t.test('while Postgres is frozen nobody is taken for signed out: the answer is unavailable, and comes in bounded time', async (t) => {
  const server = await startPostgres(t)
  await migrate(server.url)
  const { sessions } = await setup(t, server.url)
  const secret = await sessions().start(ada)
  server.pause()
  await t.rejects(sessions().find(secret), { code: 'unavailable' })
  server.resume()
  await until(async () => (await sessions().find(secret)) !== undefined)
})

t.test('a connection that is cut without a word is given up, and the next one works', async (t) => {
  const server = await startPostgres(t)
  await migrate(server.url)
  const proxy = await startProxy(t, { to: server.port })
  const through = new URL(server.url)
  through.port = String(proxy.port)
  const pool = new ReplaceablePool({ url: through.href, max: 2, prepare: (db) => db })
  t.teardown(() => pool.close())
  const sessions = new Sessions({ store: new PostgresSessionStore(pool), limits: long })
  const secret = await sessions.start(ada)
  proxy.cut()
  await t.rejects(sessions.find(secret), { code: 'unavailable' })
  proxy.heal()
  await until(async () => (await sessions.find(secret)) !== undefined)
})
