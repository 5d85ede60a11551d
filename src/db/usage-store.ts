import type { AgedCall } from '../core/call-log.ts'
import { unavailable } from '../core/errors.ts'
import { inTime } from '../core/in-time.ts'
import type { Digest } from '../core/key-record.ts'
import type { UsageBatch, UsageGap } from '../core/usage.ts'
import type { CallQuery, UsageStore } from '../core/usage-reports.ts'
import { AnswerRefused } from '../core/window/store.ts'
import type { Database } from './connect.ts'
import { isAway } from './outage.ts'
import { insertCalls, listCalls } from './queries/calls.ts'
import { readSharedSecret } from './queries/read-shared-secret.ts'
import { recordEndedUse } from './queries/tokens.ts'
import { readUsage, recordGap, recordUsage } from './queries/usage.ts'
import type { Pool } from './replaceable-pool.ts'

const readMs = 3000
const writeMs = 5000
const drainMs = 1500

interface PostgresUsageStoreOptions {
  /** For reports. */
  readonly reads: Pool<Database>
  /** For writing the uses of keys. */
  readonly writes: Pool<Database>
}

/** What keys were used for, in Postgres. Bounded in time; what comes out of an outage is `unavailable`. */
export class PostgresUsageStore implements UsageStore {
  readonly #reads: Pool<Database>
  readonly #writes: Pool<Database>

  constructor ({ reads, writes }: PostgresUsageStoreOptions) {
    this.#reads = reads
    this.#writes = writes
  }

  async usage (query: { workspaceId: string, keyId: string, from: string, to: string }) {
    return await this.#answered((db) => readUsage(db, query))
  }

  async calls (query: CallQuery) {
    return await this.#answered((db) => listCalls(db, query))
  }

  async sharedSecret () {
    return await this.#answered((db) => readSharedSecret(db))
  }

  async recordUses (batch: UsageBatch): Promise<void> {
    await inTime(recordUsage(this.#writes.queries, batch), writeMs, () => { this.#writes.replace() })
  }

  async recordEndedUse (digests: readonly Digest[]): Promise<void> {
    await inTime(recordEndedUse(this.#writes.queries, digests), writeMs, () => { this.#writes.replace() })
  }

  async recordGap (gap: UsageGap): Promise<void> {
    await inTime(recordGap(this.#writes.queries, gap), writeMs, () => { this.#writes.replace() })
  }

  async recordCalls (calls: readonly AgedCall[]): Promise<void> {
    await inTime(insertCalls(this.#writes.queries, calls), writeMs, () => { this.#writes.replace() })
  }

  async #answered<T> (ask: (db: Database) => Promise<T>): Promise<T> {
    let isLate = false
    try {
      return await inTime(ask(this.#reads.queries), readMs, () => {
        isLate = true
        this.#reads.replace(drainMs)
      })
    } catch (error) {
      if (error instanceof AnswerRefused) this.#reads.replace(drainMs)
      throw isLate || isAway(error) ? unavailable('The database does not answer right now. Try again.', error) : error
    }
  }
}
