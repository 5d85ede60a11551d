import type { Scope } from '../core/scopes.ts'

/*
 * The requests and answers of the API, with its names; /docs and docs/openapi.json describe each field. Times are RFC 3339
 * strings in UTC.
 */

export type { Scope }

export type Reason = 'malformed' | 'unknown' | 'revoked' | 'expired' | 'insufficient_scope' | 'address_not_allowed' | 'rate_limited'

/** The key of a verified token. */
export interface VerifiedKey {
  readonly id: string
  readonly workspace_id: string
  readonly owner_id: string | null
  readonly name: string
  readonly scope: Scope
  /** `scope` and the scopes that it implies. */
  readonly scopes: readonly Scope[]
  readonly expires_at: string | null
  readonly metadata: Readonly<Record<string, string>>
}

/** A refusal is a verdict. If the answer is not known, a `ServiceError` with the code `unavailable` is thrown instead. */
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
    readonly iss?: string
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
  /** The only addresses and ranges that may use the key; null: every address. */
  readonly allowed_cidrs: readonly string[] | null
  readonly rate_limit: RateLimit | null
  /** When the current token was created; null: together with the key. */
  readonly rotated_at: string | null
  /** The previous token, while it still works. */
  readonly previous_token: { readonly hint: string, readonly ends_at: string } | null
}

export interface RateLimit {
  /** The number of requests per window, and the largest burst. */
  readonly requests: number
  readonly window_seconds: number
}

/** A key and its token. Only this answer contains the token. */
export type KeyWithToken = Key & { readonly token: string }

export interface NewKey {
  readonly name: string
  readonly scope: Scope
  readonly expires_at?: string | null | undefined
  readonly owner_id?: string | null | undefined
  readonly metadata?: Readonly<Record<string, string>> | undefined
  readonly allowed_cidrs?: readonly string[] | null | undefined
  readonly rate_limit?: RateLimit | null | undefined
}

/** An omitted field does not change; null removes the value. */
export interface KeyChange {
  readonly name?: string | undefined
  readonly expires_at?: string | null | undefined
  readonly allowed_cidrs?: readonly string[] | null | undefined
  readonly rate_limit?: RateLimit | null | undefined
}

export interface Rotation {
  /** How long the previous token works, in seconds. Default: 0. */
  readonly grace_seconds?: number | undefined
  /** From when `grace_seconds` is counted. Default: `now`. */
  readonly grace_starts?: 'now' | 'first_use' | undefined
}

export interface Policy {
  readonly max_lifetime_days: number | null
  readonly default_lifetime_days: number | null
  readonly unused_days: number | null
}

export type NewPolicy = Partial<Policy> & {
  /** `all` also shortens existing keys. Default: `new`. */
  readonly apply?: 'new' | 'all' | undefined
}

export interface KeyFilter {
  /** Default: `active`. */
  readonly status?: 'active' | 'expired' | 'revoked' | 'all' | undefined
  readonly owner_id?: string | undefined
  readonly scope?: Scope | undefined
  /** A part of the name, case-insensitive. */
  readonly q?: string | undefined
  readonly unused_days?: number | undefined
  readonly expires_within_days?: number | undefined
}

export interface PageOptions {
  /** Maximum number of rows. Default: 50. */
  readonly limit?: number | undefined
  /** `next_cursor` of the previous page. */
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

/** Filters of the audit trail. `from` is inclusive, `to` is exclusive. */
export interface AuditFilter {
  readonly key_id?: string | undefined
  readonly actor?: string | undefined
  readonly from?: string | undefined
  readonly to?: string | undefined
}

/** A key of another system, without its token. */
export interface ImportedKey {
  /** SHA-256 of the whole token, in hexadecimal or base64. */
  readonly token_sha256: string
  readonly name: string
  readonly scope: Scope
  /** The first four characters of the token after its prefix, … and the last four. */
  readonly hint?: string | undefined
  readonly owner_id?: string | null | undefined
  readonly expires_at?: string | null | undefined
  /** When the other system created it. */
  readonly created_at?: string | undefined
  readonly metadata?: Readonly<Record<string, string>> | undefined
}

export interface ImportResult {
  readonly imported: number
  readonly already_there: number
}

/** UTC dates, such as `2027-01-31`, both inclusive. Default: the last 30 days. */
export interface UsagePeriod {
  readonly from?: string | undefined
  readonly to?: string | undefined
}

export interface Usage {
  readonly days: ReadonlyArray<{ readonly day: string, readonly accepted: number, readonly refused: Readonly<Record<string, number>> }>
  readonly tools: ReadonlyArray<{ readonly tool: string, readonly calls: number, readonly denied: number, readonly failed: number }>
  readonly last: { readonly at: string, readonly address: string | null, readonly client: string | null } | null
}

/** Filters of the calls through the gateway. `from` is inclusive, `to` is exclusive. */
export interface CallFilter {
  readonly key_id?: string | undefined
  readonly tool?: string | undefined
  readonly decision?: 'passed' | 'denied' | 'failed' | undefined
  readonly from?: string | undefined
  readonly to?: string | undefined
}

export interface Call {
  readonly at: string
  readonly key_id: string
  readonly upstream: string
  readonly method: string
  readonly tool: string | null
  readonly decision: 'passed' | 'denied' | 'failed'
  readonly status: number
  readonly ms: number
}

export interface CallPage {
  readonly calls: readonly Call[]
  readonly next_cursor: string | null
}

export type EventType =
  'key.created' | 'key.updated' | 'key.rotated' | 'key.revoked' | 'key.expiring' | 'key.expired' | 'key.unused' | 'key.leaked' | 'key.ended_token_used'

/** An event of a key; also the body of a webhook. */
export interface KeyEvent {
  readonly id: string
  readonly type: EventType
  readonly timestamp: string
  readonly data: {
    readonly key_id: string
    /** The key at the time of the event. */
    readonly key: Key
    /** For `key.expiring`: within how many days the key expires. */
    readonly days?: number
  }
}

export interface EventPage {
  readonly events: readonly KeyEvent[]
  /** The `after` of the next call; null: there are no events yet. */
  readonly next_after: string | null
}

/** A leaked token: the token itself, or its SHA-256. */
export interface LeakReport {
  readonly token?: string | undefined
  readonly token_sha256?: string | undefined
  /** Where it was found. */
  readonly url?: string | undefined
  /** Who found it. */
  readonly source?: string | undefined
}

export interface LeakAnswer {
  readonly token_sha256: string
  /** `true_positive`: it is, or was, a token of a key of this service. */
  readonly result: 'true_positive' | 'false_positive'
  /** Whether this report revoked the key. */
  readonly revoked: boolean
}
