import type { Digest } from './key-record.ts'
import type { LogPosition } from './key-store.ts'
import type { ChangeTarget } from './lookup.ts'

/** A token that was found in a public place. */
export interface Leak {
  readonly digest: Digest
  /** Where it was found. */
  readonly url?: string | undefined
  /** Who found it. */
  readonly source?: string | undefined
}

export interface EndedTokens {
  /** The tokens that are known, and whether each had ended before. */
  readonly known: ReadonlyMap<Digest, { readonly hasEnded: boolean }>
  /** What caches have to forget; `undefined`: no token is known. */
  readonly change: { readonly target: ChangeTarget, readonly logged: LogPosition } | undefined
}

/** Tokens on the primary, for callers who only have a token. As in `KeyStore`, a change is made whole or not at all, in bounded time. */
export interface TokenStore {
  /** Revokes the keys of the tokens, with the reason `leaked`. A repeat is logged again. */
  revokeLeaked (leaks: readonly Leak[], actor: string): Promise<EndedTokens>
  /** A token in its grace ends alone, the newest one ends its key. A repeat is logged again. */
  endToken (digest: Digest): Promise<EndedTokens>
}
