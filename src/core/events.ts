import { validate as isUuid } from 'uuid'
import { invalid } from './key-errors.ts'
import type { ManagedKey } from './key-record.ts'

/** For how many days events can be asked for. */
export const eventDays = 30

export const eventTypes = [
  'key.created', 'key.updated', 'key.rotated', 'key.revoked', 'key.expiring', 'key.expired', 'key.unused', 'key.leaked', 'key.ended_token_used'
] as const

/** What happened to a key. */
export type EventType = typeof eventTypes[number]

/** An event as it is shown: the key is as it was when it happened. */
export interface KeyEvent {
  readonly id: string
  readonly type: EventType
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly keyId: string
  readonly key: ManagedKey
  /** Of `key.expiring`: within how many days. */
  readonly days: number | undefined
}

export interface EventQuery {
  /** The id of an event: only those that come after it. Left out: from the oldest on. */
  readonly after?: string | undefined
  readonly rowsMax: number
}

export interface EventStore {
  /** In the order of delivery; `undefined` if `after` is not a known event. Rejects with `unavailable` when the answer is not known. */
  listEvents (query: EventQuery): Promise<readonly KeyEvent[] | undefined>
}

/** Lists what happened to keys, for programs that poll instead of receiving webhooks. */
export class EventFeed {
  readonly #store: EventStore

  constructor ({ store }: { readonly store: EventStore }) {
    this.#store = store
  }

  /** `nextAfter` is the `after` of the next request; null while there has never been an event. */
  async list ({ after, limit }: { readonly after: string | undefined, readonly limit: number }): Promise<{ events: readonly KeyEvent[], nextAfter: string | null }> {
    const events = after === undefined || isUuid(after) ? await this.#store.listEvents({ after, rowsMax: limit }) : undefined
    if (events === undefined) {
      throw invalid([{ pointer: '/after', detail: `Must be the id of an event of the last ${eventDays} days. Omit it to start with the oldest event that is kept.` }])
    }
    return { events, nextAfter: events.at(-1)?.id ?? after ?? null }
  }
}
