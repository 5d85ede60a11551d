import { isAllowed } from './addresses.ts'
import { includesScope, type Scope } from './scopes.ts'
import type { KeyRecord } from './key-record.ts'
import type { RateDecision } from './rate-limiter.ts'

/** Why a presented token is refused. "Not known right now" is never among them: that is thrown, as `unavailable`. */
export const reasons = ['malformed', 'unknown', 'revoked', 'expired', 'insufficient_scope', 'address_not_allowed', 'rate_limited'] as const

export type Reason = typeof reasons[number]

/** Why a key that exists is refused. */
export type KeyReason = Exclude<Reason, 'malformed' | 'unknown'>

/** The answer about a presented token. Every surface translates the same verdict into its own dialect and checks nothing again. */
export type Verdict =
  | { readonly valid: true, readonly key: KeyRecord, readonly rate?: RateDecision }
  | { readonly valid: false, readonly reason: Reason, readonly scope?: Scope, readonly rate?: RateDecision }

interface Occasion {
  /** The latest that the database's clock can show now, in milliseconds since the epoch. */
  readonly databaseTime: number
  /** The scope that the request asks for, if any. */
  readonly scope: Scope | undefined
  /** Where the request comes from. Read only where the key has a list of addresses. */
  readonly from: Sender | undefined
}

/** The request that presents a token. Finding out its address may be expensive. */
export interface Sender {
  readonly ip: string | undefined
  /** What the client says that it is. */
  readonly headers?: { readonly 'user-agent'?: string | undefined } | undefined
}

/**
 * Why `key` is refused, or `undefined` if it is not. The first reason wins. Statements rather than a table of functions: this runs
 * for every request, and V8 does not inline calls through a table.
 */
export function refusalOf (key: KeyRecord, occasion: Occasion): KeyReason | undefined {
  if (key.revokedAt !== null) return 'revoked'
  const tokenEndsAt = key.limits?.tokenEndsAt ?? null
  if (tokenEndsAt !== null && occasion.databaseTime >= tokenEndsAt) return 'revoked'
  if (key.expiresAt !== null && occasion.databaseTime >= key.expiresAt) return 'expired'
  if (occasion.scope !== undefined && !includesScope(key.scope, occasion.scope)) return 'insufficient_scope'
  const allowedCidrs = key.limits?.allowedCidrs ?? null
  if (allowedCidrs !== null && !isAllowed(occasion.from?.ip, allowedCidrs)) return 'address_not_allowed'
  return undefined
}

export function refuse (reason: Reason, scope?: Scope): Verdict {
  return scope === undefined ? { valid: false, reason } : { valid: false, reason, scope }
}
