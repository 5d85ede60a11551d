import type { Digest, KeyRecord } from './key-record.ts'

/** A record and how fresh it is. Who uses it judges that (WINDOW R5, R6); a tier only hands it on. */
export interface Entry {
  readonly record: KeyRecord
  /**
   * The record shows every change up to this position of the revocation clock, and the position is of the history that the renewals of
   * this replica have proven: never beyond what was applied when the read was sent (R5).
   */
  readonly asof: number
  /** The clock's position in the row's own statement. Says something only to the request for which the row was read; a cache does not keep it. */
  readonly seq?: number
}

/**
 * One tier of the lookup, over the one `under` it. Three outcomes, told apart:
 * - an entry;
 * - `undefined`: there is certainly no such key, the primary said so;
 * - a rejection: not known. A store that is down must never read as "no such key".
 */
export interface Lookup {
  /** May be answered by a cache. */
  find (digest: Digest): Promise<Entry | undefined>
  /** Read from the primary by a statement sent after this call; what it finds replaces what the caches held. */
  findFresh (digest: Digest): Promise<Entry | undefined>
}

/** The outermost tier: answers at once what it holds, so that a hit costs no promise. `find` is for what `peek` did not hold. */
export interface MemoryLookup extends Lookup {
  peek (digest: Digest): Entry | undefined
  /** Drops every entry that a change touches. */
  drop (target: ChangeTarget): void
}

/** Whom a change in the revocation log concerns. A key has one living token, or two while it is being rotated. */
export type ChangeTarget =
  | { readonly kind: 'key', readonly digests: readonly Digest[] }
  | { readonly kind: 'workspace', readonly workspaceId: string }
  | { readonly kind: 'everything' }
