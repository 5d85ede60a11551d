import { hash } from 'node:crypto'
import { v7 as uuidv7, validate as isUuid } from 'uuid'
import type { Clock } from './clock.ts'
import { CursorSeal } from './cursor.ts'
import { KeysError, NothingDone, unavailable, type Fault } from './errors.ts'
import { already, expiryRefused, idempotencyKeyReused, invalid, keyExpired, keyRevoked, noSuchKey } from './key-errors.ts'
import type { ManagedKey, RateLimit } from './key-record.ts'
import { canonicalCidrs, faultsOf } from './key-rules.ts'
import type { AuditEntry, AuditFilter, IdempotentRequest, KeyCount, KeyFilter, KeyOrder, KeyStore, Place } from './key-store.ts'
import type { Scope } from './scopes.ts'
import type { TokenFormat } from './token.ts'
import { committed, keyTarget } from './committed.ts'
import type { Force } from './window/trust.ts'
import { takesAway } from './window/waits.ts'

interface KeyServiceOptions {
  readonly store: KeyStore
  readonly force: Force
  readonly clock: Clock
  readonly tokens: TokenFormat
}

export interface CreateKey {
  readonly workspaceId: string
  readonly actor: string
  readonly name: string
  readonly scope: Scope
  /** Milliseconds since the epoch; null: never; left out: the policy's default, or never if there is no policy. */
  readonly expiresAt?: number | null | undefined
  readonly ownerId?: string | null | undefined
  readonly metadata?: Readonly<Record<string, string>> | undefined
  /** The address ranges that may use the key; null or left out: all. */
  readonly allowedCidrs?: readonly string[] | null | undefined
  readonly rateLimit?: RateLimit | null | undefined
  /** Repeating it with the same description within 24 hours makes no second key. */
  readonly idempotencyKey?: string | undefined
}

interface KeyName {
  readonly workspaceId: string
  readonly keyId: string
}

/** Left out: unchanged. Null: none. */
export interface UpdateKey extends KeyName {
  readonly actor: string
  readonly name?: string | undefined
  /** Milliseconds since the epoch. */
  readonly expiresAt?: number | null | undefined
  readonly allowedCidrs?: readonly string[] | null | undefined
  readonly rateLimit?: RateLimit | null | undefined
}

export interface RotateKey extends KeyName {
  readonly actor: string
  /** How long the previous token keeps working. 0. */
  readonly graceSeconds?: number | undefined
  /** When that time begins: at the rotation, or at the first use of the new token. `now`. */
  readonly graceStarts?: 'now' | 'first_use' | undefined
  readonly idempotencyKey?: string | undefined
}

export interface RevokeWorkspace {
  readonly workspaceId: string
  /** Only the keys of this owner. */
  readonly ownerId?: string | undefined
  readonly actor: string
  readonly reason?: string | undefined
}

interface Page {
  readonly workspaceId: string
  /** Maximum number of rows. */
  readonly limit: number
  readonly cursor?: string | undefined
}

interface KeyPage extends Page, KeyFilter {
  readonly order?: KeyOrder | undefined
  readonly before?: string | undefined
}

export interface KeyList {
  readonly keys: readonly ManagedKey[]
  readonly nextCursor: string | null
  readonly previousCursor: string | null
}

/** Creates, lists, changes and revokes keys. A change that takes something away returns when it is in force on every replica. */
export class KeyService {
  readonly #store: KeyStore
  readonly #force: Force
  readonly #clock: Clock
  readonly #tokens: TokenFormat
  #seal: CursorSeal | undefined

  constructor ({ store, force, clock, tokens }: KeyServiceOptions) {
    this.#store = store
    this.#force = force
    this.#clock = clock
    this.#tokens = tokens
  }

