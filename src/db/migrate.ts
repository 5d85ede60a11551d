import { fileURLToPath } from 'node:url'
import { sql } from 'drizzle-orm'
import { getTableConfig } from 'drizzle-orm/pg-core'
import { readMigrationFiles, type MigrationMeta } from 'drizzle-orm/migrator'
import type { Sql } from 'postgres'
import { borrow, connect, hostsOf, noteRefusedSettings, type Database } from './connect.ts'
import { inOneTransaction, text } from './one-transaction.ts'
import { hasCode, isWrongServer, tlsRefusalIn } from './outage.ts'
import type { Pool } from './replaceable-pool.ts'
import { defaultSchema, tablesIn } from './schema.ts'
import { refusedConnection, UnfitDatabase } from './unfit-database.ts'

const folder = fileURLToPath(new URL('../../drizzle', import.meta.url))
const oldestVersion = 15
// Any number that no other application in the database uses: 'navis' on a telephone keypad.
const lockKey = 62847

interface MigrateOptions {
  /** The schema that holds every table, the journal of the migrations too. `navis_keys`. */
  readonly schema?: string | undefined
}

/** A pool of this service, and the URL that it leads to. */
interface OwnPool {
  readonly url: string
  readonly pool: Pool<Database>
}

/** Where the tables are: a URL, for which a connection is opened and closed here, a pool of this service, or a client that the host application owns and that is not closed here. */
type MigratedDatabase = string | OwnPool | Sql

// As long as a connection of our own is given to close.
const drainMs = 5000
// How often another process may migrate between our reading of the journal and our lock.
const roundsMax = 5

/**
 * Brings the database to the newest schema, in one transaction: a crash leaves nothing half done. Safe with any number of
 * processes that start at once: one applies the migrations while the others wait. Everything stands in one schema of our own, so
 * that neither we nor the host application can take the other's tables or migrations for its own.
 */
export async function migrate (database: MigratedDatabase, { schema = defaultSchema }: MigrateOptions = {}): Promise<void> {
  await onServer(database, schema, async (client) => {
    const migrations = readMigrationFiles({ migrationsFolder: folder })
    for (let round = 0; round < roundsMax; round++) {
      const applied = await appliedMigrations(client, schema)
      const pending = migrations.slice(applied)
      if (pending.length === 0 || await apply(client, { schema, applied, pending })) return await assertWhole(client, schema)
    }
    throw new Error('Other processes keep migrating this database.')
  })
}

/** Throws `UnfitDatabase` unless the database is at the newest schema. Changes nothing, and needs no more rights than the service. */
export async function assertMigrated (database: MigratedDatabase, { schema = defaultSchema }: MigrateOptions = {}): Promise<void> {
  await onServer(database, schema, async (client) => {
    const newest = readMigrationFiles({ migrationsFolder: folder }).length
    const applied = await appliedMigrations(client, schema)
    if (applied < newest) {
      throw new UnfitDatabase(`The database is not at the newest schema: "${schema}" has ${applied} of ${newest} migrations, and migrating at the start is off (MIGRATE=off; the plugin: \`migrate: false\`). Run \`navis-keys migrate\` under a role that may create tables.`)
    }
    await assertWhole(client, schema)
  })
}

async function onServer (database: MigratedDatabase, schema: string, act: (client: Sql) => Promise<void>, { hostsTried = 1, isWithoutSettings = false } = {}): Promise<void> {
  const { url, db, sql, giveUp, close } = reach(database, schema)
  try {
    await assertFit(db)
    await act(sql)
  } catch (error) {
    if (isWrongServer(error)) {
      if (url === undefined || hostsTried >= hostsOf(url)) throw new UnfitDatabase(isStandby)
      // The next connection goes to the next host, once this one is closed.
      await giveUp()
      return await onServer(database, schema, act, { hostsTried: hostsTried + 1, isWithoutSettings })
    }
    const refusal = tlsRefusalIn(error)
    if (refusal !== undefined) throw new UnfitDatabase(refusal.message)
    const refused = refusedConnection(error)
    if (refused !== undefined) throw refused
    if (hasCode(error, '42501')) throw new UnfitDatabase(`The role may not create or use what is needed in the schema "${schema}". Run \`navis-keys migrate\` under a role that may create it, and give this one the rights that docs/postgres.md lists.`)
    if (isWithoutSettings || url === undefined || !noteRefusedSettings(url, error)) throw error
    await giveUp()
    await onServer(database, schema, act, { hostsTried, isWithoutSettings: true })
  } finally {
    await close()
  }
}

interface Reached {
  /** `undefined`: its connections are the host application's. */
  readonly url?: string
  readonly db: Database
  readonly sql: Sql
  /** The connection to this server is of no use: the next one is another. */
  giveUp (): Promise<void>
  close (): Promise<void>
}

function reach (database: MigratedDatabase, schema: string): Reached {
  if (typeof database === 'string') {
    const { db, sql, close } = connect({ url: database, schema, max: 1 })
    return { url: database, db, sql, giveUp: close, close }
  }
  if ('pool' in database) {
    const { url, pool } = database
    const { queries: db } = pool
    const giveUp = async () => {
      pool.replace(drainMs)
      // What ends already is waited for.
      await db.$client.end()
    }
    return { url, db, sql: db.$client, giveUp, close: async () => {} }
  }
  return { db: borrow(database, schema), sql: database, giveUp: async () => {}, close: async () => {} }
}

/** Functions of the schema, with the types of their arguments: our statements call them, or indexes do. */
const functions = ['find_keys(bytea[])', 'name_parts(text, text)', 'name_query(text, text)']

