import type { Sql } from 'postgres'

/** One connection of our own, opened on first use: what `connect({ url, max: 1 })` gives. */
export interface OwnConnection {
  readonly sql: Sql
  /** The schema that holds our tables. */
  readonly schema: string
}

/** A connection that is given up, and replaced by the next query, when an answer is no longer waited for. */
export class ReplaceableConnection {
  readonly #open: () => OwnConnection
  #connection: OwnConnection | undefined
  #isClosed = false

  constructor (open: () => OwnConnection) {
    this.#open = open
  }

  /** Runs `query`; when `signal` aborts first, rejects and drops the connection, on which the query may still be carried out. */
  run<T> (signal: AbortSignal, query: (sql: Sql, schema: string) => Promise<T>): Promise<T> {
    signal.throwIfAborted()
    if (this.#isClosed) return Promise.reject(new Error('The connection is closed.'))
    const connection = this.#connection ??= this.#open()
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        if (this.#connection === connection) this.#connection = undefined
        connection.sql.end({ timeout: 0 }).catch(() => {})
        reject(signal.reason)
      }
      signal.addEventListener('abort', giveUp, { once: true })
      query(connection.sql, connection.schema)
        .finally(() => signal.removeEventListener('abort', giveUp))
        .then(resolve, reject)
    })
  }

  /** For good: later queries are rejected. */
  async close (): Promise<void> {
    this.#isClosed = true
    // A frozen server does not even say goodbye.
    await this.#connection?.sql.end({ timeout: 1 })
    this.#connection = undefined
  }
}
