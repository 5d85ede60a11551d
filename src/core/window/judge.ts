import type { Digest } from '../key-record.ts'
import type { Entry } from '../lookup.ts'
import { newsOf, noChanges, type RecentChanges } from './recent-changes.ts'
import type { Standing } from './trust.ts'

/** What does not change while a replica runs. */
export interface Terms {
  /** D */
  readonly windowMs: number
  readonly renewalTimeoutMs: number
  /** Rows of the log that are held. */
  readonly rowsMax: number
}

/** Which history of which database an answer is of. */
export interface History {
  /** The random name in the clock row. A copy of the database gets another one before any of its replicas uses Redis (R9). */
  readonly lineage: string
  /** The lineage before this one, if there was any. */
  readonly former: string | undefined
  /** Of the write-ahead log; empty where a database does not tell it. */
  readonly timeline: string
  /** Of the server; empty where a database does not tell it. */
  readonly serverStart: string
}

/** A renewal under way: `sentAt` was read before it was sent. */
export interface Renewing {
  readonly number: number
  readonly sentAt: number
  readonly applied: number
  readonly beat: string
}

/** Revocations that a replica has heard of and that its database may have lost (R16): refused until the database has them. */
export interface HeldRevocations {
  /** The lineage in which they were heard. */
  readonly lineage: string
  /** Other lineages that this database has had, as far as the member `id` has seen. */
  readonly others: readonly string[]
  /**
   * Whether our row bore the lineage: then that alone proves where they belong. Otherwise only a database that knows `id` is told of them. A copy has the lineage
   * of the original until it founds one, and what was revoked there is no business of the original.
   */
  readonly isBorne: boolean
  /** Our id when they were heard. */
  readonly id: string
  readonly digests: ReadonlySet<Digest>
  /** The database is being told of them, and this numbers the telling; `undefined`: it has to be told. */
  readonly asked: number | undefined
  /** The database has them all, and this was the newest renewal sent until then: what a later one tells is known before they are let go. */
  readonly thereAfter?: number
}

/** What one replica knows. Only `step` makes another one of it. */
export interface WindowState {
  readonly terms: Terms
  readonly phase: 'new' | 'joining' | 'member' | 'left'
  /** The id under which this replica is, or is about to be, a member. */
  readonly id: string | undefined
  /** The id before this one, whose row is worth nothing any more. */
  readonly formerId: string | undefined
  /** The random marks of which our row in the database bears one: that of the newest answered renewal, and those sent since without an answer (R3). */
  readonly beats: readonly string[]
  readonly windowEnd: number
  /** An entry older than this cannot be judged. */
  readonly floor: number
  /** Everything up to here has been applied; only the log moves it. */
  readonly applied: number
  /** As of the newest answered renewal. */
  readonly history: History | undefined
  /** The lineages that the database has had since we joined under this id, and those before them; newest first. */
  readonly lineages: readonly string[]
  /** The lineage that our own row bears; `undefined` until a member admits us, or we found a new one. */
  readonly lineage: string | undefined
  /** What the log has told. */
  readonly recent: RecentChanges
  /** What announcements told of the time after `applied`; forgotten when the log tells it. */
  readonly ahead: RecentChanges
  /** Positions in `ahead` whose makers have our acknowledgement already: the next renewal need not hurry for them. */
  readonly acknowledged: ReadonlySet<number>
  /** Few, oldest first; the database is told of one after another. */
  readonly held: readonly HeldRevocations[]
  /** What the database was told of and has: not refused on that account any more, but held again when the history changes, because a second failover can lose it again. */
  readonly kept: readonly HeldRevocations[]
  /** After a change of history acknowledgements prove nothing until every window of the history before has ended (R8 d). */
  readonly slowUntil: number
  /** Living members, as they were counted last. */
  readonly members: number
  readonly renewing: Renewing | undefined
  /** When to send the next renewal because a caller waits for it, after the one under way has been answered. Infinity: no caller waits. */
  readonly hurryAt: number
  /** When the newest renewal was sent. */
  readonly sentAt: number
  /** When to join or to renew next. */
  readonly due: number
  readonly failures: number
  readonly sent: number
  /** The database's clock as read at some moment after `at`. */
  readonly shown: { readonly at: number, readonly databaseTime: number } | undefined
}

export function initialState (terms: Terms): WindowState {
  return {
    terms,
    phase: 'new',
    id: undefined,
    formerId: undefined,
    beats: [],
    windowEnd: -Infinity,
    floor: Infinity,
    applied: 0,
    history: undefined,
    lineage: undefined,
    recent: noChanges,
    ahead: noChanges,
    acknowledged: new Set(),
    lineages: [],
    held: [],
    kept: [],
    slowUntil: -Infinity,
    members: 1,
    renewing: undefined,
    hurryAt: Infinity,
    sentAt: -Infinity,
    due: Infinity,
    failures: 0,
    sent: 0,
    shown: undefined
  }
}

/**
 * The final check (R6), in one synchronous turn: `now` is a fresh reading of the monotonic clock, taken after the
 * last await. Comparisons are written so that a NaN refuses.
 */
export function judge (state: WindowState, entry: Entry, now: number, isFresh: boolean): Standing {
  return isOpen(state, now) ? judgeFreshness(state, entry, isFresh) : 'shut'
}

export function isOpen (state: WindowState, now: number): boolean {
  return now < state.windowEnd
}

/** The part of the check that needs no clock. Alone it proves nothing: only the log read within the window is known to be whole. */
export function judgeFreshness ({ floor, recent, ahead, held }: WindowState, { record, asof, seq }: Entry, isFresh: boolean): Standing {
  if (held.length > 0 && held.some(({ digests }) => digests.has(record.digest))) return 'revoked'
  const position = isFresh && seq !== undefined ? seq : asof
  if (!(position >= floor)) return 'stale'
  // Nearly every hit ends here: nothing at all has been logged since the entry was read.
  if (recent.newest <= position && ahead.newest <= position) return 'current'
  const { digest, workspaceId } = record
  const logged = newsOf(recent, position, digest, workspaceId)
  if (logged === 'revoked') return 'revoked'
  const heard = newsOf(ahead, position, digest, workspaceId)
  if (heard === 'revoked') return 'revoked'
  return logged === 'changed' || heard === 'changed' ? 'stale' : 'current'
}

/** The label under which rows and announcements are exchanged over Redis (R0); `undefined`: this replica takes part in nothing there. */
export function labelOf ({ history, lineage }: WindowState): string | undefined {
  if (history === undefined || lineage === undefined || lineage !== history.lineage) return undefined
  return `${lineage}/${placeOf(history)}`
}

/**
 * Until when, on the database's clock, this replica may give its lineage to others; `undefined`: not now. A database that is set back
 * while a replica is stopped finds that replica's row as it left it. It takes W to set it back, and within D of the newest answered
 * renewal, which the statement checks when it is carried out, it cannot have happened (R9).
 */
export function admitsUntil (state: WindowState, now: number): number | undefined {
  const { shown, terms } = state
  if (shown === undefined || labelOf(state) === undefined || !isOpen(state, now)) return undefined
  return shown.databaseTime + terms.windowMs
}

/** The server and its history, as a statement of any kind can tell it. */
export function placeOf ({ timeline, serverStart }: Pick<History, 'timeline' | 'serverStart'>): string {
  return `${timeline}/${serverStart}`
}
