import { waitOutMs } from './durations.ts'
import type { Guards } from './guards.ts'
import type { CommittedChange, ForcePath } from './trust.ts'

/** A living member as the primary shows it. */
export interface Member {
  readonly id: string
  readonly acked: number
  readonly renewals: number
  readonly windowMs: number
}

/** The members, as read by a statement sent at `sentAt` (monotonic) and answered at `answeredAt`. */
export interface Roll {
  readonly sentAt: number
  readonly answeredAt: number
  readonly members: readonly Member[]
}

/** A change that waits to be in force. `known`: the members as they were known before the commit. */
export interface Wait {
  readonly change: CommittedChange
  readonly known: ReadonlySet<string>
}

/**
 * How the wait is over, or `undefined` (R8 d). Fast: read after the commit, no living member has acknowledged less.
 * Slow: by our own clock every window that could miss the change has ended; needs no store at all.
 */
export function settled ({ change, known }: Wait, now: number, roll: Roll | undefined, guards: Guards): ForcePath | undefined {
  if (!guards.waited) return 'fast'
  if (now - change.committedAt >= waitOutMs(change.windowMs, guards)) return 'slow'
  if (roll === undefined) return undefined
  if (!guards.membersReadAfterCommit) {
    return roll.members.every((member) => !known.has(member.id) || member.acked >= change.seq) ? 'fast' : undefined
  }
  // A member that joined after an earlier reading may have renewed before the commit, and would not be waited for.
  if (!(roll.sentAt > change.committedAt)) return undefined
  return roll.members.every((member) => member.acked >= change.seq) ? 'fast' : undefined
}

/** When the slow path ends, on the clock that `committedAt` was read from. */
export function slowAt (change: CommittedChange, guards: Guards): number {
  return change.committedAt + waitOutMs(change.windowMs, guards)
}
