import { setTimeout as sleep } from 'node:timers/promises'
import { digestToBytes } from '../../src/core/key-record.ts'
import { TokenFormat } from '../../src/core/token.ts'
import type { Answer } from './connection.ts'
import type { KeyPool } from './key-pool.ts'
import { waitOf, type Latencies } from './latencies.ts'
import type { Ledger, Restriction, TrackedKey } from './ledger.ts'
import type { Random } from './random.ts'
import type { ReplicaClient } from './replica-client.ts'
import type { Troubles } from './troubles.ts'

interface ChangesOptions {
  readonly ledger: Ledger
  readonly pool: KeyPool
  readonly random: Random
  readonly troubles: Troubles
  readonly latencies: Latencies
  readonly windowMs: number
  clients (): readonly ReplicaClient[]
}

interface Request {
  readonly method: 'DELETE' | 'PATCH' | 'POST' | 'PUT'
  readonly path: string
  readonly body?: Readonly<Record<string, unknown>>
}

interface RestrictOptions {
  readonly restriction: Restriction
  readonly keys: readonly TrackedKey[]
  readonly request: Request
  /** What to ask for when the first attempt did not return; without it the same again. */
  readonly retry?: Request
  /** Where to try first; then wherever a replica answers. */
  readonly first?: ReplicaClient
  returned? (answer: Answer): void
  /** Nobody asks about the keys when it has returned: no replica reads them anew. */
  readonly isUnseen?: boolean
}

/** Wall-clock expiry against the monotonic clock here: both are read in milliseconds, and the database rounds. */
const expirySlackMs = 5
const retryMs = 60
const dayMs = 86_400_000
/** Probes on return may queue this deep, so that a frozen replica gets them too. */
const probeDepth = 32

const tokens = new TokenFormat()

/** Makes keys and takes their rights away, as a client would that tries again elsewhere until it is told success. */
export class Changes {
  readonly #options: ChangesOptions
  readonly made: Record<Restriction | 'created' | 'renamed', number> = { revoke: 0, expiry: 0, workspace: 0, owner: 0, rotation: 0, policy: 0, created: 0, renamed: 0 }
  /** Attempts that were answered 503, and attempts without an answer. */
  readonly attempts = { unavailable: 0, lost: 0 }
  /** Answers that the contract does not know here. */
  readonly surprises: string[] = []
  #pending = 0
  #givenUp = false

  constructor (options: ChangesOptions) {
    this.#options = options
  }

  /** Changes that have been asked for and have not returned yet. */
  get pending (): number {
    return this.#pending
  }

  /** The run is over, whatever has not returned: what is under way rejects. */
  giveUp (): void {
    this.#givenUp = true
  }

  /** Undefined when the replica did not make it. */
  async create (client: ReplicaClient, workspaceId: string, ownerId?: string): Promise<TrackedKey | undefined> {
    const answer = await client.call({
      method: 'POST', path: `/v1/workspaces/${workspaceId}/keys`, body: { name: 'torture', scope: 'mcp:read', ...ownerId !== undefined && { owner_id: ownerId } }, timeoutMs: 5000
    })
    if (answer.status !== 201) {
      this.#note(answer, 'create')
      return undefined
    }
    const { id, token } = JSON.parse(answer.body) as { id: string, token: string }
    this.made.created++
    return this.#options.ledger.add({ id, workspaceId, token })
  }

  /** A key of another system, made days ago: the shortest life that a policy can give has ended by now. */
  async importOld (client: ReplicaClient, workspaceId: string): Promise<TrackedKey | undefined> {
    const { token, digest } = tokens.mint()
    const answer = await client.call({
      method: 'POST',
      path: `/v1/workspaces/${workspaceId}/keys/import`,
      body: { keys: [{ token_sha256: digestToBytes(digest).toString('hex'), name: 'torture', scope: 'mcp:read', created_at: new Date(Date.now() - 3 * dayMs).toISOString() }] },
      timeoutMs: 5000
    })
    if (answer.status !== 201) {
      this.#note(answer, 'import')
      return undefined
    }
    this.made.created++
    // The answer has no ids, and nothing asks for this key by its own.
    return this.#options.ledger.add({ id: `imported into ${workspaceId}`, workspaceId, token })
  }

  async revoke (key: TrackedKey, first?: ReplicaClient): Promise<void> {
    await this.restrict({ restriction: 'revoke', keys: [key], request: { method: 'DELETE', path: pathOf(key) }, ...(first && { first }) })
  }

  /** Without a look at what became of it: what a cache holds of the key stays as it is. */
  async revokeUnseen (key: TrackedKey): Promise<void> {
    await this.restrict({ restriction: 'revoke', keys: [key], request: { method: 'DELETE', path: pathOf(key) }, isUnseen: true })
  }

  /** Two replicas are asked at once; what either says counts. */
  async revokeTwice (key: TrackedKey, [one, other]: readonly [ReplicaClient, ReplicaClient]): Promise<void> {
    await Promise.all([this.revoke(key, one), this.revoke(key, other)])
  }

  /** Rights end `afterMs` from now, or when the change has returned, whichever is later. */
  async expire (key: TrackedKey, afterMs: number): Promise<void> {
    const request: Request = { method: 'PATCH', path: pathOf(key), body: { expires_at: new Date(Date.now() + afterMs).toISOString() } }
    await this.restrict({ restriction: 'expiry', keys: [key], request, retry: { method: 'DELETE', path: pathOf(key) } })
  }

