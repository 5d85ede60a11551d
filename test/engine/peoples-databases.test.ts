import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { connect } from '../../src/db/connect.ts'
import { assertMigrated, migrate } from '../../src/db/migrate.ts'
import { isWrongServer } from '../../src/db/outage.ts'
import type { KeysOptions } from '../../src/engine/keys-options.ts'
import { openKeys, type Keys } from '../../src/engine/open-keys.ts'
import { freshDatabase, startPostgres, startProxy, until } from '../support/servers.ts'

t.setTimeout(180_000)

async function open (t: Test, options: KeysOptions): Promise<Keys> {
  const keys = await openKeys({ trustWindowMs: 2000, ...options })
  t.teardown(() => keys.close())
  return keys
}

function admin (t: Test, url: string): postgres.Sql {
  const sql = postgres(url, { max: 2, onnotice: () => {} })
  t.teardown(() => sql.end({ timeout: 1 }))
  return sql
}

/** The service's connections to the database of `sql`. */
const openOn = async (sql: postgres.Sql) => (await sql<[{ count: number }]>`select count(*)::int as count from pg_stat_activity where application_name = 'navis-keys' and datname = current_database()`)[0].count

const newKey = { workspaceId: 'acme', name: 'a key', scope: 'mcp:read', actor: 'ops' } as const

async function create (keys: Keys) {
  const made = await keys.service.create({ ...newKey, ownerId: null, metadata: {}, expiresAt: null } as never)
  return made as unknown as { key: { id: string }, token: string }
}

t.test('a revocation that was answered outlives a power cut of a server whose commits do not wait for the disk', async (t) => {
  const server = await startPostgres(t, { settings: { synchronous_commit: 'off', wal_writer_delay: '10s' } })
  await migrate(server.url)
  const { sql, close } = connect({ url: server.url, max: 2 })
  t.match(await sql`select current_setting('synchronous_commit') as value`, [{ value: 'on' }])
  await sql`update navis_keys.revocation_clock set seq = seq + 1`
  await server.kill()
  await close()
  await server.start()
  t.match(await admin(t, server.url)`select seq from navis_keys.revocation_clock`, [{ seq: '1' }])
})

t.test('statements are not compiled where the server would compile them', async (t) => {
  const url = await freshDatabase(t)
  await admin(t, url).unsafe(`alter database ${new URL(url).pathname.slice(1)} set jit = on`)
  const { sql, close } = connect({ url, max: 1 })
  t.teardown(close)
  t.match(await sql`select current_setting('jit') as value`, [{ value: 'off' }])
})

t.test('where connections are serializable by default, changes at once all succeed', async (t) => {
  const url = await freshDatabase(t)
  const sql = admin(t, url)
  await sql.unsafe(`alter database ${new URL(url).pathname.slice(1)} set default_transaction_isolation = serializable`)
  const keys = await open(t, { databaseUrl: url })
  const made = await Promise.all(Array.from({ length: 20 }, () => create(keys)))
  const revoked = await Promise.allSettled(made.map(({ key }) => keys.service.revoke({ workspaceId: 'acme', keyId: key.id, actor: 'ops', reason: undefined } as never)))
  t.same(revoked.filter(({ status }) => status === 'rejected'), [])
})

t.test('where each new connection gets a warning, changes at once all succeed', async (t) => {
  const url = await freshDatabase(t)
  const sql = admin(t, url)
  const name = new URL(url).pathname.slice(1)
  await sql`update pg_database set datcollversion = '0.1', datlocprovider = datlocprovider where datname = ${name}`
  const keys = await open(t, { databaseUrl: url })
  const made = await Promise.allSettled(Array.from({ length: 16 }, () => create(keys)))
  t.same(made.filter(({ status }) => status === 'rejected'), [])
})

t.test('a replica has no more connections than it may, and waits for one under load', async (t) => {
  const url = await freshDatabase(t)
  const sql = admin(t, url)
  const keys = await open(t, { databaseUrl: url, databaseConnectionsMax: 5 })
  let most = 0
  const outcomes = Promise.allSettled(Array.from({ length: 60 }, () => create(keys)))
  for (let i = 0; i < 20; i++) most = Math.max(most, await openOn(sql))
  t.same((await outcomes).filter(({ status }) => status === 'rejected'), [])
  t.ok(most <= 5, `${most} at most`)
  await t.rejects(openKeys({ databaseUrl: url, databaseConnectionsMax: 3 }), /4 or more/)
})

t.test('a start opens four connections and closes none', async (t) => {
  const url = await freshDatabase(t)
  const sql = admin(t, url)
  const begun = async () => (await sql<[{ count: number }]>`select sessions::int as count from pg_stat_database where datname = current_database()`)[0].count
  await sql`select 1`
  const before = await begun()
  await open(t, { databaseUrl: url })
  await until(async () => await openOn(sql) === 4)
  t.equal(await begun() - before, 4)
})

