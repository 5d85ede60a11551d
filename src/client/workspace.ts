import type { Transport } from './transport.ts'
import type {
  AuditFilter, AuditPage, CallFilter, CallPage, ImportedKey, ImportResult, Key, KeyChange, KeyFilter, KeyPage, KeyWithToken, NewKey, NewPolicy, PageOptions, Policy, Rotation, Usage, UsagePeriod
} from './wire-types.ts'

export interface CallOptions {
  /** Gives the call up. A change may have been made, or be made later. */
  readonly signal?: AbortSignal | undefined
}

export interface CreateOptions extends CallOptions {
  /** The same one with the same key makes one key within 24 hours. A new one for each call. */
  readonly idempotencyKey?: string | undefined
}

export interface RevokeOptions extends CallOptions {
  readonly reason?: string | undefined
}

/** The keys of one workspace; with a management token. */
export class Workspace {
  readonly id: string
  readonly #path: string
  readonly #transport: Transport

  constructor (transport: Transport, id: string) {
    this.id = id
    this.#transport = transport
    this.#path = `/v1/workspaces/${encodeURIComponent(id)}`
  }

  /**
   * Makes a key; its token is in the answer and never again. When the answer to an attempt is lost after the key was made, repeating
   * rejects with `already_created` and `keyId`: revoke that key and make another.
   */
  async create (key: NewKey, { idempotencyKey = crypto.randomUUID(), signal }: CreateOptions = {}): Promise<KeyWithToken> {
    return await this.#transport.send({ method: 'POST', path: `${this.#path}/keys`, json: key, idempotencyKey, isChange: true, signal }) as KeyWithToken
  }

  /** A page, newest first; `next_cursor` is null on the last one. */
  async list ({ signal, ...query }: KeyFilter & PageOptions & CallOptions = {}): Promise<KeyPage> {
    return await this.#transport.send({ method: 'GET', path: `${this.#path}/keys`, query: { ...query }, signal }) as KeyPage
  }

  /** Every key, newest first, a page at a time. */
  async * all (options: KeyFilter & CallOptions = {}): AsyncGenerator<Key, void, void> {
    let cursor: string | undefined
    do {
      const page: KeyPage = await this.list({ ...options, limit: 200, cursor })
      yield * page.keys
      cursor = page.next_cursor ?? undefined
    } while (cursor !== undefined)
  }

  async get (keyId: string, { signal }: CallOptions = {}): Promise<Key> {
    return await this.#transport.send({ method: 'GET', path: this.#pathOf(keyId), signal }) as Key
  }

  /** Whatever narrows the key is in force on every replica when this resolves. */
  async update (keyId: string, change: KeyChange, { signal }: CallOptions = {}): Promise<Key> {
    return await this.#transport.send({ method: 'PATCH', path: this.#pathOf(keyId), json: change, isChange: true, signal }) as Key
  }

  /** When this resolves, every replica refuses the key. Repeating does no harm. */
  async revoke (keyId: string, { reason, signal }: RevokeOptions = {}): Promise<void> {
    await this.#transport.send({ method: 'DELETE', path: this.#pathOf(keyId), json: reason === undefined ? undefined : { reason }, isChange: true, signal })
  }

  /**
   * Gives the key a new token, which is in the answer and never again. With a grace of 0 every replica refuses the one before when this
   * resolves. When the answer to an attempt is lost, repeating rejects with `already_rotated`: rotate once more.
   */
  async rotate (keyId: string, rotation: Rotation = {}, { idempotencyKey = crypto.randomUUID(), signal }: CreateOptions = {}): Promise<KeyWithToken> {
    return await this.#transport.send({ method: 'POST', path: `${this.#pathOf(keyId)}/rotate`, json: rotation, idempotencyKey, isChange: true, signal }) as KeyWithToken
  }

  /** Revokes every key of the workspace, or of one owner in it; when this resolves, every replica refuses them. */
  async revokeAll ({ owner_id: ownerId, reason, signal }: RevokeOptions & { readonly owner_id?: string | undefined } = {}): Promise<{ readonly revoked: number }> {
    return await this.#transport.send({ method: 'POST', path: `${this.#path}/keys/revoke-all`, json: { owner_id: ownerId, reason }, isChange: true, signal }) as { revoked: number }
  }

  async policy ({ signal }: CallOptions = {}): Promise<Policy> {
    return await this.#transport.send({ method: 'GET', path: `${this.#path}/policy`, signal }) as Policy
  }

  /** Replaces the whole policy: what is left out is none. */
  async setPolicy (policy: NewPolicy, { signal }: CallOptions = {}): Promise<Policy> {
    return await this.#transport.send({ method: 'PUT', path: `${this.#path}/policy`, json: policy, isChange: true, signal }) as Policy
  }

  /** Who did what to which key when: a page, newest first. */
  async audit ({ signal, ...query }: AuditFilter & PageOptions & CallOptions = {}): Promise<AuditPage> {
    return await this.#transport.send({ method: 'GET', path: `${this.#path}/audit`, query: { ...query }, signal }) as AuditPage
  }

  /** Takes over keys of another system by the SHA-256 of their tokens, up to 1,000, all of them or none. Repeating does no harm: tokens that are there already are counted and left as they are. */
  async import (keys: readonly ImportedKey[], { signal }: CallOptions = {}): Promise<ImportResult> {
    return await this.#transport.send({ method: 'POST', path: `${this.#path}/keys/import`, json: { keys }, isChange: true, signal }) as ImportResult
  }

  /** What a key was used for, by day and by tool, and who used it last. */
  async usage (keyId: string, { signal, ...query }: UsagePeriod & CallOptions = {}): Promise<Usage> {
    return await this.#transport.send({ method: 'GET', path: `${this.#pathOf(keyId)}/usage`, query, signal }) as Usage
  }

  /** The calls through the gateway: a page, newest first. */
  async calls ({ signal, ...query }: CallFilter & PageOptions & CallOptions = {}): Promise<CallPage> {
    return await this.#transport.send({ method: 'GET', path: `${this.#path}/calls`, query, signal }) as CallPage
  }

  #pathOf (keyId: string): string {
    return `${this.#path}/keys/${encodeURIComponent(keyId)}`
  }
}
