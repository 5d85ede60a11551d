import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import * as schema from './schema.ts'

export type Database = PostgresJsDatabase<typeof schema>

interface ConnectOptions {
  /**
   * `postgres://user:password@host:port/database`, of the primary. With `?host=/folder` in it, as libpq has it,
   * the unix socket in that folder.
   */
  readonly url: string
  /** Connections at most. 10. They are opened when needed. */
  readonly max?: number
  /** Told of every notice and warning that the server sends. They are dropped unless someone listens. */
  onnotice? (notice: postgres.Notice): void
}

export interface Connection {
  readonly db: Database
  readonly sql: postgres.Sql
  /** Lets queries under way finish, for at most five seconds. */
  close (): Promise<void>
}

/** A pool of connections. Opens none by itself: a server that is away is the business of whoever asks it something. */
export function connect ({ url, max = 10, onnotice = () => {} }: ConnectOptions): Connection {
  const { address, socketFolder } = splitUrl(url)
  const sql = postgres(address, {
    ...(socketFolder === undefined ? {} : { host: socketFolder }),
    max,
    onnotice,
    connect_timeout: 2,
    keep_alive: 10,
    // The driver's own waits grow to 20 s: long after the server is back, the service would still be away.
    backoff: () => 0.1 + Math.random() / 10,
    connection: { application_name: 'navis-keys' }
  })
  return {
    db: drizzle(sql, { schema }),
    sql,
    close: async () => { await sql.end({ timeout: 5 }) }
  }
}

// The error of `new URL` shows its input, and that may hold a password.
function splitUrl (text: string): { address: string, socketFolder: string | undefined } {
  if (!URL.canParse(text)) throw new TypeError('The database URL is not a URL. It looks like postgres://user:password@host:5432/database.')
  const url = new URL(text)
  const socketFolder = url.searchParams.get('host') ?? undefined
  url.searchParams.delete('host')
  return { address: socketFolder === undefined ? text : url.href, socketFolder }
}