  /** What is wrong with a description. The policy is checked when the key is made. */
  faultsIn (described: Parameters<typeof faultsOf>[0]): readonly Fault[] {
    return faultsOf(described, this.#tokens)
  }

  /** The token is only in this answer; it is stored nowhere. */
  async create (wanted: CreateKey): Promise<{ key: ManagedKey, token: string }> {
    this.#assertSound(wanted)
    const { token, digest, hint } = this.#tokens.mint()
    const created = await this.#made(wanted, {
      id: uuidv7(),
      digest,
      hint,
      workspaceId: wanted.workspaceId,
      ownerId: wanted.ownerId ?? null,
      name: wanted.name,
      scope: wanted.scope,
      metadata: wanted.metadata ?? {},
      expiresAt: wanted.expiresAt,
      allowedCidrs: canonical(wanted.allowedCidrs) ?? null,
      rateLimit: wanted.rateLimit ?? null,
      createdBy: wanted.actor
    })
    switch (created.outcome) {
      case 'created': return { key: created.key, token }
      case 'repeated': throw already('already_created', created.keyId)
      case 'reused': throw idempotencyKeyReused()
      default: throw expiryRefused(created)
    }
  }

  /**
   * A page of keys, the newest first unless `order` says otherwise. `nextCursor` is null on the last page, `previousCursor` on the first. With a filter that no
   * index serves, a page may be short or even empty and still have a next one. `before`: the page that ends before that cursor.
   */
  async list ({ workspaceId, limit, cursor, before, order, ...filter }: KeyPage): Promise<KeyList> {
    const seal = await this.#cursors()
    const name = listName('keys', workspaceId, { ...filter, order })
    const query = { ...filter, workspaceId, order, rowsMax: limit + 1, after: cursor === undefined ? undefined : seal.open(cursor, name) }
    const placeOf = ({ id, createdAt, lastUsedAt }: ManagedKey): Place => ({ at: order === 'used' || order === 'idle' ? lastUsedAt ?? 0 : createdAt, id })
    const sealed = (key: ManagedKey): string => seal.seal(placeOf(key), name)
    if (before !== undefined) {
      const rows = await this.#store.list({ ...query, before: seal.open(before, name) })
      const [first, last] = [rows.at(1), rows.at(-1)]
      // Fewer rows than a page before the cursor: show the whole first page.
      if (rows.length <= limit || first === undefined || last === undefined) return await this.list({ ...filter, workspaceId, limit, order })
      return { keys: rows.slice(1), nextCursor: sealed(last), previousCursor: sealed(first) }
    }
    const rows = await this.#store.list(query)
    const keys = rows.slice(0, limit)
    const [first, last] = [keys[0], keys.at(-1)]
    const next = rows.length > limit && last !== undefined ? placeOf(last) : await this.#store.lookedTo(query)
    return {
      keys,
      nextCursor: next === undefined ? null : seal.seal(next, name),
      previousCursor: cursor === undefined ? null : first === undefined ? cursor : sealed(first)
    }
  }

  /** The number of keys in a list. */
  async count (filter: KeyFilter & { readonly workspaceId: string }): Promise<KeyCount> {
    return await this.#store.count(filter)
  }

  async get ({ workspaceId, keyId }: KeyName): Promise<ManagedKey> {
    const key = isUuid(keyId) ? await this.#store.find(workspaceId, keyId) : undefined
    if (key === undefined) throw noSuchKey()
    return key
  }

  /**
   * A restriction is in force on every replica when this returns, like a revocation. This also waits if the key already has the
   * requested values: the first request for them may still be waiting, or its replica may have died (R8 a).
   */
  async update (wanted: UpdateKey): Promise<ManagedKey> {
    this.#assertSound(wanted)
    const { workspaceId, keyId, actor, name, expiresAt, rateLimit } = wanted
    if (!isUuid(keyId)) throw noSuchKey()
    const allowedCidrs = canonical(wanted.allowedCidrs)
    const edited = await this.#store.edit({ workspaceId, keyId, actor, name, expiresAt, allowedCidrs, rateLimit })
    switch (edited.outcome) {
      case 'edited': break
      case 'missing': throw noSuchKey()
      case 'revoked': throw keyRevoked()
      default: throw expiryRefused(edited)
    }
    const change = committed(this.#clock, 'change', keyTarget(edited), edited.logged)
    if (takesAway({ expiresAt, allowedCidrs, rateLimit })) await this.#force.inForce(change)
    else this.#force.announce(change)
    return edited.key
  }

  /**
   * Gives the key a new token, which is only in this answer. Returns when every replica knows when the previous token ends, and refuses
   * tokens that have ended.
   */
  async rotate (wanted: RotateKey): Promise<{ key: ManagedKey, token: string }> {
    const { workspaceId, keyId, actor, graceSeconds = 0, graceStarts = 'now' } = wanted
    this.#assertSound({ graceSeconds })
    if (!isUuid(keyId)) throw noSuchKey()
    const { token, digest, hint } = this.#tokens.mint()
    const request = rotationRequestOf(wanted)
    const rotated = await this.#certain(request, 'It is not known whether the key was rotated. If its token no longer works, rotate the key again. With an Idempotency-Key, repeating the request tells whether it was rotated.',
      () => this.#store.rotate({ workspaceId, keyId, actor, digest, hint, graceSeconds, graceStarts }, request))
    switch (rotated.outcome) {
      case 'missing': throw noSuchKey()
      case 'revoked': throw keyRevoked()
      case 'expired': throw keyExpired()
      case 'reused': throw idempotencyKeyReused()
    }
    await this.#force.inForce(committed(this.#clock, 'change', keyTarget(rotated), rotated.logged))
    if (rotated.outcome === 'repeated') throw already('already_rotated', keyId)
    return { key: rotated.key, token }
  }

  /** Begins the grace of a rotated key's previous token. This takes nothing away at once, so the call does not wait for the replicas. */
  async recordFirstUse (keyId: string, ageMs: number): Promise<void> {
    const begun = await this.#store.recordFirstUse({ keyId, ageMs })
    if (begun !== undefined) this.#force.announce({ action: 'change', target: keyTarget(begun), seq: begun.logged.seq })
  }

  /**
   * Returns when every replica refuses the key, also if it is already revoked: the first revocation may still
   * be waiting, or its replica may have died.
   */
  async revoke ({ workspaceId, keyId, actor, reason }: KeyName & { readonly actor: string, readonly reason?: string | undefined }): Promise<void> {
    this.#assertSound({ reason })
    const done = isUuid(keyId) ? await this.#store.revoke({ workspaceId, keyId, actor, reason }) : undefined
    if (done === undefined) throw noSuchKey()
    await this.#force.inForce(committed(this.#clock, 'revoke', keyTarget(done), done.logged))
  }

  /** Revokes all keys of the workspace, or of one owner in it. Returns when every replica refuses them. */
  async revokeWorkspace ({ workspaceId, ownerId, actor, reason }: RevokeWorkspace): Promise<{ revoked: number }> {
    this.#assertSound({ workspaceId, ownerId, reason })
    const { revoked, logged } = await this.#store.revokeWorkspace({ workspaceId, ownerId, actor, reason })
    await this.#force.inForce(committed(this.#clock, 'change', { kind: 'workspace', workspaceId }, logged))
    return { revoked }
  }

  /**
   * Revokes every key of a person, then erases the person from all records: owner, names, metadata, addresses, clients, calls, sessions, and the actor of changes. Ids of
   * keys, days and counts stay. Rejects if the person got a new key meanwhile; call it again then.
   */
  async eraseOwner ({ workspaceId, ownerId, actor }: { readonly workspaceId: string, readonly ownerId: string, readonly actor: string }): Promise<{ revoked: number, erased: number }> {
    const { revoked } = await this.revokeWorkspace({ workspaceId, ownerId, actor })
    const { erased, living } = await this.#store.eraseOwner({ workspaceId, ownerId, actor })
    if (living > 0) throw unavailable('A key of this owner was made meanwhile, and is still there. Erase the owner again.')
    return { revoked, erased }
  }

  /** Newest first. */
  async audit ({ workspaceId, limit, cursor, ...filter }: Page & AuditFilter): Promise<{ entries: readonly AuditEntry[], nextCursor: string | null }> {
    if (filter.keyId !== undefined && !isUuid(filter.keyId)) return { entries: [], nextCursor: null }
    const seal = await this.#cursors()
    const name = listName('audit', workspaceId, filter)
    const after = cursor === undefined ? undefined : seal.open(cursor, name)
    const rows = await this.#store.listAudit({ ...filter, workspaceId, rowsMax: limit + 1, after })
    const entries = rows.slice(0, limit)
    const last = rows.length > limit ? entries.at(-1) : undefined
    return { entries, nextCursor: last === undefined ? null : seal.seal(last, name) }
  }

  async #made (wanted: CreateKey, key: Parameters<KeyStore['create']>[0]): ReturnType<KeyStore['create']> {
    const request = requestOf(wanted)
    return await this.#certain(request, 'It is not known whether the key was created. List the keys and revoke the key if it exists, then try again. With an Idempotency-Key, repeating the request is safe.',
      () => this.#store.create(key, request))
  }

  // Without an Idempotency-Key, a call that timed out may have made a token that nobody received.
  async #certain<T> (request: IdempotentRequest | undefined, detail: string, change: () => Promise<T>): Promise<T> {
    try {
      return await change()
    } catch (error) {
      if (request !== undefined || !(error instanceof KeysError) || error.code !== 'unavailable' || error instanceof NothingDone) throw error
      throw unavailable(detail, error.cause)
    }
  }

  #assertSound (described: Parameters<typeof faultsOf>[0]): void {
    const faults = this.faultsIn(described)
    if (faults.length > 0) throw invalid(faults)
  }

  async #cursors (): Promise<CursorSeal> {
    this.#seal ??= new CursorSeal(await this.#store.sharedSecret())
    return this.#seal
  }
}

