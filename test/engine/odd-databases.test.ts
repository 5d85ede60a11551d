import postgres from 'postgres'
import t, { type Test } from 'tap'
import { migrate } from '../../src/db/migrate.ts'
import { openKeys, type Keys } from '../../src/engine/open-keys.ts'
import { startPostgres, until, type PostgresServer } from '../support/servers.ts'

t.setTimeout(180_000)

/* Databases that do not tell their history as PostgreSQL does: the window opens on them all the same, and the log says what is missing. */

interface Line {
  readonly fields: object
  readonly message: string
}

async function setup (t: Test, prepare: (sql: postgres.Sql) => Promise<unknown>): Promise<{ server: PostgresServer, url: string }> {
  const server = await startPostgres(t, { settings: { allow_system_table_mods: 'on' } })
  await migrate(server.url)
  const sql = postgres(server.url, { max: 1, onnotice: () => {} })
  await sql.unsafe('create role runs login; grant usage on schema navis_keys to runs; grant select, insert, update, delete on all tables in schema navis_keys to runs').simple()
  await prepare(sql)
  await sql.end()
  return { server, url: server.url.replace('postgres@', 'runs@') }
}

async function open (t: Test, databaseUrl: string): Promise<{ keys: Keys, warnings: Line[] }> {
  const warnings: Line[] = []
  const log = { info () {}, warn (fields: object, message: string) { warnings.push({ fields, message }) }, error () {}, debug () {} }
  const keys = await openKeys({ databaseUrl, migrate: false, trustWindowMs: 2000, log })
  t.teardown(() => keys.close())
  return { keys, warnings }
}

async function keepsItsPromise (t: Test, keys: Keys): Promise<void> {
  await until(() => keys.window.isOpen)
  const made = await keys.service.create({ workspaceId: 'acme', name: 'n', scope: 'mcp:read', actor: 'ops', ownerId: null, metadata: {}, expiresAt: null } as never) as unknown as { key: { id: string }, token: string }
  const valid = async () => (await keys.verifier.verify(made.token, { scope: 'mcp:read' } as never)).valid
  t.equal(await valid(), true)
  await keys.service.revoke({ workspaceId: 'acme', keyId: made.key.id, actor: 'ops', reason: undefined } as never)
  t.equal(await valid(), false)
}

t.test('without a position of the write-ahead log, as on Amazon Aurora (55000), the window opens, revocations count, and the log says what is missing', async (t) => {
  const { url } = await setup(t, async (sql) => await sql.unsafe(`
    alter function pg_catalog.pg_current_wal_lsn() rename to pg_current_wal_lsn_of_postgres;
    create function pg_catalog.pg_current_wal_lsn() returns pg_lsn language plpgsql as $$ begin
      raise exception 'Logical decoding not enabled' using errcode = '55000';
    end $$`).simple())
  const { keys, warnings } = await open(t, url)
  await keepsItsPromise(t, keys)
  t.match(keys.window.snapshot().timeline, /^\d+\/$/)
  t.match(warnings, [{ fields: { timeline: 'system identifier', serverStart: 'start of the server' }, message: /cannot read the whole timeline/ }])
})

t.test('without the right to look at the control file the window opens, and without any such function too; what is taken away while it runs is noticed', async (t) => {
  const { server, url } = await setup(t, async (sql) => await sql`revoke execute on function pg_control_system() from public`)
  const { keys, warnings } = await open(t, url)
  await keepsItsPromise(t, keys)
  t.match(keys.window.snapshot().timeline, /^\/[0-9A-F]{8}$/)
  t.match(warnings[0], { fields: { timeline: 'timeline' } })
  const sql = postgres(server.url, { max: 1, onnotice: () => {} })
  t.teardown(() => sql.end())
  for (const name of ['pg_walfile_name(pg_lsn)', 'pg_postmaster_start_time()']) await sql.unsafe(`revoke execute on function ${name} from public`)
  await until(() => warnings.some(({ fields }) => 'serverStart' in fields && fields.serverStart === 'none'))
  await until(() => keys.window.isOpen && keys.window.snapshot().timeline === '')
  await keepsItsPromise(t, keys)
})

t.test('a database that takes no connections for a while tells its history afterwards as before, and every statement asks for it alike', async (t) => {
  const { server } = await setup(t, async () => {})
  const sql = postgres(Object.assign(new URL(server.url), { pathname: '/template1' }).href, { max: 1, onnotice: () => {} })
  t.teardown(() => sql.end())
  const name = new URL(server.url).pathname.slice(1)
  const { keys, warnings } = await open(t, server.url)
  await keepsItsPromise(t, keys)
  const { timeline } = keys.window.snapshot()
  for (let round = 0; round < 5; round++) {
    await sql.unsafe(`alter database ${name} allow_connections false`)
    const failures = warnings.length
    // Whatever connection there is, or is being made, is refused at least once.
    await until(async () => {
      await sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${name}`
      return warnings.length > failures
    })
    await sql.unsafe(`alter database ${name} allow_connections true`)
    await until(() => keys.window.isOpen)
    await until(async () => { await keepsItsPromise(t, keys); return true })
  }
  t.equal(keys.window.snapshot().timeline, timeline)
  t.strictSame(warnings.filter(({ message }) => /cannot read/.test(message)), [])
})
