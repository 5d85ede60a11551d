import { setTimeout as sleep } from 'node:timers/promises'
import { unavailable } from '../core/errors.ts'
import type { AuditQuery, Created, IdempotentRequest, Imported, KeyChange, KeyEdit, KeyFilter, KeyQuery, KeyStore, KeysImport, NewKey, Rotated, Rotation } from '../core/key-store.ts'
import type { Leak, TokenStore } from '../core/token-store.ts'
import type { Digest } from '../core/key-record.ts'
import type { OverviewStore, OwnersQuery } from '../core/overview.ts'
import { noPolicy, type Policy } from '../core/policy.ts'
import type { Database } from './connect.ts'
import { AnswerRefused } from '../core/window/store.ts'
import { isCancelledWait } from './cancelled-wait.ts'
import { hasCause, isConflict, isAway } from './outage.ts'
import type { EventQuery, EventStore } from '../core/events.ts'
import { listEvents, placeEvents } from './queries/events.ts'
import { eraseOwner } from './queries/erase-owner.ts'
import { listAudit } from './queries/audit.ts'
import { findRequest } from './queries/idempotency.ts'
import { importKeys } from './queries/import-keys.ts'
import { countKeys, listKeys, lookedTo, mayBeShort } from './queries/key-lists.ts'
import { editKey, findKey, insertKey, revokeKey, revokeWorkspace } from './queries/keys.ts'
import { countLongerThan, findOwner, listOwners } from './queries/overview.ts'
import { applyPolicy, findPolicy, setPolicy } from './queries/policies.ts'
import { readDeadline } from './queries/read-deadline.ts'
import { readSharedSecret } from './queries/read-shared-secret.ts'
import { endToken, revokeLeaked } from './queries/token-reports.ts'
import { recordFirstUse, rotateKey } from './queries/tokens.ts'
import { assertSynchronous } from './standbys.ts'
import type { Pool } from './replaceable-pool.ts'
import { QueueFull, StatementQueue, type Urgency } from './statement-queue.ts'

// A database that is there answers any of these in a few milliseconds.
const answerMs = 1500
// Calls beside the one that was not answered may be slow only.
const drainMs = 1500
// A large workspace is a long statement. A frozen database is noticed before it, by a short one.
const bulkAnswerMs = 30_000
// Of a pool whose size is not told.
const defaultConcurrency = 8
// Changes that meet at the clock's row each wait for the other, unless the host's database isolates them more than they need.
const conflictsMax = 50

// Events at a time that get their place.
const eventsPlaced = 1000

interface PostgresKeyStoreOptions {
  /** Of the primary. A pool that verification does not wait for. */
  readonly pool: Pool<Database>
  /** What the settings say of how long keys may live. No policy. */
  readonly policy?: Policy | undefined
  /** Statements at a time: the connections of the pool. 8. The others wait for their turn. */
  readonly concurrency?: number
  /** Whether changes are refused while the database has a standby that a commit does not wait for. `false`. */
  readonly requireSynchronous?: boolean | undefined
  /** Told what a statement was rejected with. */
  readonly onFailure?: (error: unknown) => void
}

/** The keys in Postgres: every call is bounded in time, and what comes out of an outage is `unavailable`. */
export class PostgresKeyStore implements KeyStore, TokenStore, EventStore, OverviewStore {
  readonly #pool: Pool<Database>
  readonly #queue: StatementQueue
  readonly #onFailure: (error: unknown) => void
  readonly #policy: Policy
  readonly #requireSynchronous: boolean
  #bulkCalls = 0
  #answersRefused = 0

  constructor ({ pool, policy = noPolicy, concurrency = defaultConcurrency, requireSynchronous = false, onFailure = () => {} }: PostgresKeyStoreOptions) {
    this.#pool = pool
    this.#policy = policy
    this.#requireSynchronous = requireSynchronous
    this.#queue = new StatementQueue({ concurrency })
    this.#onFailure = onFailure
  }

