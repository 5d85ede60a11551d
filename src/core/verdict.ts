import { includesScope, type Scope } from './scopes.ts'
import type { KeyRecord } from './key-record.ts'

/** Why a presented token is refused. "Not known right now" is never among them: that is thrown, as `unavailable`. */
export type Reason = 'malformed' | 'unknown' | 'revoked' | 'expired' | 'insufficient_scope'

/** The answer about a presented token. Every surface turns the same verdict into its own dialect and re-checks nothing. */
export type Verdict =
  | { readonly valid: true, readonly key: KeyRecord }
  | { readonly valid: false, readonly reason: Reason, readonly scope?: Scope }

interface Occasion {
  /** The latest that the database's clock can show now, in milliseconds since the epoch. */
  readonly databaseTime: number
  /** The scope that the request asks for, if any. */
  readonly scope: Scope | undefined
}

interface Check {
  readonly reason: Reason
  refuses (key: KeyRecord, occasion: Occasion): boolean
}

/** First refusal wins. */
const checks: readonly Check[] = [
  { reason: 'revoked', refuses: (key) => key.revokedAt !== null },
  { reason: 'expired', refuses: (key, { databaseTime }) => key.expiresAt !== null && databaseTime >= key.expiresAt },
  { reason: 'insufficient_scope', refuses: (key, { scope }) => scope !== undefined && !includesScope(key.scope, scope) }
]

/** Why `key` is refused on this occasion, or `undefined` when nothing speaks against it. */
export function refusalOf (key: KeyRecord, occasion: Occasion): Reason | undefined {
  for (const check of checks) {
    if (check.refuses(key, occasion)) return check.reason
  }
  return undefined
}

export function refuse (reason: Reason, scope?: Scope): Verdict {
  return scope === undefined ? { valid: false, reason } : { valid: false, reason, scope }
}
