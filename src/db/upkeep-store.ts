import { inTime } from '../core/in-time.ts'
import type { Policy } from '../core/policy.ts'
import type { UpkeepStep, UpkeepStore } from '../core/upkeep.ts'
import { AnswerRefused } from '../core/window/store.ts'
import type { Database } from './connect.ts'
import { pruneAudit } from './queries/audit.ts'
import { pruneCalls } from './queries/calls.ts'
import { placeEvents, pruneEvents } from './queries/events.ts'
import { markExpired, noticeExpiring } from './queries/expiry.ts'
import { pruneKeys } from './queries/prune-keys.ts'
import { unusedStep } from './queries/unused.ts'
import { pruneUsage } from './queries/usage.ts'
import { forgetReceivers } from './queries/webhooks.ts'
import type { Pool } from './replaceable-pool.ts'
import { assertSynchronous } from './standbys.ts'

const stepMs = 10_000
// Statements beside the one that was not answered may be slow only.
const drainMs = 1500

/** The steps of the upkeep in Postgres, bounded in time. */
export class PostgresUpkeepStore implements UpkeepStore {
  readonly #pool: Pool<Database>
  readonly #policy: Policy
  readonly #requireSynchronous: boolean
  #answersRefused = 0

  constructor ({ pool, policy, requireSynchronous = false }: { readonly pool: Pool<Database>, readonly policy: Policy, readonly requireSynchronous?: boolean | undefined }) {
    this.#pool = pool
    this.#policy = policy
    this.#requireSynchronous = requireSynchronous
  }

  /** Answers that did not prove themselves. */
  get answersRefused (): number {
    return this.#answersRefused
  }

  async markExpired (rowsMax: number) {
    return await this.#step((db) => markExpired(db, rowsMax))
  }

  async noticeExpiring (step: UpkeepStep) {
    return await this.#step((db) => noticeExpiring(db, step))
  }

  async pruneAudit (step: UpkeepStep) {
    return await this.#step((db) => pruneAudit(db, step))
  }

  async pruneUsage (step: UpkeepStep) {
    return await this.#step((db) => pruneUsage(db, step))
  }

  async pruneCalls (step: UpkeepStep) {
    return await this.#step((db) => pruneCalls(db, step))
  }

  async placeEvents (rowsMax: number) {
    return await this.#step((db) => placeEvents(db, rowsMax))
  }

  async pruneEvents (step: UpkeepStep) {
    return await this.#step((db) => pruneEvents(db, step))
  }

  async pruneKeys (step: UpkeepStep) {
    return await this.#step((db) => pruneKeys(db, step))
  }

  async forgetReceivers (rowsMax: number) {
    return await this.#step((db) => forgetReceivers(db, rowsMax))
  }

  async unusedStep (rowsMax: number) {
    return await this.#step(async (db) => {
      // A revocation by a policy is one that a standby could lose, too. It can wait, and does.
      if (this.#requireSynchronous) await assertSynchronous(db)
      return await unusedStep(db, { rowsMax, settings: this.#policy })
    })
  }

  async #step<T> (ask: (db: Database) => Promise<T>): Promise<T> {
    const db = this.#pool.queries
    const giveUp = () => { if (db === this.#pool.queries) this.#pool.replace(drainMs) }
    try {
      return await inTime(ask(db), stepMs, giveUp)
    } catch (error) {
      if (error instanceof AnswerRefused) {
        this.#answersRefused++
        giveUp()
      }
      throw error
    }
  }
}
