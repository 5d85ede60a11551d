import type { Notice } from 'postgres'
import { connect, type Database } from './connect.ts'

/** Where queries are made ready: on a pool of our own, or on a database that the host application owns. */
export interface Pool<T> {
  readonly queries: T
  /**
   * Gives up the connections that do not answer: the next queries get new ones. Those under way may be answered for
   * another `drainMs` (0), then they reject.
   */
  replace (drainMs?: number): void
  close (): Promise<void>
}

interface ReplaceablePoolOptions<T> {
  readonly url: string
  readonly schema?: string | undefined
  readonly max: number
  readonly prepare: (db: Database) => T
  /** Told of every notice and warning that the server sends. */
  onnotice? (notice: Notice): void
}

/**
 * A pool that is thrown away whole when it stops answering. A connection that was cut without a word would otherwise
 * look alive for as long as TCP tries, a quarter of an hour.
 */
export class ReplaceablePool<T> implements Pool<T> {
  readonly #options: ReplaceablePoolOptions<T>
  #pool
  #queries: T

  constructor (options: ReplaceablePoolOptions<T>) {
    this.#options = options
    this.#pool = connect(options)
    this.#queries = options.prepare(this.#pool.db)
  }

  get queries (): T {
    return this.#queries
  }

  replace (drainMs = 0): void {
    const { sql } = this.#pool
    this.#pool = connect(this.#options)
    this.#queries = this.#options.prepare(this.#pool.db)
    sql.end({ timeout: drainMs / 1000 }).catch(() => {})
  }

  async close (): Promise<void> {
    await this.#pool.sql.end({ timeout: 1 })
  }
}

/** Queries on a database that is the host's: nothing of it is closed or replaced. */
export function borrowedPool<T> (db: Database, prepare: (db: Database) => T): Pool<T> {
  return { queries: prepare(db), replace () {}, async close () {} }
}
