import { fileURLToPath } from 'node:url'
import { sql } from 'drizzle-orm'
import { readMigrationFiles, type MigrationMeta } from 'drizzle-orm/migrator'
import type { Sql } from 'postgres'
import { connect, type Database } from './connect.ts'
import { inOneTransaction, text } from './one-transaction.ts'
import { defaultSchema } from './schema.ts'

const folder = fileURLToPath(new URL('../../drizzle', import.meta.url))
const oldestVersion = 15
// Any number will do, as long as nobody else in the database takes it: 'navis' on a telephone keypad.
const lockKey = 62847

/** A database on which the service cannot keep its promises. Trying again does not help; the message says what does. */
export class UnfitDatabase extends Error {
  constructor (message: string) {
    super(message)
    this.name = 'UnfitDatabase'
  }
}

interface MigrateOptions {
  /** The schema that holds every table, the journal of the migrations too. `navis_keys`. */
  readonly schema?: string | undefined
}

// How often another process may migrate between our reading of the journal and our lock.
const roundsMax = 5

/**
 * Brings the database to the newest schema, in one transaction: a crash leaves nothing half done. Safe with any number of
 * processes that start at once: one applies the migrations while the others wait. Everything stands in one schema of our own, so
 * that neither we nor the host application can take the other's tables or migrations for its own.
 */
export async function migrate (url: string, { schema = defaultSchema }: MigrateOptions = {}): Promise<void> {
  const { db, sql: client, close } = connect({ url, schema, max: 1 })
  try {
    await assertFit(db)
    const migrations = readMigrationFiles({ migrationsFolder: folder })
    for (let round = 0; round < roundsMax; round++) {
      const applied = await appliedMigrations(client, schema)
      const pending = migrations.slice(applied)
      if (pending.length === 0 || await apply(client, { schema, applied, pending })) return
    }
    throw new Error('Other processes keep migrating this database.')
  } finally {
    await close()
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

// Resolves to false when somebody else has migrated since `applied` was read. A lock of the transaction and not of the session, which a pooler would keep.
async function apply (client: Sql, { schema, applied, pending }: Pending): Promise<boolean> {
  try {
    await inOneTransaction(client, [
      "select set_config('lock_timeout', '60s', true)",
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
  synchronousCommit: string
  [column: string]: unknown
}

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
    say: () => 'The database is a standby (in recovery). Point DATABASE_URL at the primary: only the primary may decide whether a key is revoked.'
  },
  {
    when: ({ readOnly }) => readOnly === 'on',
    say: () => 'The database is read-only. Set default_transaction_read_only to off for this user, or point DATABASE_URL at the primary.'
  },
  {
    when: ({ synchronousCommit }) => synchronousCommit === 'off',
    say: () => 'The database runs with synchronous_commit = off, so it can forget a revocation that it has confirmed. Set it to on for this database or user.'
  }
]

/** Throws `UnfitDatabase` unless this is a durable primary that is new enough. */
export async function assertFit (db: Database): Promise<void> {
  const [server] = await db.execute<Server>(sql`
    select current_setting('server_version_num')::int as "version",
      pg_is_in_recovery() as "standby",
      current_setting('transaction_read_only') as "readOnly",
      current_setting('synchronous_commit') as "synchronousCommit"`)
  const fault = faults.find(({ when }) => server !== undefined && when(server))
  if (fault !== undefined && server !== undefined) throw new UnfitDatabase(fault.say(server))
}
