import type { Acknowledgement } from './announcements.ts'
import { waitOutMs } from './durations.ts'
import type { CommittedChange, ForcePath } from './trust.ts'

/** A living member as the primary shows it. */
export interface Member {
  readonly id: string
  /** Up to where its renewals have told that it has applied the log. */
  readonly acked: number
  /** The random mark of its newest renewal. */
  readonly beat: string
  readonly lineage: string | undefined
  readonly windowMs: number
}

/** All living members, as read by a statement sent at `sentAt` (monotonic) and answered at `answeredAt`. */
export interface Roll {
  readonly sentAt: number
  readonly answeredAt: number
  /** The clock's position and lineage in the same statement. */
  readonly seq: number
  readonly lineage: string
  readonly members: readonly Member[]
}

/** A change that waits to be in force. */
export interface Wait {
  readonly change: CommittedChange
  /** Random, drawn after the commit: an acknowledgement of anything earlier cannot name it. */
  readonly nonce: string
  /** The ids that have acknowledged this very wait over Redis (R11). */
  readonly acknowledgedBy: Set<string>
}

/**
 * Whether a change has to be waited for is decided by what was asked for, never by what was found (R8 a): the row may show the expiry
 * already because an equal request before this one is still waiting, or has died waiting.
 */
export function takesAway (asked: { readonly expiresAt?: number | null | undefined, readonly allowedCidrs?: readonly string[] | null | undefined, readonly rateLimit?: object | null | undefined }): boolean {
  const { expiresAt, allowedCidrs, rateLimit } = asked
  return [expiresAt, allowedCidrs, rateLimit].some((value) => value !== undefined && value !== null)
}

/** Adds an acknowledgement to `wait`. It counts only for the change that it names and for the id that sent it. Changes the set: a copy for each acknowledgement of 1,000 members would be a million entries. */
export function acknowledgedBy<W extends Wait> (wait: W, { from, seq, nonce }: Acknowledgement): W {
  if (nonce !== wait.nonce || seq !== wait.change.seq) return wait
  wait.acknowledgedBy.add(from)
  return wait
}

/**
 * How the wait is over, or `undefined` (R8 d). Fast: read after the commit, there is no living member that has not acknowledged,
 * in its row or to us. Slow: by our own clock every window that could miss the change has ended; needs no store at all.
 * Until `slowUntil` only the slow path counts: members of a history that is no more may have open windows.
 */
export function settled (wait: Wait, now: number, roll: Roll | undefined, slowUntil: number): ForcePath | undefined {
  const { change } = wait
  if (now >= slowAt(change)) return 'slow'
  if (roll === undefined || now < slowUntil) return undefined
  // A member that joined after an earlier reading may have renewed before the commit, and would not be waited for.
  if (!(roll.sentAt > change.committedAt) || roll.seq < change.seq) return undefined
  // Runs for each acknowledgement: it stops at the first missing member.
  return roll.members.some((member) => isMissing(wait, member)) ? undefined : 'fast'
}

/** The living members that have not acknowledged. */
export function missingFrom (wait: Wait, { members }: Roll): Member[] {
  return members.filter((member) => isMissing(wait, member))
}

function isMissing ({ change, acknowledgedBy }: Wait, member: Member): boolean {
  return member.acked < change.seq && !acknowledgedBy.has(member.id)
}

/** When the slow path ends, on the clock that `committedAt` was read from. */
export function slowAt (change: CommittedChange): number {
  return change.committedAt + waitOutMs(change.windowMs)
}
