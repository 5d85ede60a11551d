import type { Digest, KeyStatus, ManagedKey } from './key-record.ts'
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
  readonly expiresAt: number | null
  readonly createdBy: string
}

/** The `Idempotency-Key` of a create and the body that came with it, each as SHA-256. */
export interface CreateRequest {
  readonly requestDigest: Uint8Array
  readonly bodyDigest: Uint8Array
}

export type Created =
  | { readonly outcome: 'created', readonly key: ManagedKey }
  | { readonly outcome: 'repeated', readonly keyId: string }
  | { readonly outcome: 'reused' }
  | { readonly outcome: 'expiry_past' }

/** Whose key, and who does it. */
export interface KeyChange {
  readonly workspaceId: string
  readonly keyId: string
  readonly actor: string
}

export interface KeyEdit extends KeyChange {
  /** `undefined`: stays as it is. */
  readonly name: string | undefined
  /** `undefined`: stays as it is; null: never. */
  readonly expiresAt: number | null | undefined
}

/** Where a committed change stands in the revocation log, and the longest window that it has to wait out. */
export interface LogPosition {
  readonly seq: number
  readonly windowMs: number
}

export type Edited =
  | { readonly outcome: 'edited', readonly key: ManagedKey, readonly digest: Digest, readonly logged: LogPosition, readonly shortened: boolean }
  | { readonly outcome: 'missing' | 'revoked' | 'expiry_past' }

/** A place in a list that is ordered by time and id, newest first. */
export interface Place {
  readonly at: number
  readonly id: string
}

export interface KeyQuery {
  readonly workspaceId: string
  readonly status: KeyStatus | 'all'
  readonly rowsMax: number
  /** Rows after this one; `undefined`: from the newest. */
  readonly after: Place | undefined
}

export interface AuditQuery {
  readonly workspaceId: string
  readonly rowsMax: number
  readonly after: Place | undefined
}

/** Who did what to which key when. Written in the change's own transaction. */
export interface AuditEntry {
  readonly id: string
  readonly workspaceId: string
  /** null: the whole workspace. */
  readonly keyId: string | null
  readonly action: string
  readonly actor: string
  readonly at: number
  readonly details: Readonly<Record<string, string | number | null>>
}

/**
 * The keys on the primary. Every change is one transaction, with its audit row, and everything that a cache may have
 * to forget is in the revocation log in that same transaction (R1). "In the future" and "earlier" are judged in it too,
 * by the database's clock. Rejects with `unavailable` when the answer is not known, in bounded time: then a change has
 * been made whole or not at all, and repeating it is safe.
 */
export interface KeyStore {
  create (key: NewKey, request?: CreateRequest): Promise<Created>
  find (workspaceId: string, keyId: string): Promise<ManagedKey | undefined>
  list (query: KeyQuery): Promise<readonly ManagedKey[]>
  edit (edit: KeyEdit): Promise<Edited>
  /** Also where the key is revoked already: a position in the log of its own, while who revoked it first, when and why stay. */
  revoke (change: KeyChange & { readonly reason: string | undefined }): Promise<{ digest: Digest, logged: LogPosition } | undefined>
  /** Every key of the workspace at once, under one position in the log. */
  revokeWorkspace (change: { workspaceId: string, actor: string, reason: string | undefined }): Promise<{ revoked: number, logged: LogPosition }>
  listAudit (query: AuditQuery): Promise<readonly AuditEntry[]>
  /** The secret that every replica of this database shares and nobody else has. */
  sharedSecret (): Promise<Uint8Array>
}
