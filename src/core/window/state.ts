import type { ChangeTarget } from '../lookup.ts'
import type { Guards } from './guards.ts'
import type { LoggedChange } from './trust.ts'
import { emptyTail, type Tail } from './tail.ts'

/** What does not change while a replica runs. */
export interface Terms {
  /** D */
  readonly windowMs: number
  /** P */
  readonly renewEveryMs: number
  readonly renewalTimeoutMs: number
  readonly tailRowsMax: number
  readonly guards: Guards
}

/** What the primary answers to a renewal, all of it read in the renewal's own statement. */
export interface RenewalAnswer {
  /** Whether this member's row was there and alive; if not, the member is fenced. */
  readonly alive: boolean
  readonly seq: number
  readonly timeline: string
  /** The newest log rows after the position that was sent, at most as many as were asked for, oldest first. */
  readonly rows: readonly LoggedChange[]
  /** `clock_timestamp()`, milliseconds since the epoch. */
  readonly databaseTime: number
}

/** A renewal under way: `sentAt` was read before it was sent, `applied` is what it acknowledges. */
export interface Renewing {
  readonly number: number
  readonly sentAt: number
  readonly applied: number
}

export interface WindowState {
  readonly terms: Terms
  readonly phase: 'new' | 'joining' | 'member' | 'left'
  /** The id under which this replica is, or is about to be, a member. */
  readonly id: string | undefined
  readonly windowEnd: number
  /** An entry older than this cannot be judged. */
  readonly floor: number
  /** Everything up to here has been applied; only the log moves it. */
  readonly applied: number
  /** Up to where the primary is known to have this replica's acknowledgement. */
  readonly acked: number
  readonly timeline: string | undefined
  /** The log. */
  readonly tail: Tail
  /** What hints told of the time after `applied`; forgotten when the log tells it. */
  readonly ahead: Tail
  readonly renewing: Renewing | undefined
  /** Something happened since the renewal under way was sent: send another one right after it. */
  readonly again: boolean
  /** When to join or to renew next. */
  readonly due: number
  readonly failures: number
  readonly sent: number
  /** The database's clock as read at some moment after `at`. */
  readonly shown: { readonly at: number, readonly databaseTime: number } | undefined
  /** Kept by timers; read only where a guard is switched off. */
  readonly flag: boolean
  /** Rows whose application was put off; only where a guard is switched off. */
  readonly late: readonly LoggedChange[]
}

export type WindowEvent =
  | { readonly kind: 'start' }
  /** The membership is committed. `seen`: what the joining transaction itself read, if it did; never good enough. */
  | { readonly kind: 'joined', readonly id: string, readonly seen?: RenewalAnswer | undefined }
  | { readonly kind: 'joinFailed' }
  | { readonly kind: 'renewed', readonly number: number, readonly answer: RenewalAnswer, readonly sentAt?: number }
  | { readonly kind: 'renewFailed', readonly number: number }
  /** A committed change, told by another replica or by this one. `timeline`: where it was committed, if known. */
  | { readonly kind: 'hint', readonly change: LoggedChange, readonly timeline: string | undefined }
  /** Some time has passed. */
  | { readonly kind: 'tick' }
  /** Someone waits for the window to open. */
  | { readonly kind: 'wanted' }
  | { readonly kind: 'leave' }

export type WindowEffect =
  /** Commit a membership row, under a new id if `fresh`. */
  | { readonly kind: 'join', readonly fresh: boolean }
  | {
    readonly kind: 'renew'
    readonly number: number
    readonly id: string
    readonly applied: number
    readonly acked: number
    readonly timeline: string | undefined
    readonly rowsMax: number
  }
  /** This renewal took too long: whatever it answers is not wanted, and its connection is suspect. */
  | { readonly kind: 'abandon', readonly number: number }
  /** Drop what is cached of the target and end its streams, now. */
  | { readonly kind: 'drop', readonly target: ChangeTarget, readonly action: 'revoke' | 'change' }
  /** Drop everything that is cached: it can no longer be judged. */
  | { readonly kind: 'dropAll' }
  | { readonly kind: 'leave', readonly id: string }
  /** Send a `tick` then, and not much later; replaces the wish before. */
  | { readonly kind: 'wakeAt', readonly at: number }

export function initialState (terms: Terms): WindowState {
  return {
    terms,
    phase: 'new',
    id: undefined,
    windowEnd: -Infinity,
    floor: Infinity,
    applied: 0,
    acked: 0,
    timeline: undefined,
    tail: emptyTail,
    ahead: emptyTail,
    renewing: undefined,
    again: false,
    due: Infinity,
    failures: 0,
    sent: 0,
    shown: undefined,
    flag: false,
    late: []
  }
}