t.test('connections to a server that turns out to be a standby are refused, and none stays', async (t) => {
  const primary = new URL(await freshDatabase(t))
  const standby = await startPostgres(t)
  await standby.stop()
  standby.makeStandby()
  await standby.start()
  const { sql, close } = connect({ url: standby.url, max: 1 })
  const refusal = await sql`select 1`.then(() => undefined, (error: unknown) => error)
  t.ok(isWrongServer(refusal))
  await close()

  const proxy = await startProxy(t, { to: Number(primary.port) })
  const keys = await open(t, { databaseUrl: Object.assign(primary, { port: String(proxy.port) }).href })
  t.ok((await create(keys)).token)
  const left = async () => (await admin(t, standby.url)`select count(*)::int as count from pg_stat_activity where application_name = 'navis-keys'`)[0]?.['count'] as number
  t.equal(await left(), 0)
})

t.test('a role that only uses the tables runs the service, which migrates nothing', async (t) => {
  const url = await freshDatabase(t, { migrated: false })
  const sql = admin(t, url)
  const role = `runs_${Math.random().toString(36).slice(2)}`
  await sql.unsafe(`create role ${role} login`)
  t.teardown(async () => { await sql.unsafe(`drop owned by ${role}; drop role ${role}`).simple() })
  const asRole = url.replace('postgres@', `${role}@`)
  await t.rejects(assertMigrated(asRole), { name: 'UnfitDatabase', message: /not at the newest schema.*0 of \d+.*navis-keys migrate/ })
  await migrate(url)
  await t.rejects(assertMigrated(asRole), 'without rights')
  await sql.unsafe(`grant usage on schema navis_keys to ${role}; grant select, insert, update, delete on all tables in schema navis_keys to ${role}`).simple()
  await assertMigrated(asRole)
  for (const [right, table] of [['update', 'keys'], ['insert', 'audit'], ['delete', 'events'], ['select', 'calls']] as const) {
    await sql.unsafe(`revoke ${right} on navis_keys.${table} from ${role}`)
    await t.rejects(assertMigrated(asRole), { name: 'UnfitDatabase', message: new RegExp(`may not read and write the table "${table}"`) }, `without ${right}`)
    await sql.unsafe(`grant ${right} on navis_keys.${table} to ${role}`)
  }
  await sql.unsafe('revoke execute on function navis_keys.find_keys from public')
  await t.rejects(assertMigrated(asRole), { name: 'UnfitDatabase', message: /may not call the function "find_keys\(bytea\[\]\)".*docs\/postgres\.md/ })
  await sql.unsafe(`grant execute on all functions in schema navis_keys to ${role}`)
  await assertMigrated(asRole)
  await migrate(asRole)
  const keys = await open(t, { databaseUrl: asRole, migrate: false })
  const { key, token } = await create(keys)
  await until(async () => (await keys.verifier.verify(token, { scope: 'mcp:read' } as never)).valid)
  await keys.service.revoke({ workspaceId: 'acme', keyId: key.id, actor: 'ops', reason: undefined } as never)
})

t.test('two instances with two schemas in one database know nothing of each other', async (t) => {
  const url = await freshDatabase(t, { migrated: false })
  for (const schema of ['one', 'two']) await migrate(url, { schema })
  const [one, two] = [await open(t, { databaseUrl: url, databaseSchema: 'one' }), await open(t, { databaseUrl: url, databaseSchema: 'two' })]
  const { token } = await create(one)
  await until(async () => (await one.verifier.verify(token, { scope: 'mcp:read' } as never)).valid)
  t.match(await two.verifier.verify(token, { scope: 'mcp:read' } as never), { valid: false, reason: 'unknown' })
  t.same(await admin(t, url)`select schemaname from pg_tables where schemaname in ('public', 'drizzle', 'navis_keys')`, [])
})

t.test('a name that no schema of ours can have is refused, with what it must be', async (t) => {
  const url = await freshDatabase(t)
  for (const databaseSchema of ['public', 'pg_keys', 'Keys']) {
    await t.rejects(openKeys({ databaseUrl: url, databaseSchema }), { name: 'TypeError', message: /The name of the schema must be at most 63 lower-case.* not public/ }, databaseSchema)
  }
})

t.test('a table that is missing although its migration is noted is told by its name', async (t) => {
  const url = await freshDatabase(t)
  await admin(t, url)`drop table navis_keys.policies`
  await t.rejects(migrate(url), { name: 'UnfitDatabase', message: /"policies" is missing in the schema "navis_keys"/ })
})

