import type { Sql } from 'postgres'
import { AnswerRefused } from '../core/window/store.ts'
import { standardHistory, type HistoryStrategy } from './history.ts'

/** One connection, opened on first use: what `connect({ url, max: 1 })` returns. */
export interface OwnConnection {
  readonly sql: Sql
  /** The schema that holds our tables. */
  readonly schema: string
  /** How the database tells its history, at the moment of a statement: all connections have to ask alike. `standardHistory`. */
  history? (): HistoryStrategy
}

/** A connection that is given up, and replaced by the next query, when an answer is no longer waited for, or does not prove itself (R10). */
export class ReplaceableConnection {
  readonly #open: () => OwnConnection
  #connection: OwnConnection | undefined
  #isClosed = false

  constructor (open: () => OwnConnection) {
    this.#open = open
  }

  /** Runs `query`; when `signal` aborts first, rejects and drops the connection, on which the query may still be carried out. */
  run<T> (signal: AbortSignal, query: (sql: Sql, tables: { readonly schema: string, readonly history: HistoryStrategy }) => Promise<T>): Promise<T> {
    if (signal.aborted) return Promise.reject(signal.reason)
    if (this.#isClosed) return Promise.reject(new Error('The connection is closed.'))
    const connection = this.#connection ??= this.#open()
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.#drop(connection)
        reject(signal.reason)
      }
      signal.addEventListener('abort', giveUp, { once: true })
      query(connection.sql, { schema: connection.schema, history: connection.history?.() ?? standardHistory })
        .finally(() => { signal.removeEventListener('abort', giveUp) })
        .then(resolve, (error: unknown) => {
          // Whatever else comes on this connection may be the answer to something else as well.
          if (error instanceof AnswerRefused) this.#drop(connection)
          reject(error)
        })
    })
  }

  /** The next query gets another connection. */
  replace (): void {
    if (this.#connection !== undefined) this.#drop(this.#connection)
  }

  /** For good: later queries are rejected. */
  async close (): Promise<void> {
    this.#isClosed = true
    // A frozen server does not even say goodbye.
    await this.#connection?.sql.end({ timeout: 1 })
    this.#connection = undefined
  }

  #drop (connection: OwnConnection): void {
    if (this.#connection === connection) this.#connection = undefined
    connection.sql.end({ timeout: 0 }).catch(() => {})
  }
}
