import { hash } from 'node:crypto'
import { v7 as uuidv7, validate as isUuid } from 'uuid'
import type { Clock } from './clock.ts'
import { CursorSeal } from './cursor.ts'
import { KeysError, unavailable } from './errors.ts'
import type { Digest, KeyStatus, ManagedKey } from './key-record.ts'
import { faultsOf } from './key-rules.ts'
import type { AuditEntry, CreateRequest, KeyStore, LogPosition } from './key-store.ts'
import type { ChangeTarget } from './lookup.ts'
import type { Scope } from './scopes.ts'
import type { TokenFormat } from './token.ts'
import type { CommittedChange, Force } from './window/trust.ts'

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
  /** Milliseconds since the epoch; null or left out: never. */
  readonly expiresAt?: number | null | undefined
  readonly ownerId?: string | null | undefined
  readonly metadata?: Readonly<Record<string, string>> | undefined
  /** The same one with the same description makes one key within 24 hours. */
  readonly idempotencyKey?: string | undefined
}

export interface UpdateKey {
  readonly workspaceId: string
  readonly keyId: string
  readonly actor: string
  readonly name?: string | undefined
  /** Milliseconds since the epoch; null: never; left out: as it is. */
  readonly expiresAt?: number | null | undefined
}

interface KeyName {
  readonly workspaceId: string
  readonly keyId: string
}

interface Page {
  readonly workspaceId: string
  /** Rows at most. */
  readonly limit: number
  readonly cursor?: string | undefined
}

interface KeyPage extends Page {
  readonly status: KeyStatus | 'all'
  readonly ownerId?: string | undefined
}

/** Makes, shows and ends keys. Every change returns when it is in force as far as it takes something away. */
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

  /** The token is in this answer and nowhere else, ever. */
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
      expiresAt: wanted.expiresAt ?? null,
      createdBy: wanted.actor
    })
    switch (created.outcome) {
      case 'created': return { key: created.key, token }
      case 'repeated': throw alreadyCreated(created.keyId)
      case 'reused': throw idempotencyKeyReused()
      case 'expiry_past': throw expiryPast()
    }
  }

  /** Newest first, of one owner or of everyone. `nextCursor` is null on the last page. */
  async list ({ workspaceId, status, ownerId, limit, cursor }: KeyPage): Promise<{ keys: readonly ManagedKey[], nextCursor: string | null }> {
    const seal = await this.#cursors()
    const name = ['keys', workspaceId, status, ...(ownerId === undefined ? [] : [ownerId])]
    const after = cursor === undefined ? undefined : seal.open(cursor, name)
    const rows = await this.#store.list({ workspaceId, status, ownerId, rowsMax: limit + 1, after })
    const keys = rows.slice(0, limit)
    const last = rows.length > limit ? keys.at(-1) : undefined
    return { keys, nextCursor: last === undefined ? null : seal.seal({ at: last.createdAt, id: last.id }, name) }
  }

  async get ({ workspaceId, keyId }: KeyName): Promise<ManagedKey> {
    const key = isUuid(keyId) ? await this.#store.find(workspaceId, keyId) : undefined
    if (key === undefined) throw noSuchKey()
    return key
  }

  /** An earlier expiry is in force on every replica when this returns, like a revocation. */
  async update ({ workspaceId, keyId, actor, name, expiresAt }: UpdateKey): Promise<ManagedKey> {
    this.#assertSound({ name, expiresAt })
    if (!isUuid(keyId)) throw noSuchKey()
    const edited = await this.#store.edit({ workspaceId, keyId, actor, name, expiresAt })
    if (edited.outcome !== 'edited') throw refusedEdits[edited.outcome]()
    const change = this.#committed('change', keyTarget(edited.digest), edited.logged)
    if (edited.shortened) await this.#force.inForce(change)
    else this.#force.announce(change)
    return edited.key
  }

  /**
   * Returns when every replica refuses the key, also where it is revoked already: whoever revoked it first may still
   * be waiting, or may have died waiting.
   */
  async revoke ({ workspaceId, keyId, actor, reason }: KeyName & { readonly actor: string, readonly reason?: string | undefined }): Promise<void> {
    this.#assertSound({ reason })
    const done = isUuid(keyId) ? await this.#store.revoke({ workspaceId, keyId, actor, reason }) : undefined
    if (done === undefined) throw noSuchKey()
    await this.#force.inForce(this.#committed('revoke', keyTarget(done.digest), done.logged))
  }

  /** Returns when every replica refuses every key that the workspace had. */
  async revokeWorkspace ({ workspaceId, actor, reason }: { readonly workspaceId: string, readonly actor: string, readonly reason?: string | undefined }): Promise<{ revoked: number }> {
    this.#assertSound({ workspaceId, reason })
    const { revoked, logged } = await this.#store.revokeWorkspace({ workspaceId, actor, reason })
    await this.#force.inForce(this.#committed('change', { kind: 'workspace', workspaceId }, logged))
    return { revoked }
  }

  /** Newest first. */
  async audit ({ workspaceId, limit, cursor }: Page): Promise<{ entries: readonly AuditEntry[], nextCursor: string | null }> {
    const seal = await this.#cursors()
    const name = ['audit', workspaceId]
    const after = cursor === undefined ? undefined : seal.open(cursor, name)
    const rows = await this.#store.listAudit({ workspaceId, rowsMax: limit + 1, after })
    const entries = rows.slice(0, limit)
    const last = rows.length > limit ? entries.at(-1) : undefined
    return { entries, nextCursor: last === undefined ? null : seal.seal(last, name) }
  }

  // Repeating does no harm where a key can be known again. Elsewhere the one whose token nobody got may be there.
  async #made (wanted: CreateKey, key: Parameters<KeyStore['create']>[0]): ReturnType<KeyStore['create']> {
    try {
      return await this.#store.create(key, requestOf(wanted))
    } catch (error) {
      if (wanted.idempotencyKey !== undefined || !(error instanceof KeysError) || error.code !== 'unavailable') throw error
      throw unavailable('It is not certain that the key was made. List the keys and revoke it if it is there, then try again; an Idempotency-Key makes repeating safe.', error.cause)
    }
  }

  // The clock is read after the commit's answer (R8 b); later than needed only waits longer.
  #committed (action: CommittedChange['action'], target: ChangeTarget, logged: LogPosition): CommittedChange {
    return { action, target, ...logged, committedAt: this.#clock.monotonicMs() }
  }

  #assertSound (described: Parameters<typeof faultsOf>[0]): void {
    const faults = faultsOf(described, this.#tokens)
    if (faults.length > 0) throw new KeysError('invalid_request', { detail: 'Something in the request is not as it has to be; "errors" says what.', faults })
  }

  async #cursors (): Promise<CursorSeal> {
    this.#seal ??= new CursorSeal(await this.#store.sharedSecret())
    return this.#seal
  }
}

