import { fileURLToPath } from 'node:url'
import { sql } from 'drizzle-orm'
import { migrate as applyMigrations } from 'drizzle-orm/postgres-js/migrator'
import { connect, type Database } from './connect.ts'

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

/**
 * Brings the database to the newest schema, in one transaction: a crash leaves nothing half done. Safe with any number of
 * processes that start at once: one applies the migrations while the others wait.
 */
export async function migrate (url: string): Promise<void> {
  // One connection, since the lock belongs to it; if it is lost, the lock goes with it.
  const { db, close } = connect({ url, max: 1 })
  try {
    await assertFit(db)
    // A frozen process that holds the lock must not keep all others waiting without a word.
    await db.execute(sql`set lock_timeout = '60s'`)
    await db.execute(sql`select pg_advisory_lock(${lockKey})`)
    await applyMigrations(db, { migrationsFolder: folder })
    await db.execute(sql`select pg_advisory_unlock(${lockKey})`)
    await db.execute(sql`reset lock_timeout`)
  } finally {
    await close()
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