function canonical (cidrs: readonly string[] | null | undefined): readonly string[] | null | undefined {
  return cidrs === null || cidrs === undefined ? cidrs : canonicalCidrs(cidrs)
}

/** What a cursor is bound to: a cursor of one list is refused by another. */
function listName (kind: string, workspaceId: string, filter: object): string[] {
  const given = Object.entries(filter).filter(([, value]) => value !== undefined).sort(([one], [other]) => one < other ? -1 : 1)
  return [kind, workspaceId, ...given.map(([name, value]) => `${name}=${value}`)]
}

// Idempotency keys are scoped to the actor: callers cannot collide with, or learn about, one another.
function requestOf ({ idempotencyKey, actor, workspaceId, name, scope, expiresAt, ownerId, metadata, allowedCidrs, rateLimit }: CreateKey): IdempotentRequest | undefined {
  if (idempotencyKey === undefined) return undefined
  const sorted = Object.entries(metadata ?? {}).sort(([a], [b]) => a < b ? -1 : 1)
  return {
    requestDigest: digestOf([actor, idempotencyKey]),
    bodyDigest: digestOf([workspaceId, name, scope, expiresAt === undefined ? 'default' : expiresAt, ownerId ?? null, sorted, allowedCidrs ?? null, rateLimit ?? null])
  }
}

function rotationRequestOf ({ idempotencyKey, actor, keyId, graceSeconds, graceStarts }: RotateKey): IdempotentRequest | undefined {
  if (idempotencyKey === undefined) return undefined
  return { requestDigest: digestOf([actor, idempotencyKey, 'rotate', keyId.toLowerCase()]), bodyDigest: digestOf([graceSeconds ?? 0, graceStarts ?? 'now']) }
}

function digestOf (value: unknown): Buffer {
  return hash('sha256', JSON.stringify(value), 'buffer')
}
