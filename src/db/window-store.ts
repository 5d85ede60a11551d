import type { Sql } from 'postgres'
import type { RenewalAnswer } from '../core/window/step.ts'
import { AnswerRefused, type Heard, type OwnRow, type PutBack, type Renewal, type WindowStore } from '../core/window/store.ts'
import type { Roll } from '../core/window/waits.ts'
import { hasCause } from './outage.ts'
import { NotPrimary } from './proof.ts'
import {
  admitMembers, countOutMember, foundLineage, joinWindow, leaveWindow, pruneRevocationLog, putBackRevocations, readRoll, renewWindow, type WindowTables
} from './queries/window.ts'
import { ReplaceableConnection, type OwnConnection } from './replaceable-connection.ts'

interface PostgresWindowStoreOptions {
  /** Opens a separate connection to the primary: `() => connect({ url, max: 1 })`. Two are open at a time. */
  connect (): OwnConnection
  /** The server is not the primary: whatever else is connected to it has to let go of it. */
  onNotPrimary? (): void
  /** Told what a statement was rejected with; answers whether the connections that there are serve no more. */
  onFailure? (error: unknown): boolean
}

/** The trust window's tables in Postgres: renewals on one connection, so that they wait for nothing, the rest on another. */
export class PostgresWindowStore implements WindowStore {
  readonly #renewals: ReplaceableConnection
  readonly #upkeep: ReplaceableConnection
  readonly #onNotPrimary: () => void
  readonly #onFailure: (error: unknown) => boolean
  #refused = 0

  constructor ({ connect, onNotPrimary = () => {}, onFailure = () => false }: PostgresWindowStoreOptions) {
    this.#renewals = new ReplaceableConnection(connect)
    this.#upkeep = new ReplaceableConnection(connect)
    this.#onNotPrimary = onNotPrimary
    this.#onFailure = onFailure
  }

  /** Answers that did not prove themselves. */
  get answersRefused (): number {
    return this.#refused
  }

  join (member: { id: string, formerId: string | undefined, windowMs: number }, signal: AbortSignal): Promise<{ rowSecret: Uint8Array }> {
    return this.#run(this.#upkeep, signal, (sql, tables) => joinWindow(sql, tables, member))
  }

  renew (renewal: Renewal, signal: AbortSignal): Promise<RenewalAnswer> {
    return this.#run(this.#renewals, signal, (sql, tables) => renewWindow(sql, tables, renewal))
  }

  roll (own: OwnRow, signal: AbortSignal): Promise<Omit<Roll, 'sentAt' | 'answeredAt'>> {
    return this.#run(this.#upkeep, signal, (sql, tables) => readRoll(sql, tables, own))
  }

  admit (own: OwnRow, until: number, signal: AbortSignal): Promise<number> {
    return this.#run(this.#upkeep, signal, (sql, tables) => admitMembers(sql, tables, own, until))
  }

  found (own: OwnRow, lineage: string, signal: AbortSignal): Promise<boolean> {
    return this.#run(this.#upkeep, signal, (sql, tables) => foundLineage(sql, tables, own, lineage))
  }

  countOut (id: string, beat: string, signal: AbortSignal): Promise<boolean> {
    return this.#run(this.#upkeep, signal, (sql, tables) => countOutMember(sql, tables, { id, beat }))
  }

  putBack (own: OwnRow, heard: Heard, signal: AbortSignal): Promise<PutBack> {
    return this.#run(this.#upkeep, signal, (sql, tables) => putBackRevocations(sql, tables, own, heard))
  }

  prune (keepRows: number, signal: AbortSignal): Promise<number> {
    return this.#run(this.#upkeep, signal, (sql, tables) => pruneRevocationLog(sql, tables, keepRows))
  }

  leave (id: string, signal: AbortSignal): Promise<void> {
    return this.#run(this.#upkeep, signal, (sql, tables) => leaveWindow(sql, tables, id))
  }

  distrust (): void {
    this.#replace()
    this.#onNotPrimary()
  }

  async close (): Promise<void> {
    await Promise.all([this.#renewals.close(), this.#upkeep.close()])
  }

  async #run<T> (connection: ReplaceableConnection, signal: AbortSignal, query: (sql: Sql, tables: WindowTables) => Promise<T>): Promise<T> {
    try {
      return await connection.run(signal, query)
    } catch (error) {
      const isElsewhere = isNotPrimary(error)
      if (error instanceof AnswerRefused || isElsewhere) this.#refused++
      if (isElsewhere) this.distrust()
      else if (this.#onFailure(error)) this.#replace()
      throw error
    }
  }

  #replace (): void {
    this.#renewals.replace()
    this.#upkeep.replace()
  }
}

/** A standby, or a server that became one: it can be connected to for a long time, and answers from the past (R10). */
export function isNotPrimary (error: unknown): boolean {
  return hasCause(error, (cause) => cause instanceof NotPrimary || cause.code === '25006')
}
