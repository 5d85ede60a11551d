import { unavailable } from '../core/errors.ts'
import type { AuditQuery, Created, CreateRequest, KeyChange, KeyEdit, KeyQuery, KeyStore, NewKey } from '../core/key-store.ts'
import type { Database } from './connect.ts'
import { isOutage } from './outage.ts'
import { editKey } from './queries/edit-key.ts'
import { findKey } from './queries/find-key.ts'
import { findRequest } from './queries/find-request.ts'
import { insertKey } from './queries/insert-key.ts'
import { listAudit } from './queries/list-audit.ts'
import { listKeys } from './queries/list-keys.ts'
import { readDeadline } from './queries/read-deadline.ts'
import { readSharedSecret } from './queries/read-shared-secret.ts'
import { revokeKey } from './queries/revoke-key.ts'
import { revokeWorkspace } from './queries/revoke-workspace.ts'
import type { Pool } from './replaceable-pool.ts'

// A database that is there answers any of these in a few milliseconds.
const answerMs = 1500
// Calls beside the one that was not answered may be slow only.
const drainMs = 1500
// A large workspace is a long statement. A frozen database is noticed before it, by a short one.
const bulkAnswerMs = 30_000
// What a frozen database has not answered stays in memory: more than this is refused at once.
const callsMax = 200

interface PostgresKeyStoreOptions {
  /** Of the primary. A pool that verification does not wait for. */
  readonly pool: Pool<Database>
  /**
   * How many warnings the server has sent on that pool. A wait for a synchronous standby that was cancelled shows in no other way:
   * the commit answers success.
   */
  readonly warnings?: () => number
}

/** The keys in Postgres: every call is bounded in time, and what comes out of an outage is `unavailable`. */
export class PostgresKeyStore implements KeyStore {
  readonly #pool: Pool<Database>
  readonly #warnings: () => number
  #calls = 0
  #bulkCalls = 0

  constructor ({ pool, warnings = () => 0 }: PostgresKeyStoreOptions) {
    this.#pool = pool
    this.#warnings = warnings
  }

  async create (key: NewKey, request?: CreateRequest): Promise<Created> {
    return await this.#change((db, call) => createKey(db, key, request, call))
  }

  async find (workspaceId: string, keyId: string) {
    return await this.#bounded((db) => findKey(db, workspaceId, keyId))
  }

  async list (query: KeyQuery) {
    return await this.#bounded((db) => listKeys(db, query))
  }

  async edit (edit: KeyEdit) {
    return await this.#change((db) => editKey(db, edit))
  }

  async revoke (change: KeyChange & { readonly reason: string | undefined }) {
    return await this.#change((db) => revokeKey(db, change))
  }

  async revokeWorkspace (change: { workspaceId: string, actor: string, reason: string | undefined }) {
    await this.sharedSecret()
    this.#bulkCalls++
    try {
      return await this.#change((db) => revokeWorkspace(db, change), bulkAnswerMs)
    } finally {
      this.#bulkCalls--
    }
  }

  async listAudit (query: AuditQuery) {
    return await this.#bounded((db) => listAudit(db, query))
  }

  async sharedSecret () {
    return await this.#bounded((db) => readSharedSecret(db))
  }

  async #change<T> (work: (db: Database, call: Call) => Promise<T>, limitMs = answerMs): Promise<T> {
    const before = this.#warnings()
    const answer = await this.#bounded(work, limitMs)
    if (this.#warnings() !== before) throw unavailable('It is not certain that the change is safe on the standby. Try again: repeating it does no harm.')
    return answer
  }

  async #bounded<T> (work: (db: Database, call: Call) => Promise<T>, limitMs = answerMs): Promise<T> {
    if (this.#calls >= callsMax) throw away()
    this.#calls++
    const db = this.#pool.queries
    const call: Call = { givenUp: false }
    const answer = work(db, call).finally(() => { this.#calls-- })
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        call.givenUp = true
        this.#giveUp(db)
        reject(away())
      }, limitMs)
    })
    try {
      return await Promise.race([answer, late])
    } catch (error) {
      throw isOutage(error) ? away(error) : error
    } finally {
      clearTimeout(timer)
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

// The key in one statement, not in a transaction of several: the driver ends the process when the server closes the connection between two.
async function createKey (db: Database, key: NewKey, request: CreateRequest | undefined, call: Call): Promise<Created> {
  // The caller goes with a 503 then: no key must appear later whose token nobody was given.
  const notAfter = await readDeadline(db, answerMs)
  if (call.givenUp) throw away()
  const made = await insertKey(db, key, { request, notAfter })
  if (made !== undefined) return { outcome: 'created', key: made }
  const earlier = request && await findRequest(db, key.workspaceId, request)
  if (request !== undefined && earlier !== undefined) {
    return earlier.bodyDigest.equals(request.bodyDigest) ? { outcome: 'repeated', keyId: earlier.keyId } : { outcome: 'reused' }
  }
  if (key.expiresAt !== null) return { outcome: 'expiry_past' }
  throw away()
}

function away (cause?: unknown) {
  return unavailable('The database does not answer right now. Try again: repeating the request does no harm.', cause)
}
