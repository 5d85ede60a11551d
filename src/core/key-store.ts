import type { Digest, KeyStatus, ManagedKey, RateLimit } from './key-record.ts'
import type { Policy } from './policy.ts'
import type { Scope } from './scopes.ts'

/** What is stored of a new key. The token itself is not. */
export interface NewKey {
  readonly id: string
  readonly digest: Digest
  readonly hint: string
  readonly workspaceId: string
  readonly ownerId: string | null
  readonly name: string
  readonly scope: Scope
  readonly metadata: Readonly<Record<string, string>>
  /** `undefined`: the policy's default; null: never. */
  readonly expiresAt: number | null | undefined
  readonly allowedCidrs?: readonly string[] | null
  readonly rateLimit?: RateLimit | null
  readonly createdBy: string
}

/** A key of another system. Its token is not known, only its digest. */
export interface ImportedKey extends Omit<NewKey, 'workspaceId' | 'createdBy' | 'allowedCidrs' | 'rateLimit'> {
  /** Milliseconds since the epoch; `undefined`: now. */
  readonly createdAt: number | undefined
}

export interface KeysImport {
  readonly workspaceId: string
  readonly actor: string
  readonly keys: readonly ImportedKey[]
}

/** Why one key could not be imported, and so none was. `taken`: another workspace has its token; `too_old`: by the policy it would have ended already. */
export type ImportFault = 'taken' | 'created_in_future' | 'expiry_past' | 'endless' | 'past_maximum' | 'too_old'

export type Imported =
  | { readonly outcome: 'imported', readonly imported: number, readonly alreadyThere: number }
  | { readonly outcome: 'refused', readonly maxLifetimeDays: number | null, readonly faults: ReadonlyArray<{ readonly place: number, readonly fault: ImportFault }> }

/** The `Idempotency-Key` of a request and the body that came with it, each as SHA-256. */
export interface IdempotentRequest {
  readonly requestDigest: Uint8Array
  readonly bodyDigest: Uint8Array
}

/** Why an expiry was refused: it is not in the future, later than the policy allows, or missing where the policy demands one. */
export type ExpiryFault =
  | { readonly outcome: 'expiry_past' }
  | { readonly outcome: 'past_maximum' | 'endless', readonly maxLifetimeDays: number }

export type Created =
  | { readonly outcome: 'created', readonly key: ManagedKey }
  | { readonly outcome: 'repeated', readonly keyId: string }
  | { readonly outcome: 'reused' }
  | ExpiryFault

/** Which key is changed, and by whom. */
export interface KeyChange {
  readonly workspaceId: string
  readonly keyId: string
  readonly actor: string
}

/** `undefined`: unchanged; null: none. */
export interface KeyEdit extends KeyChange {
  readonly name: string | undefined
  readonly expiresAt: number | null | undefined
  readonly allowedCidrs?: readonly string[] | null | undefined
  readonly rateLimit?: RateLimit | null | undefined
}

/** The position of a committed change in the revocation log, and the longest window that has to be waited out. */
export interface LogPosition {
  readonly seq: number
  readonly windowMs: number
}

/** A committed change of one key, with the digests that caches may hold. */
export interface ChangedKey {
  readonly key: ManagedKey
  readonly digests: readonly Digest[]
  readonly logged: LogPosition
}

export type Edited =
  | { readonly outcome: 'edited' } & ChangedKey
  | { readonly outcome: 'missing' | 'revoked' }
  | ExpiryFault

export interface Rotation extends KeyChange {
  readonly digest: Digest
  readonly hint: string
  readonly graceSeconds: number
  /** When the grace of the previous token begins. */
  readonly graceStarts: 'now' | 'first_use'
}

export type Rotated =
  | { readonly outcome: 'rotated' } & ChangedKey
  /** The change is logged again: the replica that made it first may have died while it waited. */
  | { readonly outcome: 'repeated' } & ChangedKey
  | { readonly outcome: 'missing' | 'revoked' | 'expired' | 'reused' }

/** Several keys were revoked under one position in the log. */
export interface RevokedKeys {
  readonly revoked: number
  readonly logged: LogPosition
}

/** A position in a list that is ordered by a time and an id. */
export interface Place {
  /** When the row was made, or in the orders of the last use when it was used last; 0: never. Milliseconds since the epoch. */
  readonly at: number
  readonly id: string
}

/** Filters of a list of keys. One that is left out filters nothing. */
export interface KeyFilter {
  readonly status: KeyStatus | 'all'
  readonly ownerId?: string | undefined
  readonly scope?: Scope | undefined
  /** Part of the name, case-insensitive. */
  readonly q?: string | undefined
  /** Not used for this many days, counted from its last use, else from its creation. */
  readonly unusedDays?: number | undefined
  /** `true`: only keys that have not been used at all. */
  readonly neverUsed?: boolean | undefined
  /** Expires within this many days. */
  readonly expiresWithinDays?: number | undefined
}