const refusedEdits = { missing: noSuchKey, revoked: keyRevoked, expiry_past: expiryPast }

function keyTarget (digest: Digest): ChangeTarget {
  return { kind: 'key', digest }
}

// Whoever makes keys has a space of their own: what one has asked for is nothing that another may learn or run into.
function requestOf ({ idempotencyKey, actor, workspaceId, name, scope, expiresAt, ownerId, metadata }: CreateKey): CreateRequest | undefined {
  if (idempotencyKey === undefined) return undefined
  const sorted = Object.entries(metadata ?? {}).sort(([a], [b]) => a < b ? -1 : 1)
  return {
    requestDigest: hash('sha256', JSON.stringify([actor, idempotencyKey]), 'buffer'),
    bodyDigest: hash('sha256', JSON.stringify([workspaceId, name, scope, expiresAt ?? null, ownerId ?? null, sorted]), 'buffer')
  }
}

function noSuchKey (): KeysError {
  return new KeysError('not_found', { detail: 'There is no such key in this workspace.' })
}

function keyRevoked (): KeysError {
  return new KeysError('key_revoked', { detail: 'The key is revoked, and a revocation is for good. Make a new key instead.' })
}

function expiryPast (): KeysError {
  const detail = 'Must be in the future. To end a key now, delete it.'
  return new KeysError('invalid_request', { detail: 'The expiry is not in the future.', faults: [{ pointer: '/expires_at', detail }] })
}

function alreadyCreated (keyId: string): KeysError {
  return new KeysError('already_created', {
    detail: 'This Idempotency-Key has made a key already; "key_id" names it. Its token was shown once. If it is lost, revoke that key and make another with a new Idempotency-Key.',
    extra: { key_id: keyId }
  })
}

function idempotencyKeyReused (): KeysError {
  return new KeysError('idempotency_key_reused', { detail: 'This Idempotency-Key came with another body before. Use a new one for every new key.' })
}
