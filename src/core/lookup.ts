import type { Digest, KeyRecord } from './key-record.ts'

/**
 * A record and how fresh it is. `asof` is the revocation clock's position, read in the same statement as the row:
 * the record shows every change up to there. Who uses it judges that (WINDOW R5, R6); a tier only hands it on.
 */
export interface Entry {
  readonly record: KeyRecord
  readonly asof: number
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

/** The outermost tier: answers at once what it holds, so that a hit costs no promise. */
export interface MemoryLookup extends Lookup {
  peek (digest: Digest): Entry | undefined
  /** Drops every entry that a change touches. */
  drop (target: ChangeTarget): void
  clear (): void
  readonly size: number
}

/** Whom a change in the revocation log concerns. */
export type ChangeTarget =
  | { readonly kind: 'key', readonly digest: Digest }
  | { readonly kind: 'workspace', readonly workspaceId: string }
  | { readonly kind: 'everything' }
