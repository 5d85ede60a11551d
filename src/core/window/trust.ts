import type { ChangeTarget, Entry } from '../lookup.ts'

/**
 * What may be made of an entry at this very moment:
 * - `current`: nothing that was in force before the request can be missing from it;
 * - `stale`: a later change concerns it, or may; read the primary and judge again;
 * - `revoked`: a later revocation concerns it, and a revocation is for good;
 * - `shut`: this replica may not accept anything until it has renewed its window.
 */
export type Standing = 'current' | 'stale' | 'revoked' | 'shut'

/** A change that has been committed, as the log and the announcements tell it. */
export interface LoggedChange {
  readonly seq: number
  readonly target: ChangeTarget
  /** `revoke` is for good; `change` only makes what was read before it stale. */
  readonly action: 'revoke' | 'change'
}

/** A change as its maker knows it when the database has confirmed its commit. */
export interface CommittedChange extends LoggedChange {
  /** Monotonic milliseconds, read when the commit's answer arrived (R8 b). */
  readonly committedAt: number
  /** The longest trust window of any living member, read in the change's own transaction. */
  readonly windowMs: number
}

/** How a change came to be in force everywhere: every member acknowledged it, or every window that could miss it has ended. */
export type ForcePath = 'fast' | 'slow'

/** The trust window as the verification path sees it. Synchronous but for `opened`. */
export interface Trust {
  /**
   * The final check (R6). `now` is a fresh reading of the monotonic clock, taken after the last await. `isFresh`: the entry was read from
   * the primary for this very request, by a statement sent after the request had come.
   */
  judge (entry: Entry, now: number, isFresh: boolean): Standing
  /** Changes whenever all that was read before is void: positions read in one epoch say nothing in another (R7). */
  readonly epoch: number
  /** The latest that the database's clock can show at `now`, in milliseconds since the epoch. */
  databaseTime (now: number): number
  /** Resolves once the window is open, joining one shared renewal; rejects with `unavailable` after a second. */
  opened (): Promise<void>
}

/** The trust window as seen by the code that changes keys. */
export interface Force {
  /**
   * For every change that takes something away, as it is asked for: a revocation, a rotation, a narrower scope or list of addresses, any
   * expiry that is not null, a policy that is applied. Also if the change finds nothing to do: the request that made it first may still be
   * waiting, or its replica may have died (R8 a). Tells the other replicas, and resolves when none can still accept what was taken
   * away: always, within W of the commit, whatever the stores and the other replicas do.
   */
  inForce (change: CommittedChange): Promise<ForcePath>
  /** For a change that takes nothing away, such as a new name or an expiry that is lifted: tells the other replicas, and waits for none. */
  announce (change: LoggedChange): void
}
