import type { Socket } from 'node:net'
import { userInfo } from 'node:os'
import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import { parseDatabaseUrl, type DatabaseAddress } from '../core/database-address.ts'
import { addressOf, failedSocket, openSocket } from './open-socket.ts'
import { hasCause } from './outage.ts'
import { defaultSchema, tablesIn, type Tables } from './schema.ts'

/** A database and where our tables are in it: a statement names `db.tables`, whatever schema they are in. */
export type Database = ClientDatabase & { readonly tables: Tables }

type ClientDatabase = PostgresJsDatabase & { readonly $client: postgres.Sql }

interface ConnectOptions {
  /**
   * `postgres://user:password@host:port/database`, of the primary: what libpq takes, and the names of files in it that are read
   * again for each connection (`core/database-address.ts`).
   */
  readonly url: string
  /** The schema that holds our tables. `navis_keys`. */
  readonly schema?: string | undefined
  /** Connections at most. 10. They are opened when needed. */
  readonly max?: number
  /** What the server shows of a connection. What the URL says, or `navis-keys`. */
  readonly applicationName?: string
  /** Whether connections stay open for as long as the server lets them. `false`. */
  readonly isKept?: boolean
  /** Told of every notice and warning that the server sends. They are dropped unless someone listens. */
  onnotice? (notice: postgres.Notice): void
  /** Told when a connection has ended. */
  onclose? (): void
}

export interface Connection {
  readonly db: Database
  readonly sql: postgres.Sql
  /** The schema that holds our tables. */
  readonly schema: string
  /** Lets queries under way finish, for at most five seconds. */
  close (): Promise<void>
}

interface SocketOptions {
  pass: string
  connection: Record<string, string>
}

// Given back when they have not been used for so long.
const idleTimeoutSeconds = 30
// The driver uses the idle connections of a pool in turn: a statement every few seconds keeps all of them in use. Each ends after one to two minutes,
// and only as many as are needed are opened again.
const sharedLifetimeSeconds = () => 60 * (1 + Math.random())

/**
 * What this service needs of a session, whatever the server, the database or the role say: a commit that is confirmed is kept, a statement sees what was
 * committed before it began. Asking for a transaction that writes makes a standby refuse the connection.
 */
const sessionSettings: Readonly<Record<string, string>> = {
  synchronous_commit: 'on',
  default_transaction_isolation: 'read committed',
  statement_timeout: '35s',
  lock_timeout: '30s',
  idle_in_transaction_session_timeout: '60s',
  transaction_read_only: 'off',
  // Compiling a list's statement takes 60 ms, a hundred times as long as running it: the planner adds up the costs of parts that are not executed.
  jit: 'off',
  // Statements name the schema of each table. With this setting a function in another schema cannot replace one of the server.
  search_path: 'pg_catalog'
}

// Poolers refuse settings of the session; what they serve has them in its statements, where it needs them.
const withoutSettings = new Set<string>()

/**
 * Whether `error` is a pooler's refusal of our settings; connections to that URL are made without them from now on. Two engines of a process may have connected with
 * them: each hears of it, and connects again once.
 */
export function noteRefusedSettings (url: string, error: unknown): boolean {
  const isRefusal = hasCause(error, ({ code, message }) => code === '08P01' && /startup parameter/.test(message))
  if (isRefusal) withoutSettings.add(url)
  return isRefusal
}

// Of several hosts, which is tried first: the one that took a connection last, and not one that let none begin.
const firstHosts = new Map<string, number>()

/** How many servers a URL names. */
export function hostsOf (url: string): number {
  return addressOf(url).hosts.length
}