/** Throws `UnfitDatabase` where a table or a function is missing, or the role may not use it. */
async function assertWhole (client: Sql, schema: string): Promise<void> {
  const names = Object.values(tablesIn(schema)).flatMap((table) => typeof table === 'string' ? [] : [getTableConfig(table).name])
  const found = await client.unsafe<Array<{ name: string, exists: boolean, usable: boolean | null }>>(`
    select name, to_regclass('"${schema}".' || quote_ident(name)) is not null as exists,
      -- A list of rights asks for any of them.
      (select bool_and(has_table_privilege(to_regclass('"${schema}".' || quote_ident(name))::oid, needed)) from unnest(array['select', 'insert', 'update', 'delete']) needed) as usable
    from unnest(array[${names.map(text).join(', ')}]) name`)
  for (const { name, exists, usable } of found) {
    if (!exists) throw new UnfitDatabase(`The table "${name}" is missing in the schema "${schema}", although its migrations are noted as applied. Restore it, or set DATABASE_SCHEMA to another schema.`)
    if (usable !== true) throw new UnfitDatabase(`The role may not read and write the table "${name}" in the schema "${schema}". docs/postgres.md lists the rights that it needs.`)
  }
  const callable = await client.unsafe<Array<{ name: string, exists: boolean, usable: boolean | null }>>(`
    select name, to_regprocedure('"${schema}".' || name) is not null as exists, has_function_privilege(to_regprocedure('"${schema}".' || name)::oid, 'execute') as usable
    from unnest('{"${functions.join('","')}"}'::text[]) name`)
  for (const { name, exists, usable } of callable) {
    if (!exists) throw new UnfitDatabase(`The function "${name}" is missing in the schema "${schema}", although its migrations are noted as applied. Restore it, or set DATABASE_SCHEMA to another schema.`)
    if (usable !== true) throw new UnfitDatabase(`The role may not call the function "${name}" in the schema "${schema}". docs/postgres.md lists the rights that it needs.`)
  }
}

/** How many migrations the database has; 0 also where there is no schema yet. */
async function appliedMigrations (client: Sql, schema: string): Promise<number> {
  const [journal] = await client<[{ exists: boolean }]>`select to_regclass(${`"${schema}".migrations`}) is not null as exists`
  if (!journal.exists) return 0
  const [row] = await client.unsafe<[{ applied: number }]>(`select count(*)::int as applied from "${schema}".migrations`)
  return row.applied
}

interface Pending {
  readonly schema: string
  readonly applied: number
  readonly pending: readonly MigrationMeta[]
}

// Resolves to false if another process has migrated since `applied` was read. A lock of the transaction and not of the session, which a pooler would keep.
async function apply (client: Sql, { schema, applied, pending }: Pending): Promise<boolean> {
  try {
    await inOneTransaction(client, [
      'set transaction isolation level read committed',
      "select set_config('lock_timeout', '60s', true), set_config('statement_timeout', '0', true)",
      `select pg_advisory_xact_lock(${lockKey}, hashtext(${text(schema)}))`,
      `do $$ begin
        if not exists (select from pg_namespace where nspname = ${text(schema)}) then create schema "${schema}"; end if;
      end $$`,
      `create table if not exists "${schema}".migrations (number int primary key, hash text not null, applied_at timestamptz not null default clock_timestamp())`,
      `do $$ begin
        if (select count(*) from "${schema}".migrations) <> ${applied} then raise exception 'migrated meanwhile' using errcode = 'NK001'; end if;
      end $$`,
      ...pending.flatMap(({ sql: statements, hash }, index) => [
        ...statements.map((statement) => statement.trim().replace(/;$/, '').replaceAll(`"${defaultSchema}"`, `"${schema}"`)),
        `insert into "${schema}".migrations (number, hash) values (${applied + index + 1}, ${text(hash)})`
      ])
    ])
    return true
  } catch (error) {
    if ((error as { code?: string }).code === 'NK001') return false
    throw error
  }
}

interface Server {
  version: number
  standby: boolean
  readOnly: string
  fsync: string
  [column: string]: unknown
}

const isStandby = 'The database is a standby (in recovery). Point DATABASE_URL at the primary: only the primary may decide whether a key is revoked.'

interface Fault {
  when (server: Server): boolean
  say (server: Server): string
}

const faults: readonly Fault[] = [
  {
    when: ({ version }) => version < oldestVersion * 10_000,
    say: ({ version }) => `PostgreSQL ${Math.floor(version / 10_000)} is too old: version ${oldestVersion} or later is needed.`
  },
  {
    when: ({ standby }) => standby,
    say: () => isStandby
  },
  {
    when: ({ readOnly }) => readOnly === 'on',
    say: () => 'The database is read-only. Set default_transaction_read_only to off for this user, or point DATABASE_URL at the primary.'
  },
  {
    when: ({ fsync }) => fsync === 'off',
    say: () => 'The server runs with fsync = off, so it can forget a revocation that it has confirmed. Set it to on.'
  }
]

/** Throws `UnfitDatabase` unless this is a durable primary that is new enough. */
export async function assertFit (db: Database): Promise<void> {
  const [server] = await db.execute<Server>(sql`
    select current_setting('server_version_num')::int as "version",
      pg_is_in_recovery() as "standby",
      current_setting('transaction_read_only') as "readOnly",
      current_setting('fsync') as "fsync"`)
  const fault = faults.find(({ when }) => server !== undefined && when(server))
  if (fault !== undefined && server !== undefined) throw new UnfitDatabase(fault.say(server))
}
