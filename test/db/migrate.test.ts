import postgres from 'postgres'
import t from 'tap'
import { connect, type Database } from '../../src/db/connect.ts'
import { assertFit, migrate } from '../../src/db/migrate.ts'
import { UnfitDatabase } from '../../src/db/unfit-database.ts'
import { Child } from '../support/child.ts'
import { freshDatabase, startPostgres, until } from '../support/servers.ts'

t.test('six processes that start at once on an empty database all find it migrated, once', async (t) => {
  const url = await freshDatabase(t, { migrated: false })
  const children = Array.from({ length: 6 }, () => new Child(t, { file: 'test/db/children/migrate.ts', args: [url] }))
  await Promise.all(children.map(async (child) => await child.printed(/loaded/)))
  for (const child of children) child.say('go')
  const statuses = await Promise.all(children.map(async (child) => await child.ended()))
  t.same(statuses, [0, 0, 0, 0, 0, 0], children.map(({ stderr }) => stderr).join(''))

  const { sql, close } = connect({ url, max: 1 })
  t.teardown(close)
  const [row] = await sql`select count(*)::int as count, count(distinct hash)::int as distinct from navis_keys.migrations`
  t.ok(row?.['count'] > 0)
  t.equal(row?.['count'], row?.['distinct'])
  t.match(await sql`select seq from navis_keys.revocation_clock`, [{ seq: '0' }])
})

t.test('migrating again changes nothing', async (t) => {
  const url = await freshDatabase(t)
  const { sql, close } = connect({ url, max: 1 })
  t.teardown(close)
  const secret = async () => await sql`select row_secret from navis_keys.revocation_clock`
  const before = await secret()
  await migrate(url)
  t.same(await secret(), before)
})

t.test('a migration takes as long as it takes, whatever the session says of statements', async (t) => {
  const url = await freshDatabase(t, { migrated: false })
  const other = connect({ url, max: 1 })
  t.teardown(other.close)
  const host = postgres(url, { max: 2, onnotice: () => {}, connection: { statement_timeout: 400 } })
  t.teardown(async () => { await host.end({ timeout: 1 }) })
  await t.rejects(host`select pg_sleep(10)`, { code: '57014' })
  // What the migration waits for.
  await other.sql`select pg_advisory_lock(62847, hashtext('navis_keys'))`
  const migrating = migrate(host)
  migrating.catch(() => {})
  await until(async () => (await other.sql`select 1 from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())`).length === 1)
  await other.sql`select pg_sleep(0.8)`
  await other.sql`select pg_advisory_unlock_all()`
  await migrating
  t.match(await other.sql`select count(*)::int as count from navis_keys.migrations`, [{ count: 1 }])
})

const unfit = [
  { what: 'that is read-only', settings: { default_transaction_read_only: 'on' }, message: /read-only.*primary/ }
]
for (const { what, settings, message } of unfit) {
  t.test(`a database ${what} is refused, and nothing is created in it`, async (t) => {
    const url = new URL(await freshDatabase(t, { migrated: false }))
    const { sql, close } = connect({ url: url.href, max: 1 })
    t.teardown(close)
    const [[name, value]] = Object.entries(settings) as [[string, string]]
    await sql.unsafe(`alter database ${url.pathname.slice(1)} set ${name} = '${value}'`)
    url.password = 'a password nobody may see'
    const error = await migrate(url.href).then(() => undefined, (error: unknown) => error)
    t.ok(error instanceof UnfitDatabase)
    t.match(error, { message })
    t.notMatch((error as Error).stack, /nobody/)
    t.same(await sql`select 1 from pg_tables where tablename = 'keys'`, [])
  })
}

t.test('a server older than 15 is refused', async (t) => {
  const old = { execute: async () => [{ version: 140013, standby: false, readOnly: 'off', fsync: 'on' }] } as unknown as Database
  await t.rejects(assertFit(old), { name: 'UnfitDatabase', message: /PostgreSQL 14 is too old: version 15/ })
})

t.test('a standby is refused', async (t) => {
  const server = await startPostgres(t, { settings: { hot_standby: 'on' } })
  await server.stop()
  server.makeStandby()
  await server.start()
  await t.rejects(migrate(server.url), { name: 'UnfitDatabase', message: /standby.*primary/ })
})

t.test('neither a broken URL nor a wrong password shows in the error', async (t) => {
  const server = await startPostgres(t)
  const { sql, close } = connect({ url: server.url, max: 1 })
  t.teardown(close)
  await sql`create role guarded login password 'right'`
  for (const url of ['postgres://guarded:hush-hush@:nowhere/', `postgres://guarded:hush-hush@127.0.0.1:${server.port}/postgres`]) {
    const error = await migrate(url).then(() => undefined, (error: unknown) => error as Error)
    t.ok(error instanceof Error)
    t.notMatch(JSON.stringify(error, Object.getOwnPropertyNames(error)) + String(error?.stack), /hush/)
  }
})