t.test('a user, a password or a database that is refused is told in a sentence', async (t) => {
  const url = await freshDatabase(t)
  const nobody = Object.assign(new URL(url), { username: 'nobody_at_all' }).href
  await t.rejects(openKeys({ databaseUrl: nobody }), { name: 'UnfitDatabase', message: /does not allow the user in DATABASE_URL/ })
  await t.rejects(openKeys({ databaseUrl: Object.assign(new URL(url), { pathname: '/no_such_database' }).href }), { name: 'UnfitDatabase', message: /does not exist\. Create it/ })
})

t.test('so is a function', async (t) => {
  const url = await freshDatabase(t)
  await admin(t, url)`drop function navis_keys.find_keys`
  await t.rejects(migrate(url), { name: 'UnfitDatabase', message: /function "find_keys\(bytea\[\]\)" is missing in the schema "navis_keys"/ })
})

t.test('a key is found by a lookup that waited while its table was written anew', async (t) => {
  const url = await freshDatabase(t)
  const keys = await open(t, { databaseUrl: url, cache: false })
  const { token } = await create(keys)
  await until(async () => (await keys.verifier.verify(token, { scope: 'mcp:read' } as never)).valid)
  const sql = admin(t, url)
  for (const [table, column] of [['tokens', 'hint'], ['keys', 'name']] as const) {
    const change = await sql.reserve()
    await change`begin`
    await change.unsafe(`alter table navis_keys.${table} alter column ${column} type varchar(300)`)
    const verdict = keys.verifier.verify(token, { scope: 'mcp:read' } as never)
    await until(async () => (await sql`select 1 from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())`).length > 0)
    await change`commit`
    change.release()
    t.match(await verdict, { valid: true }, table)
  }
})

// A session keeps the plan of the function: made while there were few keys, it must not read the whole table when there are many.
t.test('however many keys there were when a session planned its lookups, it reads those that are asked for by their index', async (t) => {
  const url = await freshDatabase(t)
  const keys = await open(t, { databaseUrl: url, cache: false })
  const { token } = await create(keys)
  const isValid = async () => (await keys.verifier.verify(token, { scope: 'mcp:read' } as never)).valid
  await until(isValid)
  const sql = admin(t, url)
  await sql.unsafe('alter table navis_keys.keys set (autovacuum_enabled = off); alter table navis_keys.tokens set (autovacuum_enabled = off)').simple()
  await sql.unsafe(`with many as (select gen_random_uuid() id, i from generate_series(1, 20000) i), made as (
      insert into navis_keys.keys (id, workspace_id, name, scope, metadata, created_by) select id, 'acme', 'key ' || i, 'mcp:read', '{}', 'test' from many returning id)
    insert into navis_keys.tokens (digest, key_id, hint, is_current) select sha256(id::text::bytea), id, 'abcd…wxyz', true from made`)
  const scans = async () => (await sql`select relname, seq_tup_read::int as rows from pg_stat_user_tables where schemaname = 'navis_keys' and relname in ('keys', 'tokens') order by relname`).map(({ rows }) => rows as number)
  const before = await scans()
  for (let i = 0; i < 20; i++) t.equal(await isValid(), true)
  await sql`select pg_sleep(1.5)`
  const read = (await scans()).map((rows, i) => rows - before[i]!)
  t.ok(read.every((rows) => rows < 20_000), `rows read one after another: ${read.join(', ')}`)
})

t.test('a password in a file is read again when a connection is made', async (t) => {
  const server = await startPostgres(t)
  const sql = admin(t, server.url)
  await sql`create role guarded login password 'first'`
  const folder = mkdtempSync(join(tmpdir(), 'navis-secret-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  const file = join(folder, 'password')
  writeFileSync(file, 'first\n')
  const { sql: ours, close } = connect({ url: `postgres://guarded@127.0.0.1:${server.port}/postgres?password_file=${file}`, max: 1 })
  t.teardown(close)
  t.match(await ours`select current_user as name`, [{ name: 'guarded' }])
  await sql`alter role guarded password 'second'`
  writeFileSync(file, 'second\n')
  await sql`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'guarded'`
  await until(async () => (await ours`select current_user as name`)[0]?.['name'] === 'guarded')
  rmSync(file)
  await sql`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'guarded'`
  await t.rejects(until(() => ours`select 1`.then(() => true), { timeoutMs: 1000 }), /ENOENT|Socket is closed/, 'and a file that is away is an error, not a hang')
  writeFileSync(file, 'second\n')
  await until(async () => (await ours`select current_user as name`)[0]?.['name'] === 'guarded')
})

t.test('of several hosts the first that takes a connection is used', async (t) => {
  const { port, pathname } = new URL(await freshDatabase(t, { migrated: false }))
  const { sql, close } = connect({ url: `postgres://postgres@127.0.0.1:1,127.0.0.1:${port}${pathname}`, max: 1 })
  t.teardown(close)
  t.match(await sql`select 1 as one`, [{ one: 1 }])
})
