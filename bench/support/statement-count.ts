import postgres, { type Sql } from 'postgres'
import type { Teardowns } from '../../test/support/servers.ts'

/** Settings of a Postgres whose statements can be counted. */
export const counted = { shared_preload_libraries: 'pg_stat_statements' }

export interface StatementsAt {
  readonly calls: number
  readonly at: number
}

/** Statements that a Postgres with the settings `counted` has carried out, of all its clients but this one; those within functions are not counted. */
export class StatementCount {
  readonly #sql: Sql

  private constructor (sql: Sql) {
    this.#sql = sql
  }

  static async open (t: Teardowns, url: string): Promise<StatementCount> {
    const sql = postgres(url, { max: 1, prepare: false, onnotice: () => {} })
    t.teardown(() => sql.end({ timeout: 5 }))
    await sql.unsafe('create extension if not exists pg_stat_statements')
    return new StatementCount(sql)
  }

  async read (): Promise<StatementsAt> {
    const [row] = await this.#sql.unsafe<[{ calls: number }]>("select coalesce(sum(calls), 0)::float8 as calls from pg_stat_statements where toplevel and query not like '%pg_stat_statements%'")
    return { calls: row.calls, at: performance.now() }
  }

  /** A second, while nobody asks anything. */
  async perSecondIn (seconds: number): Promise<number> {
    const before = await this.read()
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
    const after = await this.read()
    return perSecond(before, after)
  }
}

export function perSecond (before: StatementsAt, after: StatementsAt): number {
  return (after.calls - before.calls) / (after.at - before.at) * 1000
}
