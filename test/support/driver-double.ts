import type { Sql } from 'postgres'

export type Rows = ReadonlyArray<Record<string, unknown>>

/** What becomes of an answer; `before` is the last good answer to a statement of the same kind. */
export interface Distortion {
  readonly name: string
  distort (rows: Rows, before: Rows): Rows
}

/** Changes one member of the JSON, or one column, of each row that has it. */
export const changed = (name: string, value: unknown) => (rows: Rows): Rows => rows.map((row) => {
  if (typeof row['answer'] === 'string') {
    const answer = JSON.parse(row['answer']) as Record<string, unknown>
    return name in answer ? { answer: JSON.stringify({ ...answer, [name]: value }) } : row
  }
  return name in row ? { ...row, [name]: value } : row
})

/** Whatever a driver, or a pooler, may hand a statement in place of its answer. */
export const distortions: readonly Distortion[] = [
  { name: 'an empty list', distort: () => [] },
  { name: 'one row less', distort: (rows) => rows.filter((row) => Object.keys(row).length > 0).slice(1) },
  { name: 'one row more', distort: (rows) => [...rows, ...rows.filter((row) => Object.keys(row).length > 0)] },
  { name: 'the answer of another statement', distort: () => [{ n: 1 }] },
  { name: 'an older answer of the same statement', distort: (_rows, before) => before },
  { name: 'the answer of a standby', distort: (rows) => changed('primary', false)(changed('is_primary', false)(rows)) },
  { name: 'a text for a number', distort: (rows) => changed('seq', 'seven')(rows) },
  { name: 'a number that is none', distort: (rows) => changed('seq', -1)(rows) },
  { name: 'nothing for a number', distort: (rows) => changed('seq', null)(rows) }
]

interface Query extends Promise<Rows> {
  simple (): Query
  values (): Query
}

/** A client whose answers are distorted while `distort` is set, those of statements that match `only`, and kept while it is not. */
export class DriverDouble {
  distort: Distortion['distort'] | undefined
  only: RegExp = /./
  distorted = 0
  ended = 0
  readonly #kept = new Map<string, Rows>()
  readonly sql: Sql

  constructor (sql: Sql) {
    this.sql = new Proxy(sql, {
      get: (target, name) => {
        if (name === 'end') return async () => { this.ended++ }
        if (name !== 'unsafe') return Reflect.get(target, name) as unknown
        return (...given: Parameters<Sql['unsafe']>) => this.#wrapped(target.unsafe(...given) as unknown as Query, given[0])
      }
    })
  }

  // The driver sends a query when its answer is asked for, and may be told before how to send it.
  #wrapped (query: Query, text: string): Query {
    const double: Query = new Proxy(query, {
      get: (target, name) => {
        if (name === 'then') return (...next: Parameters<Promise<Rows>['then']>) => target.then((rows) => this.#answered(text, rows)).then(...next)
        if (name === 'catch') return (next: (error: unknown) => Rows) => double.then(undefined, next)
        if (name === 'finally') return (next: () => void) => double.then(async (rows) => { next(); return rows }, (error: unknown) => { next(); throw error })
        if (name === 'simple' || name === 'values') return () => { target[name](); return double }
        return Reflect.get(target, name) as unknown
      }
    })
    return double
  }

  #answered (text: string, rows: Rows): Rows {
    if (!this.only.test(text)) return rows
    const kind = text.slice(0, 160)
    const flat = rows.flat() as unknown as Rows
    if (this.distort === undefined) {
      if (flat.some((row) => Object.keys(row).length > 0)) this.#kept.set(kind, flat)
      return rows
    }
    this.distorted++
    return this.distort(flat, this.#kept.get(kind) ?? [])
  }
}
