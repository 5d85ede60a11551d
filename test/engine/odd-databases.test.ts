import postgres from 'postgres'
import t, { type Test } from 'tap'
import { openKeys, type Keys } from '../../src/engine/open-keys.ts'
import { freshDatabase, until } from '../support/servers.ts'

t.setTimeout(180_000)

/* Databases that do not tell their history as PostgreSQL does: the window opens on them all the same, and the log says what is missing. */

interface Line {
  readonly fields: object
  readonly message: string
}

/** A database in which a role of its own runs the service. What is done to system functions in it concerns no other database of the server. */
async function setup (t: Test, prepare: (sql: postgres.Sql) => Promise<unknown>): Promise<{ adminUrl: string, url: string }> {
  const adminUrl = await freshDatabase(t)
  const role = `runs_on_${new URL(adminUrl).pathname.slice(1)}`
  const sql = postgres(adminUrl, { max: 1, onnotice: () => {}, connection: { allow_system_table_mods: true } })
  await sql.unsafe(`create role ${role} login; grant usage on schema navis_keys to ${role}; grant select, insert, update, delete on all tables in schema navis_keys to ${role}`).simple()
  t.teardown(async () => {
    await sql.unsafe(`drop owned by ${role}; drop role ${role}`).simple()
    await sql.end()
  })
  await prepare(sql)
  return { adminUrl, url: adminUrl.replace('postgres@', `${role}@`) }
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
  const { adminUrl, url } = await setup(t, async (sql) => await sql`revoke execute on function pg_control_system() from public`)
  const { keys, warnings } = await open(t, url)
  await keepsItsPromise(t, keys)
  t.match(keys.window.snapshot().timeline, /^\/[0-9A-F]{8}$/)
  t.match(warnings[0], { fields: { timeline: 'timeline' } })
  const sql = postgres(adminUrl, { max: 1, onnotice: () => {} })
  t.teardown(() => sql.end())
  for (const name of ['pg_walfile_name(pg_lsn)', 'pg_postmaster_start_time()']) await sql.unsafe(`revoke execute on function ${name} from public`)
  await until(() => warnings.some(({ fields }) => 'serverStart' in fields && fields.serverStart === 'none'))
  await until(() => keys.window.isOpen && keys.window.snapshot().timeline === '')
  await keepsItsPromise(t, keys)
})

t.test('a database that takes no connections for a while tells its history afterwards as before, and every statement asks for it alike', async (t) => {
  const databaseUrl = await freshDatabase(t)
  const sql = postgres(Object.assign(new URL(databaseUrl), { pathname: '/postgres' }).href, { max: 1, onnotice: () => {} })
  t.teardown(() => sql.end())
  const name = new URL(databaseUrl).pathname.slice(1)
  const { keys, warnings } = await open(t, databaseUrl)
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
