import type { Sql } from 'postgres'
import { unavailable } from '../core/errors.ts'
import { silentLogger, type Logger } from '../core/logger.ts'
import { refuseCancelledWait } from '../db/cancelled-wait.ts'
import { borrow, connect, noteRefusedSettings, type Database } from '../db/connect.ts'
import { HistoryChoice, isUntold } from '../db/history.ts'
import { assertMigrated, migrate } from '../db/migrate.ts'
import { UnfitDatabase } from '../db/unfit-database.ts'
import { prepareFindKeys } from '../db/queries/find-keys.ts'
import type { OwnConnection } from '../db/replaceable-connection.ts'
import { isOutage, isWrongServer } from '../db/outage.ts'
import { defaultSchema } from '../db/schema.ts'
import { borrowedPool, ReplaceablePool, type Pool } from '../db/replaceable-pool.ts'
import { inTime } from '../core/in-time.ts'
import type { HostDatabase, KeysOptions } from './keys-options.ts'

export type Lookups = Pool<ReturnType<typeof prepareFindKeys>>

/** The connection pools, separate so that none waits behind another. */
export interface Databases {
  readonly lookups: Lookups
  readonly management: Pool<Database>
  /** The number of statements that `management` runs concurrently. */
  readonly managementConnections: number
  /**
   * Examines the error of a statement. If the server is not the primary, or a pooler refuses to begin, all connections are closed.
   * Returns whether the window's own connections were closed.
   */
  noteFailure (error: unknown): boolean
  /** Chooses the strategy by which the database's history is read. Rejects when the database does not answer. */
  chooseHistory (): Promise<void>
  connectWindow (): OwnConnection
  /** Closes every connection but the window's: they lead to a server that is not the primary. */
  replace (): void
  close (): Promise<void>
}

const connectionsMax = 10
const connectionsMin = 4
// Renewals of the window, and its other statements.
const windowConnections = 2
// For a database client that the host application owns; the number of its connections is not known.
const borrowedConcurrency = 8
const reachTimeoutMs = 3000
const repeatEveryMs = 60_000
const endEveryMs = 500

/** Connects when the first statement is sent. */
export function openDatabases ({ databaseUrl, databaseSchema, databaseConnectionsMax = connectionsMax, db, log = silentLogger }: KeysOptions): Databases {
  if ((databaseUrl === undefined) === (db === undefined)) throw new TypeError('Give either `databaseUrl` or `db`.')
  return db === undefined ? ownDatabases({ url: databaseUrl!, schema: databaseSchema, connectionsMax: databaseConnectionsMax, log }) : borrowedDatabases(db, { schema: databaseSchema, log })
}

interface OwnOptions {
  readonly url: string
  readonly schema: string | undefined
  readonly connectionsMax: number
  readonly log: Logger
}

function ownDatabases ({ url, schema, connectionsMax, log }: OwnOptions): Databases {
  if (!(connectionsMax >= connectionsMin)) throw new TypeError(`\`databaseConnectionsMax\` must be ${connectionsMin} or more.`)
  const shared = connectionsMax - windowConnections
  const lookupConnections = Math.max(1, Math.floor(shared * 0.4))
  const managementConnections = shared - lookupConnections
  const history = new HistoryChoice(log)
  const lookups: Lookups = new ReplaceablePool({ url, schema, max: lookupConnections, prepare: (db) => prepareFindKeys(db, () => history.strategy) })
  const management: Pool<Database> = new ReplaceablePool({ url, schema, max: managementConnections, prepare: (db) => db, onnotice: refuseCancelledWait })
  const replace = () => { for (const pool of [lookups, management]) pool.replace() }
  const chooseHistory = async () => { await history.choose(management.queries) }
  let isWithoutSettings = false
  return {
    lookups,
    management,
    managementConnections,
    noteFailure (error) {
      const isRefused = !isWithoutSettings && noteRefusedSettings(url, error)
      if (isRefused) isWithoutSettings = true
      if (isRefused || isWrongServer(error)) replace()
      if (!isUntold(error)) return isRefused
      chooseHistory().catch(() => {})
      return true
    },
    chooseHistory,
    connectWindow: () => ({ ...connect({ url, schema, max: 1 }), history: () => history.strategy }),
    replace,
    async close () {
      await Promise.all([lookups.close(), management.close()])
    }
  }
}

