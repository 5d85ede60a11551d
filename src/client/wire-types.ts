import type { Scope } from '../core/scopes.ts'

/*
 * What the service says and takes, under the names of its API: /docs and docs/openapi.json describe each. Times are RFC 3339
 * texts in UTC.
 */

export type { Scope }

export type Reason = 'malformed' | 'unknown' | 'revoked' | 'expired' | 'insufficient_scope' | 'address_not_allowed' | 'rate_limited'

/** The key that a token belongs to, as a verification tells it. */
export interface VerifiedKey {
  readonly id: string
  readonly workspace_id: string
  readonly owner_id: string | null
  readonly name: string
  readonly scope: Scope
  /** `scope` and what it implies. */
  readonly scopes: readonly Scope[]
  readonly expires_at: string | null
  readonly metadata: Readonly<Record<string, string>>
}

/** A refusal is an answer. "Not known right now" is none: it is thrown, as a `ServiceError` with the code `unavailable`. */
export type Verdict =
  | { readonly valid: true, readonly key: VerifiedKey }
  | { readonly valid: false, readonly reason: Reason }

/** RFC 7662. */
export type Introspection =
  | {
    readonly active: true
    /** All scopes, separated by spaces. */
    readonly scope: string
    readonly sub: string
    readonly client_id: string
    readonly workspace_id: string
    /** Seconds since the epoch; absent: never. */
    readonly exp?: number
    readonly iat: number
    readonly iss: string
    readonly token_type: 'Bearer'
  }
  | { readonly active: false }

export interface Key {
  readonly id: string
  readonly workspace_id: string
  readonly owner_id: string | null
  readonly name: string
  readonly scope: Scope
  readonly hint: string
  readonly status: 'active' | 'expired' | 'revoked'
  readonly metadata: Readonly<Record<string, string>>
  readonly created_at: string
  readonly created_by: string
  readonly expires_at: string | null
  readonly last_used_at: string | null
  readonly revoked_at: string | null
  readonly revoked_by: string | null
  readonly revoke_reason: string | null
}

/** A key and its token, which is in this answer and never again. */
export type KeyWithToken = Key & { readonly token: string }

export interface NewKey {
  readonly name: string
  readonly scope: Scope
  readonly expires_at?: string | null | undefined
  readonly owner_id?: string | null | undefined
  readonly metadata?: Readonly<Record<string, string>> | undefined
}

export interface KeyChange {
  readonly name?: string | undefined
  readonly expires_at?: string | null | undefined
}

export interface KeyFilter {
  /** `active` */
  readonly status?: 'active' | 'expired' | 'revoked' | 'all' | undefined
}

export interface PageOptions {
  /** Rows at most. 50. */
  readonly limit?: number | undefined
  /** `next_cursor` of the page before. */
  readonly cursor?: string | undefined
}

export interface KeyPage {
  readonly keys: readonly Key[]
  readonly next_cursor: string | null
}

export interface AuditEntry {
  readonly id: string
  readonly workspace_id: string
  readonly key_id: string | null
  readonly action: string
  readonly actor: string
  readonly at: string
  readonly details: Readonly<Record<string, unknown>>
}

export interface AuditPage {
  readonly entries: readonly AuditEntry[]
  readonly next_cursor: string | null
}
