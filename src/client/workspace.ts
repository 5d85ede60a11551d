import type { Transport } from './transport.ts'
import type {
  AuditFilter, AuditPage, CallFilter, CallPage, ImportedKey, ImportResult, Key, KeyChange, KeyFilter, KeyPage, KeyWithToken, NewKey, NewPolicy, PageOptions, Policy, Rotation, Usage, UsagePeriod
} from './wire-types.ts'

export interface CallOptions {
  /** Ends the call. The change may still be made. */
  readonly signal?: AbortSignal | undefined
}

export interface CreateOptions extends CallOptions {
  /** Within 24 hours, the same value with the same body creates one key. Default: a new value for each call, so that repeats of this client create one key. */
  readonly idempotencyKey?: string | undefined
}

export interface RevokeOptions extends CallOptions {
  readonly reason?: string | undefined
}

/** Manages the keys of one workspace; needs a management token. All methods reject with `ServiceError`. */
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
   * Creates a key. Only this answer contains the token. If the answer is lost after the key was created, the repeat
   * rejects with `already_created` and `keyId`: revoke that key and create another one.
   */
  async create (key: NewKey, { idempotencyKey = crypto.randomUUID(), signal }: CreateOptions = {}): Promise<KeyWithToken> {
    return await this.#transport.send({ method: 'POST', path: `${this.#path}/keys`, json: key, idempotencyKey, isChange: true, signal }) as KeyWithToken
  }

  /** One page of keys, newest first; `next_cursor` is null on the last page. */
  async list ({ signal, ...query }: KeyFilter & PageOptions & CallOptions = {}): Promise<KeyPage> {
    return await this.#transport.send({ method: 'GET', path: `${this.#path}/keys`, query: { ...query }, signal }) as KeyPage
  }

  /** All keys, newest first; requests one page at a time. */
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

  /** Changes a key. When this resolves, every restriction is in force on every replica. */
  async update (keyId: string, change: KeyChange, { signal }: CallOptions = {}): Promise<Key> {
    return await this.#transport.send({ method: 'PATCH', path: this.#pathOf(keyId), json: change, isChange: true, signal }) as Key
  }

  /** Revokes a key. When this resolves, every replica refuses it. Repeating is safe. */
  async revoke (keyId: string, { reason, signal }: RevokeOptions = {}): Promise<void> {
    await this.#transport.send({ method: 'DELETE', path: this.#pathOf(keyId), json: reason === undefined ? undefined : { reason }, isChange: true, signal })
  }

  /**
   * Gives the key a new token. Only this answer contains it. With a grace of 0, every replica refuses the previous token when this
   * resolves. If the answer is lost, the repeat rejects with `already_rotated`: rotate again.
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

  /** Replaces the whole policy: an omitted field means no rule. */
  async setPolicy (policy: NewPolicy, { signal }: CallOptions = {}): Promise<Policy> {
    return await this.#transport.send({ method: 'PUT', path: `${this.#path}/policy`, json: policy, isChange: true, signal }) as Policy
  }

  /** One page of the audit trail, newest first. */
  async audit ({ signal, ...query }: AuditFilter & PageOptions & CallOptions = {}): Promise<AuditPage> {
    return await this.#transport.send({ method: 'GET', path: `${this.#path}/audit`, query: { ...query }, signal }) as AuditPage
  }

  /** Imports up to 1,000 keys of another system by the SHA-256 of their tokens: all of them or none. Repeating is safe: tokens that the workspace already has are counted and not changed. */
  async import (keys: readonly ImportedKey[], { signal }: CallOptions = {}): Promise<ImportResult> {
    return await this.#transport.send({ method: 'POST', path: `${this.#path}/keys/import`, json: { keys }, isChange: true, signal }) as ImportResult
  }

  /** The use of a key by day and by tool, and its last use. */
  async usage (keyId: string, { signal, ...query }: UsagePeriod & CallOptions = {}): Promise<Usage> {
    return await this.#transport.send({ method: 'GET', path: `${this.#pathOf(keyId)}/usage`, query, signal }) as Usage
  }

  /** One page of the calls through the gateway, newest first. */
  async calls ({ signal, ...query }: CallFilter & PageOptions & CallOptions = {}): Promise<CallPage> {
    return await this.#transport.send({ method: 'GET', path: `${this.#path}/calls`, query, signal }) as CallPage
  }

  #pathOf (keyId: string): string {
    return `${this.#path}/keys/${encodeURIComponent(keyId)}`
  }
}