  /** Answers that did not prove themselves. */
  get answersRefused (): number {
    return this.#answersRefused
  }

  async create (key: NewKey, request?: IdempotentRequest): Promise<Created> {
    return await this.#change((db, call) => createKey(db, { key, request, call, settings: this.#policy }))
  }

  async import (wanted: KeysImport): Promise<Imported> {
    return await this.#bulk((db) => importKeys(db, wanted, this.#policy), 'change')
  }

  async find (workspaceId: string, keyId: string) {
    return await this.#bounded((db) => findKey(db, workspaceId, keyId))
  }

  async list (query: KeyQuery) {
    return await this.#bounded((db) => listKeys(db, query))
  }

  async lookedTo (query: KeyQuery) {
    return mayBeShort(query) ? await this.#bounded((db) => lookedTo(db, query)) : undefined
  }

  async owners (query: OwnersQuery) {
    return await this.#bounded((db) => listOwners(db, query))
  }

  async owner (query: { workspaceId: string, ownerId: string }) {
    return await this.#bounded((db) => findOwner(db, query))
  }

  async longerThan (query: { workspaceId: string, days: number }) {
    return await this.#bounded((db) => countLongerThan(db, query))
  }

  async count (query: KeyFilter & { readonly workspaceId: string }) {
    return await this.#bounded((db) => countKeys(db, query))
  }

  async edit (edit: KeyEdit) {
    return await this.#change((db) => editKey(db, edit, this.#policy))
  }

  async rotate (rotation: Rotation, request?: IdempotentRequest): Promise<Rotated> {
    return await this.#change(async (db, call) => {
      const notAfter = await deadline(db, call)
      const rotated = await rotateKey(db, rotation, { request, notAfter, settings: this.#policy })
      if (rotated?.outcome === 'late') throw away()
      return rotated ?? { outcome: 'missing' }
    })
  }

  async recordFirstUse (use: { keyId: string, ageMs: number }) {
    return await this.#change((db) => recordFirstUse(db, use))
  }

  async revokeLeaked (leaks: readonly Leak[], actor: string) {
    return await this.#change((db) => revokeLeaked(db, leaks, actor))
  }

  async endToken (digest: Digest) {
    return await this.#change((db) => endToken(db, digest))
  }

  async revoke (change: KeyChange & { readonly reason: string | undefined }) {
    return await this.#change((db) => revokeKey(db, change), answerMs, 'revoke')
  }

  async revokeWorkspace (change: { workspaceId: string, ownerId?: string | undefined, actor: string, reason: string | undefined }) {
    return await this.#bulk((db) => revokeWorkspace(db, change))
  }

  async policy (workspaceId: string) {
    return await this.#bounded((db) => findPolicy(db, workspaceId))
  }

  async setPolicy (change: { workspaceId: string, actor: string, policy: Policy }) {
    await this.#change((db) => setPolicy(db, change))
  }

  async applyPolicy (change: { workspaceId: string, actor: string }) {
    return await this.#bulk((db) => applyPolicy(db, { ...change, settings: this.#policy }))
  }

  async eraseOwner (change: { workspaceId: string, ownerId: string, actor: string }) {
    return await this.#bulk((db) => eraseOwner(db, change), 'change')
  }

  async listAudit (query: AuditQuery) {
    return await this.#bounded((db) => listAudit(db, query))
  }

