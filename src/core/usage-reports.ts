import { validate as isUuid } from 'uuid'
import type { Call } from './call-log.ts'
import { CursorSeal } from './cursor.ts'
import { KeysError } from './errors.ts'
import { noSuchKey } from './key-errors.ts'
import type { Place } from './key-store.ts'
import type { CallDecision, CountedRefusal } from './usage.ts'

/** The outcomes of a key's verifications and calls between two days. */
export interface KeyUsage {
  readonly days: ReadonlyArray<{ readonly day: string, readonly accepted: number, readonly refused: Readonly<Partial<Record<CountedRefusal, number>>> }>
  readonly tools: ReadonlyArray<{ readonly tool: string, readonly calls: number, readonly denied: number, readonly failed: number }>
  readonly last: { readonly at: number, readonly address: string | null, readonly client: string | null } | null
}

/** A call as it is listed, and when it ended. */
export type ListedCall = Omit<Call, 'workspaceId'> & { readonly at: number }

export interface CallFilter {
  readonly keyId?: string | undefined
  readonly tool?: string | undefined
  readonly decision?: CallDecision | undefined
  /** Milliseconds since the epoch; the first is included, the second is not. */
  readonly from?: number | undefined
  readonly to?: number | undefined
}

export interface CallQuery extends CallFilter {
  readonly workspaceId: string
  readonly rowsMax: number
  readonly after: Place | undefined
}

/** The recorded use of keys. Rejects with `unavailable` when the answer is not known. */
export interface UsageStore {
  /** `undefined`: the workspace has no such key. `from` and `to`: days (UTC), both included. */
  usage (query: { workspaceId: string, keyId: string, from: string, to: string }): Promise<KeyUsage | undefined>
  calls (query: CallQuery): Promise<readonly ListedCall[]>
  /** The secret that all replicas on this database share. */
  sharedSecret (): Promise<Uint8Array>
}

const defaultDays = 30
const daysMax = 400
const dayMs = 86_400_000

/** Reports whether a key was used, from where, and what it called. */
export class UsageReports {
  readonly #store: UsageStore
  readonly #today: () => number
  #seal: CursorSeal | undefined

  /** `today`: the wall clock in milliseconds since the epoch; it only chooses which days are shown when none are named. */
  constructor ({ store, today }: { readonly store: UsageStore, today (): number }) {
    this.#store = store
    this.#today = today
  }

  /** Days are `2027-01-31`, UTC. Left out: the last thirty. */
  async usage ({ workspaceId, keyId, from, to }: { workspaceId: string, keyId: string, from?: string | undefined, to?: string | undefined }): Promise<KeyUsage> {
    const last = dayOf(to ?? new Date(this.#today()).toISOString().slice(0, 10), '/to')
    const first = from === undefined ? last - (defaultDays - 1) * dayMs : dayOf(from, '/from')
    if (first > last) throw invalidDay('/from', 'Must not be after "to".')
    if (last - first > daysMax * dayMs) throw invalidDay('/from', `Must be at most ${daysMax} days before "to".`)
    // Postgres has no year 0, and no use is older than 1970.
    const usage = isUuid(keyId) ? await this.#store.usage({ workspaceId, keyId, from: textOf(Math.max(first, 0)), to: textOf(Math.max(last, 0)) }) : undefined
    if (usage === undefined) throw noSuchKey()
    return usage
  }

  /** The gateway's calls, newest first. `nextCursor` is null on the last page. */
  async calls ({ workspaceId, limit, cursor, ...filter }: CallFilter & { readonly workspaceId: string, readonly limit: number, readonly cursor?: string | undefined }): Promise<{ calls: readonly ListedCall[], nextCursor: string | null }> {
    if (filter.keyId !== undefined && !isUuid(filter.keyId)) return { calls: [], nextCursor: null }
    this.#seal ??= new CursorSeal(await this.#store.sharedSecret())
    const { keyId, tool, decision, from, to } = filter
    const name = ['calls', workspaceId, JSON.stringify([keyId, tool, decision, from, to])]
    const after = cursor === undefined ? undefined : this.#seal.open(cursor, name)
    const rows = await this.#store.calls({ ...filter, workspaceId, rowsMax: limit + 1, after })
    const calls = rows.slice(0, limit)
    const last = rows.length > limit ? calls.at(-1) : undefined
    return { calls, nextCursor: last === undefined ? null : this.#seal.seal(last, name) }
  }
}

function dayOf (text: string, pointer: string): number {
  const ms = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : NaN
  if (!Number.isFinite(ms) || textOf(ms) !== text) throw invalidDay(pointer, 'Must be a day such as 2027-01-31.')
  return ms
}

function textOf (ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}

function invalidDay (pointer: string, detail: string): KeysError {
  return new KeysError('invalid_request', { detail: 'Invalid day; see "errors".', faults: [{ pointer, detail }] })
}