/**
 * By creation; by name in any case; by expiry with the endless ones last; by the last use, with those never used last (`used`) or first (`idle`). In a list of
 * more than 5,000 keys, the order of those that were last used in the same minute is arbitrary.
 */
export type KeyOrder = 'newest' | 'oldest' | 'name' | 'expiry' | 'used' | 'idle'

export interface KeyQuery extends KeyFilter {
  readonly workspaceId: string
  readonly rowsMax: number
  /** `newest`. */
  readonly order?: KeyOrder | undefined
  /** Rows after this one; `undefined`: from the first. */
  readonly after: Place | undefined
  /** The rows right before this one instead, in the same order. */
  readonly before?: Place | undefined
}

/** The number of keys in a list. If it is not exact, there are at least this many. */
export interface KeyCount {
  readonly count: number
  readonly isExact: boolean
}

export interface AuditFilter {
  readonly keyId?: string | undefined
  readonly actor?: string | undefined
  /** Milliseconds since the epoch, included. */
  readonly from?: number | undefined
  /** Milliseconds since the epoch, excluded. */
  readonly to?: number | undefined
}

export interface AuditQuery extends AuditFilter {
  readonly workspaceId: string
  readonly rowsMax: number
  readonly after: Place | undefined
}

/** Who did what to which key when. Written in the change's own transaction. */
export interface AuditEntry {
  readonly id: string
  readonly workspaceId: string
  /** null: several keys, or the whole workspace. */
  readonly keyId: string | null
  readonly action: string
  readonly actor: string
  readonly at: number
  readonly details: Readonly<Record<string, unknown>>
}

/**
 * The keys on the primary. Every change is one transaction, with its audit row and its event. Everything that a cache may have to forget
 * is written to the revocation log in the same transaction (R1), which also checks the policy, and, by the database's clock, that an expiry is in the
 * future. Rejects with `unavailable` in bounded time when the answer is not known: the change was made whole or not at all, and
 * repeating it is safe.
 */
export interface KeyStore {
  create (key: NewKey, request?: IdempotentRequest): Promise<Created>
  /** Imports all or none. Keys that the workspace already has are not changed: repeating it is safe. */
  import (wanted: KeysImport): Promise<Imported>
  find (workspaceId: string, keyId: string): Promise<ManagedKey | undefined>
  list (query: KeyQuery): Promise<readonly ManagedKey[]>
  /**
   * The last row that was looked at for a page. A filter that no index serves looks at a bounded number of keys. `undefined`: the list was looked at to its end.
   */
  lookedTo (query: KeyQuery): Promise<Place | undefined>
  /** Counts, up to a bound. */
  count (query: KeyFilter & { readonly workspaceId: string }): Promise<KeyCount>
  edit (edit: KeyEdit): Promise<Edited>
  rotate (rotation: Rotation, request?: IdempotentRequest): Promise<Rotated>
  /** Begins the grace of the previous token: the newest one was used for the first time `ageMs` ago. `undefined` if no first use is awaited. */
  recordFirstUse (use: { keyId: string, ageMs: number }): Promise<ChangedKey | undefined>
  /** If the key is already revoked, the revocation gets another position in the log; who revoked it first, when and why are not changed. */
  revoke (change: KeyChange & { readonly reason: string | undefined }): Promise<ChangedKey | undefined>
  /** Revokes every key of the workspace, or of one owner, under one position in the log. */
  revokeWorkspace (change: { workspaceId: string, ownerId?: string | undefined, actor: string, reason: string | undefined }): Promise<RevokedKeys>
  /** Erases a person from all records of keys that have ended, and ends the person's sessions. Resolves to the number of these keys, and of those that have not ended. */
  eraseOwner (change: { workspaceId: string, ownerId: string, actor: string }): Promise<{ erased: number, living: number }>
  listAudit (query: AuditQuery): Promise<readonly AuditEntry[]>
  /** The workspace's own policy. Members that it does not set are null. */
  policy (workspaceId: string): Promise<Policy>
  setPolicy (change: { workspaceId: string, actor: string, policy: Policy }): Promise<void>
  /** Shortens every key of the workspace that lives longer than the policy allows. Takes a position in the log even if there is none. */
  applyPolicy (change: { workspaceId: string, actor: string }): Promise<{ shortened: number, logged: LogPosition }>
  /** The secret that all replicas on this database share. */
  sharedSecret (): Promise<Uint8Array>
}