  async revokeWorkspace (workspaceId: string, keys: readonly TrackedKey[]): Promise<void> {
    await this.restrict({ restriction: 'workspace', keys, request: { method: 'POST', path: `/v1/workspaces/${workspaceId}/keys/revoke-all` } })
  }

  async revokeOwner (workspaceId: string, ownerId: string, keys: readonly TrackedKey[]): Promise<void> {
    await this.restrict({ restriction: 'owner', keys, request: { method: 'POST', path: `/v1/workspaces/${workspaceId}/keys/revoke-all`, body: { owner_id: ownerId } } })
  }

  async applyPolicy (workspaceId: string, keys: readonly TrackedKey[]): Promise<void> {
    await this.restrict({ restriction: 'policy', keys, request: { method: 'PUT', path: `/v1/workspaces/${workspaceId}/policy`, body: { max_lifetime_days: 1, apply: 'all' } } })
  }

  /** The old token is refused from the return on, and the new one accepted. */
  async rotate (key: TrackedKey): Promise<void> {
    const { ledger, pool } = this.#options
    const returned = ({ body }: Answer) => {
      const { token } = JSON.parse(body) as { token: string }
      pool.addLive(ledger.add({ id: key.id, workspaceId: key.workspaceId, token }))
    }
    await this.restrict({ restriction: 'rotation', keys: [key], request: { method: 'POST', path: `${pathOf(key)}/rotate`, body: { grace_seconds: 0 } }, returned })
  }

  /** Takes nothing away: the key must go on being accepted meanwhile. */
  async rename (key: TrackedKey): Promise<void> {
    const client = this.#choose()
    if (client === undefined) return
    const answer = await client.call({ method: 'PATCH', path: pathOf(key), body: { name: `torture ${key.index}` }, timeoutMs: 5000 })
    if (answer.status === 200) this.made.renamed++
    else if (answer.status !== 409) this.#note(answer, 'rename')
  }

  /** Resolves when success was returned and every replica has been asked once more about each key. */
  async restrict (options: RestrictOptions): Promise<void> {
    const { ledger, pool, windowMs } = this.#options
    const { restriction, keys, request } = options
    this.#pending++
    const ends = restriction === 'expiry' ? monotonicOf(String(request.body?.['expires_at'])) : -Infinity
    // A replica holds the latest time that the database may show against the expiry: 1 % of the age of its window early, at most.
    const mayFrom = Math.max(performance.now(), ends - 0.02 * windowMs - expirySlackMs)
    for (const key of keys) ledger.restricting(key, restriction, mayFrom)
    const returnedAt = await this.#untilReturned(options).finally(() => { this.#pending-- })
    for (const key of keys) ledger.restricted(key, Math.max(returnedAt, ends + expirySlackMs))
    this.made[restriction] += keys.length
    if (options.isUnseen === true) return
    this.#probe(keys)
    if (ends > returnedAt) {
      await sleep(ends + expirySlackMs - returnedAt)
      this.#probe(keys)
    }
    for (const key of keys) pool.addRefused(key)
  }

  async #untilReturned ({ restriction, keys, request, retry, first, returned }: RestrictOptions): Promise<number> {
    const { ledger, troubles, latencies, windowMs } = this.#options
    let asked = request
    const begun = performance.now()
    for (let client = first ?? this.#choose(); ; client = this.#choose(client)) {
      if (client !== undefined) {
        const answer = await client.call({ ...asked, timeoutMs: waitOf(windowMs) + 3000 })
        if (answer.status === 204 || answer.status === 200 || answer.status === 201) {
          returned?.(answer)
          latencies.add(troubles.situation(answer.sentAt, answer.answeredAt, client.place), answer.answeredAt - answer.sentAt)
          return answer.answeredAt
        }
        // The request came too late for its own expiry; the retry revokes.
        const late = answer.status === 400 && Date.parse(String(asked.body?.['expires_at'])) <= Date.now()
        if (!late) this.#note(answer, restriction)
        if (performance.now() - begun > returnsWithinMs(windowMs)) {
          const text = `${restriction} of ${keys.map(({ id }) => id).join(', ')}: no success after ${((performance.now() - begun) / 1000).toFixed(0)} s; the last answer: ${answer.status} ${answer.body.slice(0, 300)}`
          this.surprises.push(text)
          throw new Error(text)
        }
      }
      await sleep(retryMs)
      if (this.#givenUp) throw new Error(`A change (${restriction}) had not returned when the run was given up.`)
      if (retry === undefined) continue
      asked = retry
      for (const key of keys) ledger.restricting(key, restriction, performance.now())
    }
  }

  #probe (keys: readonly TrackedKey[]): void {
    for (const client of this.#options.clients()) {
      for (const key of keys) client.verify(key, probeDepth)
    }
  }

  #choose (not?: ReplicaClient): ReplicaClient | undefined {
    const open = this.#options.clients()
    const others = open.filter((client) => client !== not)
    if (open.length === 0) return undefined
    return this.#options.random.pick(others.length > 0 ? others : open)
  }

  #note ({ status, body }: Answer, what: string): void {
    if (status === 503) this.attempts.unavailable++
    else if (status === 0) this.attempts.lost++
    else this.surprises.push(`${what}: ${status} ${body.slice(0, 300)}`)
  }
}

/** Longer than any fault lasts, and its healing: what has not returned by then never does. */
function returnsWithinMs (windowMs: number): number {
  return 3 * waitOf(windowMs) + 60_000
}

function pathOf (key: TrackedKey): string {
  return `/v1/workspaces/${key.workspaceId}/keys/${key.id}`
}

function monotonicOf (time: string): number {
  return Date.parse(time) - Date.now() + performance.now()
}