  async listEvents (query: EventQuery) {
    return await this.#bounded(async (db) => {
      while (await placeEvents(db, eventsPlaced) === eventsPlaced);
      return await listEvents(db, query)
    })
  }

  async sharedSecret () {
    return await this.#bounded((db) => readSharedSecret(db))
  }

  // A large workspace is a long statement: a database that does not answer is noticed before it, by a short one.
  async #bulk<T> (work: (db: Database) => Promise<T>, urgency: Urgency = 'revoke'): Promise<T> {
    await this.sharedSecret()
    this.#bulkCalls++
    try {
      return await this.#change(work, bulkAnswerMs, urgency)
    } finally {
      this.#bulkCalls--
    }
  }

  async #change<T> (work: (db: Database, call: Call) => Promise<T>, limitMs = answerMs, urgency: Urgency = 'change'): Promise<T> {
    return await this.#bounded(async (db, call) => {
      if (this.#requireSynchronous) await assertSynchronous(db)
      return await repeated(() => work(db, call), call)
    }, limitMs, urgency)
  }

  async #bounded<T> (work: (db: Database, call: Call) => Promise<T>, limitMs = answerMs, urgency: Urgency = 'read'): Promise<T> {
    const leave = await this.#queue.enter(urgency).catch((error: unknown) => {
      throw error instanceof QueueFull ? unavailable('Too many requests wait for the database. Try again: repeating the request is safe.', error) : error
    })
    const db = this.#pool.queries
    const call: Call = { givenUp: false }
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        call.givenUp = true
        this.#giveUp(db)
        this.#queue.refuseWaiting()
        reject(away())
      }, limitMs)
    })
    try {
      return await Promise.race([work(db, call), late])
    } catch (error) {
      this.#onFailure(error)
      // It was done, or not: whatever else comes on this connection may be the answer to something else as well.
      if (error instanceof AnswerRefused) {
        this.#answersRefused++
        this.#giveUp(db)
        throw away(error)
      }
      if (hasCause(error, isCancelledWait)) throw unavailable('It is not known whether the standby has the change. Try again: repeating the request is safe.', error)
      throw isAway(error) ? away(error) : error
    } finally {
      clearTimeout(timer)
      leave()
    }
  }

  // A link that was cut without a word looks alive; only the first of the calls that notice it replaces the pool.
  #giveUp (db: Database): void {
    if (db === this.#pool.queries) this.#pool.replace(this.#bulkCalls > 0 ? bulkAnswerMs : drainMs)
  }
}

interface Call {
  givenUp: boolean
}

interface NewKeyCall {
  readonly key: NewKey
  readonly request: IdempotentRequest | undefined
  readonly call: Call
  readonly settings: Policy
}

// Two changes at once are a conflict where the database's transactions are serializable, which the session's settings cannot change behind a pooler.
async function repeated<T> (work: () => Promise<T>, call: Call): Promise<T> {
  for (let conflicts = 0; ; conflicts++) {
    try {
      return await work()
    } catch (error) {
      if (!isConflict(error) || call.givenUp || conflicts >= conflictsMax) throw error
      await sleep(Math.random() * 10)
    }
  }
}

// The key in one statement, not in a transaction of several: the driver ends the process when the server closes the connection between two.
async function createKey (db: Database, { key, request, call, settings }: NewKeyCall): Promise<Created> {
  const notAfter = await deadline(db, call)
  const made = await insertKey(db, key, { request, notAfter, settings })
  if (made.outcome === 'created') return made
  const earlier = request && await findRequest(db, key.workspaceId, request)
  if (request !== undefined && earlier !== undefined) {
    return earlier.bodyDigest.equals(request.bodyDigest) ? { outcome: 'repeated', keyId: earlier.keyId } : { outcome: 'reused' }
  }
  const { outcome } = made
  if (outcome === 'late' || outcome === 'claimed') throw away()
  return made as Exclude<typeof made, { outcome: 'late' | 'claimed' }>
}

// The caller gets a 503 then: no token may be created later that was never returned to anybody.
async function deadline (db: Database, call: Call): Promise<string> {
  const notAfter = await readDeadline(db, answerMs)
  if (call.givenUp) throw away()
  return notAfter
}

function away (cause?: unknown) {
  return unavailable('The database does not answer right now. Try again: repeating the request is safe.', cause)
}
