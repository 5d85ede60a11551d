import type { Scope } from './scopes.ts'

declare const digestBrand: unique symbol

/**
 * SHA-256 of a whole token: 32 bytes as a string of 32 Latin-1 characters, which is the fastest key for a
 * `Map`. Only `digestOf` makes one from a token; only the database code makes one from stored bytes.
 */
export type Digest = string & { readonly [digestBrand]: true }

export function digestFromBytes (bytes: Uint8Array): Digest {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1') as Digest
}

/** Of a SHA-256 in hexadecimal, base64 or base64url. `rules.digest` says which texts are. */
export function digestFromText (text: string): Digest {
  return digestFromBytes(Buffer.from(text, text.length === 64 ? 'hex' : 'base64'))
}

export function digestToBytes (digest: Digest): Buffer {
  return Buffer.from(digest, 'latin1')
}

/** How often a key may be used: `requests` in `windowSeconds` seconds, and at most as many at once. */
export interface RateLimit {
  readonly requests: number
  readonly windowSeconds: number
}

/** Properties that few keys have, in one object: for other keys they cost one comparison. */
export interface KeyLimits {
  /** When this token ends although its key goes on, because the key was rotated; milliseconds since the epoch. */
  readonly tokenEndsAt: number | null
  /** The only ranges that may use the key, in canonical CIDR form; null: every address. */
  readonly allowedCidrs: readonly string[] | null
  readonly rateLimit: RateLimit | null
  /** The key was rotated with a grace that begins at the first use of this token, which has not been recorded yet. */
  readonly awaitsFirstUse: boolean
}

/** What verification needs of a key: the shape that the cache tiers hold. Times are milliseconds since the epoch. */
export interface KeyRecord {
  readonly id: string
  readonly digest: Digest
  readonly workspaceId: string
  readonly ownerId: string | null
  readonly name: string
  readonly scope: Scope
  readonly metadata: Readonly<Record<string, string>>
  readonly createdAt: number
  readonly expiresAt: number | null
  readonly revokedAt: number | null
  /** null: none at all. */
  readonly limits: KeyLimits | null
}

export type KeyStatus = 'active' | 'expired' | 'revoked'

export interface PreviousToken {
  readonly hint: string
  readonly endsAt: number
  /** For how many seconds it works after the first use of the new token, while that use is awaited; `endsAt` is then its latest end. Otherwise null. */
  readonly graceSeconds: number | null
}

/** A key as the management routes show it. Never the digest, never the token. */
export interface ManagedKey {
  readonly id: string
  readonly workspaceId: string
  readonly ownerId: string | null
  readonly name: string
  readonly scope: Scope
  readonly hint: string
  readonly status: KeyStatus
  readonly metadata: Readonly<Record<string, string>>
  readonly createdAt: number
  readonly createdBy: string
  readonly expiresAt: number | null
  readonly lastUsedAt: number | null
  readonly revokedAt: number | null
  readonly revokedBy: string | null
  readonly revokeReason: string | null
  readonly allowedCidrs: readonly string[] | null
  readonly rateLimit: RateLimit | null
  readonly rotatedAt: number | null
  /** The previous token, while it still works. */
  readonly previousToken: PreviousToken | null
}