/** A pool of connections, opened when they are needed: a server that is away fails the first statement, not this call. */
export function connect ({
  url, schema = defaultSchema, max = 10, applicationName, isKept = false, onnotice = () => {}, onclose = () => {}
}: ConnectOptions): Connection {
  // What files say is read for each connection: one that is away for a moment fails that connection, and nothing else.
  const { keepAliveSeconds = 10 } = parseDatabaseUrl(url)
  const hostsOfSockets = new WeakMap<Socket, number>()
  const begun = new WeakSet<Socket>()
  // The one whose bytes the driver is reading: it does not say over which connection something came.
  let reading: Socket | undefined
  let isOver = false
  const options = {
    host: 'localhost',
    port: 5432,
    // The socket is encrypted already when the driver gets it, where the address says so.
    ssl: false,
    max,
    onnotice,
    onclose,
    onparameter: (name: string, value: unknown) => {
      // The driver tells a setting only when it differs from what it knows, from whichever connection: it has to be told of each connection.
      Reflect.deleteProperty(sql.parameters, name)
      const socket = reading
      if (socket === undefined) return
      const host = hostsOfSockets.get(socket) ?? 0
      if (name === 'in_hot_standby' && value === 'on') {
        // Without our settings a standby lets connections begin, and an idle one would stay when the name leads to the primary again.
        firstHosts.set(url, host + 1)
        socket.destroy(Object.assign(new Error('The server is a standby.'), { code: '25006' }))
      } else if (!begun.has(socket)) {
        begun.add(socket)
        firstHosts.set(url, host)
      }
    },
    ...isKept ? { max_lifetime: null, idle_timeout: 0 } : { idle_timeout: idleTimeoutSeconds },
    ...max > 1 && { max_lifetime: sharedLifetimeSeconds },
    // The driver repeats a prepared statement whose plan the server has given up, and lets others go in between: they get each other's
    // answers, or none. See docs/upstream/postgres-js.md.
    prepare: false,
    connect_timeout: 2,
    keep_alive: keepAliveSeconds,
    // The driver asks for the array types on each new connection, and does not handle an error of that question: the process would
    // end when the connection is lost. Arrays are passed as text here.
    fetch_types: false,
    // The driver's own waits grow to 20 s: long after the server is back, the service would still be away.
    backoff: () => 0.1 + Math.random() / 10,
    // Told anew for each connection, since the files that the address names may have changed.
    socket: async (options: SocketOptions) => {
      let current: DatabaseAddress
      try {
        current = addressOf(url)
      } catch (error) {
        return failedSocket(error)
      }
      options.pass = current.password ?? ''
      options.connection = {
        user: current.user ?? userInfo().username,
        database: current.database ?? current.user ?? userInfo().username,
        application_name: applicationName ?? current.applicationName ?? 'navis-keys',
        ...current.options !== undefined && { options: current.options },
        ...!withoutSettings.has(url) && !current.isPooled && sessionSettings
      }
      if (isOver) return failedSocket(poolIsOver())
      let reached = 0
      const socket = await openSocket(current, { first: firstHosts.get(url) ?? 0, onHost: (i) => { reached = i } })
      if (isOver) {
        socket.destroy()
        return failedSocket(poolIsOver())
      }
      hostsOfSockets.set(socket, reached)
      socket.on('data', () => { reading = socket })
      // A server that closes a connection before it has told its settings has let none begin: a standby, one that starts, one that is full.
      socket.once('close', () => { if (!begun.has(socket)) firstHosts.set(url, reached + 1) })
      return socket
    }
  }
  // `socket` is documented, and missing in the types.
  const sql = postgres(options as unknown as postgres.Options<Record<string, never>>)
  const { end } = sql
  // A connection that is being made when the pool is ended is none of those that the driver closes: it would stay open until it has been idle for long.
  sql.end = async (options) => { await end(options).finally(() => { isOver = true }) }
  return {
    db: withTables(drizzle(sql), schema),
    sql,
    schema,
    close: async () => { await sql.end({ timeout: 5 }) }
  }
}

function poolIsOver (): Error {
  return Object.assign(new Error('The connections have been given up.'), { code: 'CONNECTION_ENDED' })
}

/** A database on the client of a host application. A Drizzle of the host's own may be of another version than ours. */
export function borrow (client: postgres.Sql, schema: string): Database {
  return withTables(drizzle(client), schema)
}

/** The same database, which knows in addition where our tables are; the database itself is not changed. */
function withTables (db: ClientDatabase, schema: string): Database {
  return Object.create(db, { tables: { value: tablesIn(schema) } }) as Database
}