function borrowedDatabases (host: HostDatabase, { schema = defaultSchema, log }: { readonly schema: string | undefined, readonly log: Logger }): Databases {
  const client: Partial<Sql> | undefined = host.$client
  if (typeof client?.unsafe !== 'function') throw new TypeError('`db` is not a Drizzle database on postgres.js. Give `databaseUrl` instead: navis-keys then opens its own connections.')
  const { column, value, row } = client.options?.transform ?? {}
  if ([column, value, row].some((one) => one?.from !== undefined || one?.to !== undefined)) {
    throw new TypeError('The client of `db` has the option `transform`, which renames columns of our statements too. Hand in a client without it, or give `databaseUrl`.')
  }
  const db = borrow(host.$client, schema)
  const history = new HistoryChoice(log)
  const chooseHistory = async () => { await history.choose(db) }
  const wantsPrimary = ['primary', 'read-write'].includes(String(client.options?.target_session_attrs))
  let toldAt = -Infinity
  let isEnding = false
  return {
    lookups: borrowedPool(db, (database) => prepareFindKeys(database, () => history.strategy)),
    management: borrowedPool<Database>(db, (database) => database),
    managementConnections: borrowedConcurrency,
    noteFailure (error) {
      if (!isUntold(error)) return false
      chooseHistory().catch(() => {})
      return true
    },
    chooseHistory,
    connectWindow: () => ({ sql: withoutEnd(host.$client), schema, history: () => history.strategy }),
    // Connections of the host application are its own: we end none but those that it does not want itself. The answers of others are refused, and the log tells its operator what to do.
    replace () {
      if (wantsPrimary && !isEnding) {
        isEnding = true
        endConnectionsToStandbys(host.$client).catch(() => {}).finally(() => setTimeout(() => { isEnding = false }, endEveryMs).unref())
      }
      const now = performance.now()
      if (now - toldAt < repeatEveryMs) return
      toldAt = now
      log.warn({}, wantsPrimary
        ? 'a connection of the application leads to a standby, although `target_session_attrs` asks for the primary: its answers are refused, and it is ended (docs/upstream/postgres-js.md)'
        : 'the database client of the application leads to a standby, whose answers are refused: give the client `target_session_attrs: \'primary\'`, so that it connects to the primary only, and end the connections that it has')
    },
    async close () {}
  }
}

/**
 * For a client whose `target_session_attrs` asks for the primary: the driver does not look at what a connection leads to where the one before it ended with
 * a statement under way (docs/upstream/postgres-js.md). One statement after another, and the client takes the idle connections in turn; at once it would open others.
 */
async function endConnectionsToStandbys (client: Sql): Promise<void> {
  for (let n = 0; n < client.options.max; n++) {
    const ended = client.unsafe('select pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid()) where pg_catalog.pg_is_in_recovery()')
    // That of a connection which ends is rejected.
    await inTime(ended.then(() => {}, () => {}), reachTimeoutMs)
  }
}

// An answer that is given up closes its connection, except those of the host application.
function withoutEnd (client: Sql): Sql {
  return new Proxy(client, { get: (target, name) => name === 'end' ? async () => {} : Reflect.get(target, name) })
}

/**
 * Updates the schema, or, with `migrate: false`, says what is missing. Rejects with `unavailable` while the database cannot be
 * reached; the call can be repeated then.
 */
export async function makeReady ({ lookups, management, chooseHistory }: Databases, { databaseUrl, db, databaseSchema: schema, migrate: migrates = true }: KeysOptions): Promise<void> {
  try {
    // The host's pool may wait for much longer than we do.
    if (db !== undefined) await inTime(db.$client.unsafe('select 1'), reachTimeoutMs)
    await (migrates ? migrate : assertMigrated)(databaseUrl === undefined ? db!.$client : { url: databaseUrl, pool: management }, { schema })
    await inTime(chooseHistory(), reachTimeoutMs)
    await inTime(lookups.queries([]), reachTimeoutMs)
  } catch (error) {
    throw isRefusal(error) ? error : unavailable('The database cannot be reached, or does not answer.', error)
  }
}

// Failures that a repetition does not cure: the server has answered and refused.
function isRefusal (error: unknown): boolean {
  return error instanceof UnfitDatabase || (!isOutage(error) && /^[0-9A-Z]{5}$/.test(codeOf(error) ?? ''))
}

function codeOf (error: unknown): string | undefined {
  const { code, cause } = error as { code?: string, cause?: { code?: string } }
  return cause?.code ?? code
}
