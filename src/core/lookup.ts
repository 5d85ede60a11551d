import type { Digest, KeyRecord } from './key-record.ts'
import type { Noted } from './usage.ts'

/** A record and how fresh it is. The trust window judges that (WINDOW R5, R6); a tier only passes it on. */
export interface Entry {
  readonly record: KeyRecord
  /**
   * The record shows every change up to this position of the revocation clock. It is a position of the history that this replica's renewals
   * have proven, and at most the position that had been applied when the read was sent (R5).
   */
  readonly asof: number
  /** The clock's position in the row's own statement. Only valid for the request that read the row; caches do not keep it. */
  readonly seq?: number
  /** Where the last use of this entry was noted. A hint for `UsageBatcher` alone, which checks it. */
  noted?: Noted | undefined
}

/**
 * One tier of the lookup, on top of the tier `under` it. It has three outcomes:
 * - an entry;
 * - `undefined`: there is certainly no such key, by an answer of the primary;
 * - a rejection: not known. A store that is down must never read as "no such key".
 */
export interface Lookup {
  /** May be answered by a cache. */
  find (digest: Digest): Promise<Entry | undefined>
  /** Read from the primary by a statement that is sent after this call. The result replaces what the caches held. */
  findFresh (digest: Digest): Promise<Entry | undefined>
}

/** The outermost tier: answers at once what it holds, so that a hit costs no promise. `find` is for what `peek` did not hold. */
export interface MemoryLookup extends Lookup {
  peek (digest: Digest): Entry | undefined
  /** Drops every entry that a change concerns. */
  drop (target: ChangeTarget): void
}

/** Whom a change in the revocation log concerns. A key has one living token, or two while it is being rotated. */
export type ChangeTarget =
  | { readonly kind: 'key', readonly digests: readonly Digest[] }
  | { readonly kind: 'workspace', readonly workspaceId: string }
  | { readonly kind: 'everything' }
