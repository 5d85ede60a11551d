import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import { defaultSchema, tablesIn, type Tables } from './schema.ts'

/** A database and where our tables are in it: a statement names `db.tables`, whatever schema they are in. */
export type Database = PostgresJsDatabase & { readonly tables: Tables }

interface ConnectOptions {
  /**
   * `postgres://user:password@host:port/database`, of the primary. With `?host=/folder` in it, as libpq has it,
   * the unix socket in that folder.
   */
  readonly url: string
  /** The schema that holds our tables. `navis_keys`. */
  readonly schema?: string | undefined
  /** Connections at most. 10. They are opened when needed. */
  readonly max?: number
  /** What the server shows of a connection. `navis-keys`. */
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

/** A pool of connections. Opens none by itself: a server that is away is the business of whoever asks it something. */
export function connect ({ url, schema = defaultSchema, max = 10, applicationName = 'navis-keys', isKept = false, onnotice = () => {}, onclose = () => {} }: ConnectOptions): Connection {
  const { address, socketFolder } = splitUrl(url)
  const sql = postgres(address, {
    ...(socketFolder === undefined ? {} : { host: socketFolder }),
    max,
    onnotice,
    onclose,
    ...isKept && { max_lifetime: null, idle_timeout: 0 },
    // The driver repeats a prepared statement whose plan the server has given up, and lets others go in between: they get each other's
    // answers, or none. See docs/upstream/postgres-js.md.
    prepare: false,
    connect_timeout: 2,
    keep_alive: 10,
    // The driver asks for the array types on each new connection, and when that question fails nobody handles it: the process would
    // end with the link. Arrays are passed as text here.
    fetch_types: false,
    // The driver's own waits grow to 20 s: long after the server is back, the service would still be away.
    backoff: () => 0.1 + Math.random() / 10,
    connection: { application_name: applicationName }
  })
  return {
    db: withTables(drizzle(sql), schema),
    sql,
    schema,
    close: async () => { await sql.end({ timeout: 5 }) }
  }
}

/** A database on the client of a host application. A Drizzle of the host's own may be of another version than ours. */
export function borrow (client: postgres.Sql, schema: string): Database {
  return withTables(drizzle(client), schema)
}

/** The same database, which knows in addition where our tables are; the database itself is not changed. */
function withTables (db: PostgresJsDatabase, schema: string): Database {
  return Object.create(db, { tables: { value: tablesIn(schema) } }) as Database
}

// The error of `new URL` shows its input, and that may hold a password.
function splitUrl (text: string): { address: string, socketFolder: string | undefined } {
  if (!URL.canParse(text)) throw new TypeError('The database URL is not a URL. It looks like postgres://user:password@host:5432/database.')
  const url = new URL(text)
  const socketFolder = url.searchParams.get('host') ?? undefined
  url.searchParams.delete('host')
  return { address: socketFolder === undefined ? text : url.href, socketFolder }
}
