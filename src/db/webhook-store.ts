import type { Clock } from '../core/clock.ts'
import { inTime } from '../core/in-time.ts'
import type { Delivery, QueuedWork, WebhookStore } from '../core/webhooks.ts'
import type { Database } from './connect.ts'
import { placeEvents } from './queries/events.ts'
import { claimDeliveries, finishDelivery, nameReceivers, postponeDelivery, queueDeliveries } from './queries/webhooks.ts'
import type { Pool } from './replaceable-pool.ts'
import { StatementQueue } from './statement-queue.ts'

const answerMs = 5000
// Statements beside the one that was not answered may be slow only.
const drainMs = 1500
// Of a pool that revocations need as well.
const concurrency = 2
const rowsMax = 1000
const roundsMax = 50
const nameEveryMs = 60_000

/** Deliveries in Postgres, bounded in time. */
export class PostgresWebhookStore implements WebhookStore {
  readonly #pool: Pool<Database>
  readonly #turns = new StatementQueue({ concurrency })

  readonly #clock: Clock
  #namedAt = -Infinity

  constructor ({ pool, clock }: { readonly pool: Pool<Database>, readonly clock: Clock }) {
    this.#pool = pool
    this.#clock = clock
  }

  async queue (receivers: readonly string[]): Promise<QueuedWork> {
    const now = this.#clock.monotonicMs()
    if (now - this.#namedAt >= nameEveryMs) {
      // A new receiver gets what happens from now on: what happened before must have its place by then.
      while (await this.#ask((db) => placeEvents(db, rowsMax)) === rowsMax);
      await this.#ask((db) => nameReceivers(db, receivers))
      this.#namedAt = now
    }
    const placed = await this.#ask((db) => placeEvents(db, rowsMax))
    const work = await this.#ask((db) => queueDeliveries(db, { receivers, rowsMax }))
    return { ...work, hasMore: work.hasMore || placed === rowsMax }
  }

  async claim (wanted: { receiver: string, rowsMax: number, leaseMs: number }) {
    return await this.#ask((db) => claimDeliveries(db, wanted))
  }

  async finish (delivery: Delivery): Promise<void> {
    for (let round = 0; round < roundsMax; round++) {
      if (await this.#ask((db) => finishDelivery(db, delivery))) return
    }
    throw new Error('Another event for the receiver came first each time.')
  }

  async postpone (delivery: Delivery, delayMs: number): Promise<void> {
    await this.#ask((db) => postponeDelivery(db, delivery, delayMs))
  }

  async #ask<T> (ask: (db: Database) => Promise<T>): Promise<T> {
    const leave = await this.#turns.enter('change')
    const db = this.#pool.queries
    try {
      return await inTime(ask(db), answerMs, () => { if (db === this.#pool.queries) this.#pool.replace(drainMs) })
    } finally {
      leave()
    }
  }
}
