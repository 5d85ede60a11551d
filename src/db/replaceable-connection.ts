import type { Sql } from 'postgres'

/** One connection of our own, opened on first use: what `connect({ url, max: 1 })` gives. */
export interface OwnConnection {
  readonly sql: Sql
  close (): Promise<void>
}

/** A connection that is given up, and replaced by the next query, when an answer is no longer waited for. */
export class ReplaceableConnection {
  readonly #open: () => OwnConnection
  #connection: OwnConnection | undefined

  constructor (open: () => OwnConnection) {
    this.#open = open
  }

  /** Runs `query`; when `signal` aborts first, rejects and drops the connection, on which the query may still be carried out. */
  run<T> (signal: AbortSignal, query: (sql: Sql) => Promise<T>): Promise<T> {
    signal.throwIfAborted()
    const connection = this.#connection ??= this.#open()
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        if (this.#connection === connection) this.#connection = undefined
        connection.sql.end({ timeout: 0 }).catch(() => {})
        reject(signal.reason)
      }
      signal.addEventListener('abort', giveUp, { once: true })
      query(connection.sql)
        .finally(() => signal.removeEventListener('abort', giveUp))
        .then(resolve, reject)
    })
  }

  async close (): Promise<void> {
    await this.#connection?.close()
    this.#connection = undefined
  }
}
