import type { Digest, KeyStatus, ManagedKey, RateLimit } from './key-record.ts'
import type { Policy } from './policy.ts'
import type { Scope } from './scopes.ts'

/** What is written when a key is made. The token itself is not among it. */
export interface NewKey {
  readonly id: string
  readonly digest: Digest
  readonly hint: string
  readonly workspaceId: string
  readonly ownerId: string | null
  readonly name: string
  readonly scope: Scope
  readonly metadata: Readonly<Record<string, string>>
  /** `undefined`: as long as the policy has it; null: never ends. */
  readonly expiresAt: number | null | undefined
  readonly allowedCidrs?: readonly string[] | null
  readonly rateLimit?: RateLimit | null
  readonly createdBy: string
}

/** A key that comes from another system: its token is not known here, its digest is. */
export interface ImportedKey extends Omit<NewKey, 'workspaceId' | 'createdBy' | 'allowedCidrs' | 'rateLimit'> {
  /** Milliseconds since the epoch; `undefined`: now. */
  readonly createdAt: number | undefined
}

export interface KeysImport {
  readonly workspaceId: string
  readonly actor: string
  readonly keys: readonly ImportedKey[]
}

/** Why one key was not imported, hence none: `taken`: another workspace has its token; `too_old`: the policy had ended it by now. */
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

/** Whose key, and who does it. */
export interface KeyChange {
  readonly workspaceId: string
  readonly keyId: string
  readonly actor: string
}

/** `undefined`: stays as it is; null: none. */
export interface KeyEdit extends KeyChange {
  readonly name: string | undefined
  readonly expiresAt: number | null | undefined
  readonly allowedCidrs?: readonly string[] | null | undefined
  readonly rateLimit?: RateLimit | null | undefined
}

/** Where a committed change stands in the revocation log, and the longest window that it has to wait out. */
export interface LogPosition {
  readonly seq: number
  readonly windowMs: number
}

/** A committed change of one key, and the tokens that caches may hold of it. */
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
  /** When the grace of the token before begins. */
  readonly graceStarts: 'now' | 'first_use'
}

export type Rotated =
  | { readonly outcome: 'rotated' } & ChangedKey
  /** The change is logged anew: whoever asked for it first may have died waiting. */
  | { readonly outcome: 'repeated' } & ChangedKey
  | { readonly outcome: 'missing' | 'revoked' | 'expired' | 'reused' }

/** Several keys were revoked under one position in the log. */
export interface RevokedKeys {
  readonly revoked: number
  readonly logged: LogPosition
}

/** A place in a list that is ordered by time and id, newest first. */
export interface Place {
  readonly at: number
  readonly id: string
}

/** What a list of keys is narrowed by; left out: by nothing. */
export interface KeyFilter {
  readonly status: KeyStatus | 'all'
  readonly ownerId?: string | undefined
  readonly scope?: Scope | undefined
  /** A part of the name, in any case. */
  readonly q?: string | undefined
  /** Not used for so many days, since its last use or else its making. */
  readonly unusedDays?: number | undefined
  /** `true`: only keys that have not been used at all. */
  readonly neverUsed?: boolean | undefined
  /** Will expire within so many days. */
  readonly expiresWithinDays?: number | undefined
}

/** By creation, by name in any case, or by expiry with the endless ones last. */
export type KeyOrder = 'newest' | 'oldest' | 'name' | 'expiry'

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

/** How many keys a list has. Not exact: there are so many at least. */
export interface KeyCount {
  readonly count: number
  readonly isExact: boolean
}

export interface AuditFilter {
  readonly keyId?: string | undefined
  readonly actor?: string | undefined
  /** Milliseconds since the epoch; the first that counts. */
  readonly from?: number | undefined
  /** Milliseconds since the epoch; the first that does not count any more. */
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
 * The keys on the primary. Every change is one transaction, with its audit row and its event, and everything that a cache may have
 * to forget is in the revocation log in that same transaction (R1). "In the future" is judged in it too, by the database's
 * clock, and so is the policy. Rejects with `unavailable` when the answer is not known, in bounded time: then a change has
 * been made whole or not at all, and repeating it is safe.
 */
export interface KeyStore {
  create (key: NewKey, request?: IdempotentRequest): Promise<Created>
  /** All or none. What the workspace has already stays as it is: repeating it does no harm. */
  import (wanted: KeysImport): Promise<Imported>
  find (workspaceId: string, keyId: string): Promise<ManagedKey | undefined>
  list (query: KeyQuery): Promise<readonly ManagedKey[]>
  /**
   * The last row that a page was searched in: filters that no index serves look at a bounded number of keys. `undefined`: at all that there are.
   */
  lookedTo (query: KeyQuery): Promise<Place | undefined>
  /** Counts up to a bound. */
  count (query: KeyFilter & { readonly workspaceId: string }): Promise<KeyCount>
  edit (edit: KeyEdit): Promise<Edited>
  rotate (rotation: Rotation, request?: IdempotentRequest): Promise<Rotated>
  /** Begins the grace of the token before, `ageMs` after the newest one was used for the first time; `undefined` where no first use is awaited. */
  recordFirstUse (use: { keyId: string, ageMs: number }): Promise<ChangedKey | undefined>
  /** Also where the key is revoked already: a position in the log of its own, while who revoked it first, when and why stay. */
  revoke (change: KeyChange & { readonly reason: string | undefined }): Promise<ChangedKey | undefined>
  /** Every key of the workspace at once, or every key of one owner, under one position in the log. */
  revokeWorkspace (change: { workspaceId: string, ownerId?: string | undefined, actor: string, reason: string | undefined }): Promise<RevokedKeys>
  /** Takes a person out of everything that is recorded of keys which have ended, and ends the person's sessions. Resolves to how many keys those were, and how many live on. */
  eraseOwner (change: { workspaceId: string, ownerId: string, actor: string }): Promise<{ erased: number, living: number }>
  listAudit (query: AuditQuery): Promise<readonly AuditEntry[]>
  /** The workspace's own; members that it does not set are null. */
  policy (workspaceId: string): Promise<Policy>
  setPolicy (change: { workspaceId: string, actor: string, policy: Policy }): Promise<void>
  /** Shortens every key of the workspace that lives longer than the policy allows. Also where there is none: a position in the log of its own. */
  applyPolicy (change: { workspaceId: string, actor: string }): Promise<{ shortened: number, logged: LogPosition }>
  /** The secret that every replica of this database shares and nobody else has. */
  sharedSecret (): Promise<Uint8Array>
}
