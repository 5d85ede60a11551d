import type { ChangeTarget } from '../lookup.ts'
import type { Digest } from '../key-record.ts'
import { renewalPeriodMs, waitOutMs } from './durations.ts'
import { initialState, isOpen, labelOf, type HeldRevocations, type History, type Renewing, type WindowState } from './judge.ts'
import { extendChanges, noChanges, rowsOf, type RecentChanges } from './recent-changes.ts'
import type { LoggedChange } from './trust.ts'

/*
 * The protocol of one replica (R2 to R4, R7, R9, R11, R16), as a state machine without a clock, a timer, randomness or any input and
 * output. `step` takes what the replica knows, what happened, and the monotonic time at which it happened; it answers what the
 * replica knows then, and what has to be done, in that order and in the same turn.
 *
 *   new      -> joining   start: commit a row of members under a fresh id
 *   joining  -> member    the row is committed: send the first renewal
 *   member   -> member    a renewal is answered: changes are applied, then the window opens until D after the sending
 *   member   -> joining   fenced: our row is dead, gone or of another history; drop everything, take another id
 *   any      -> left      leave: shut the window for good, delete the row
 */

/** What the primary answers to a renewal, all of it read in the renewal's own statement. */
export interface RenewalAnswer {
  /** Our row: alive and with a beat of ours; counted out as silent; or not there, or with a beat that we never sent. */
  readonly row: 'alive' | 'dead' | 'missing'
  /** The lineage in our row. */
  readonly lineage: string | undefined
  readonly history: History
  readonly seq: number
  /** The newest log rows after the position that was sent, at most as many as were asked for, oldest first. */
  readonly rows: readonly LoggedChange[]
  /** `clock_timestamp()`, milliseconds since the epoch. */
  readonly databaseTime: number
  /** The longest window of any living member. */
  readonly windowMs: number
}

/** What a replica tells the others over Redis (R11). */
export interface Announcement {
  readonly change: LoggedChange
  /** Where the change was committed; `undefined`: its maker takes no part in any lineage. */
  readonly label: string | undefined
  /** The id of the member that made the change. */
  readonly from: string
  /** Names the wait that wants an acknowledgement; `undefined`: none is wanted. */
  readonly nonce: string | undefined
  /** Which members have to renew at once. */
  readonly renew: 'none' | 'all' | readonly string[]
}

/** Every event brings a random name along, for whatever needs a fresh one: an id, or the beat of a renewal. */
export type WindowEvent = { readonly fresh: string } & (
  | { readonly kind: 'start' }
  /** The row of members is committed. */
  | { readonly kind: 'joined', readonly id: string }
  | { readonly kind: 'joinFailed' }
  | { readonly kind: 'renewed', readonly number: number, readonly answer: RenewalAnswer }
  | { readonly kind: 'renewFailed', readonly number: number }
  /** A committed change, told by another replica or by this one. */
  | { readonly kind: 'announced', readonly announcement: Announcement }
  /** An acknowledgement could not be sent: the next renewal has to bring it. */
  | { readonly kind: 'acknowledgementLost', readonly seq: number }
  /** A caller needs the current state of the primary: the next renewal, not one that is under way. */
  | { readonly kind: 'called' }
  /** Someone waits for the window to open. */
  | { readonly kind: 'wanted' }
  /** The living members were read. */
  | { readonly kind: 'counted', readonly members: number }
  /** The database was told of held revocations: it has them all now, or it is not known whether it has. */
  | { readonly kind: 'putBack', readonly number: number, readonly isDone: boolean }
  /** Some time has passed. */
  | { readonly kind: 'tick' }
  | { readonly kind: 'leave' }
)

export interface RenewEffect {
  readonly kind: 'renew'
  readonly number: number
  readonly id: string
  readonly beat: string
  /** What our row may bear; it is renewed only if it bears one of these. */
  readonly beats: readonly string[]
  /** What is acknowledged, and after which rows of the log are asked for. */
  readonly applied: number
  /** Whether our row loses its lineage: our window has ended, and the database may have been set back meanwhile. */
  readonly givesUpLineage: boolean
  readonly rowsMax: number
}

export type WindowEffect =
  /** Commit a row of members; a former id of ours is marked dead in the same transaction. */
  | { readonly kind: 'join', readonly id: string, readonly formerId: string | undefined }
  | RenewEffect
  /** This renewal took too long: whatever it answers is not wanted, and its connection is suspect. */
  | { readonly kind: 'abandon', readonly number: number }
  /** This answer cannot be of the primary: its connection is suspect, and so are all others to that server. */
  | { readonly kind: 'refuse' }
  /** Drop what is cached of the target and end its streams, now. */
  | { readonly kind: 'drop', readonly target: ChangeTarget, readonly action: 'revoke' | 'change' }
  /** Drop everything that is cached: it can no longer be judged. */
  | { readonly kind: 'dropAll' }
  /** Tell `to` that this id refuses, for ever, entries older than `seq` of what changed there. Only after the drops before it. */
  | { readonly kind: 'acknowledge', readonly to: string, readonly label: string, readonly seq: number, readonly nonce: string }
  /** The log has another change at this position than an announcement told. */
  | { readonly kind: 'contradicted', readonly seq: number }
  /** Revoke in the database what it may have lost (R16). */
  | { readonly kind: 'putBack', readonly number: number, readonly lineage: string, readonly heardBy: string | undefined, readonly digests: readonly Digest[] }
  | { readonly kind: 'leave', readonly id: string }
  /** Send a `tick` then, and not much later; replaces the wish before. */
  | { readonly kind: 'wakeAt', readonly at: number }

type Stepped = [WindowState, WindowEffect[]]

const aheadRowsMax = 1000
/** Proofs that are kept at a time, the newest: one for each lineage that our row bore under one id, and one for each id under which we heard of revocations without any. */
const heldMax = 12
/** Of one proof; the oldest are given up. As many rows as the log keeps. */
const heldDigestsMax = 10_000
const lineagesMax = 16
const retryMs = 25
/** The shortest time between two renewals that others asked for: an attacker who can write to Redis can ask at any rate. */
const callGapMs = 20
/** Beats that our row may bear, at most. In a longer outage those between are forgotten: should one of them be it, the replica joins anew. */
const beatsMax = 100

export function step (state: WindowState, event: WindowEvent, now: number): Stepped {
  const [next, effects] = react(state, event, now)
  const [sent, sending] = sendWhatIsDue(next, event.fresh, now)
  return [sent, [...effects, ...sending, { kind: 'wakeAt', at: wakeAt(sent) }]]
}

function react (state: WindowState, event: WindowEvent, now: number): Stepped {
  if (state.phase === 'left') return [state, []]
  switch (event.kind) {
    case 'start': return state.phase === 'new' ? join(state, event.fresh) : [state, []]
    case 'joined': return [joined(state, event.id, now), []]
    case 'joinFailed': return [state.phase === 'joining' ? failed(state, now) : state, []]
    case 'renewed': return renewed(state, event, now)
    case 'renewFailed': return [state.renewing?.number === event.number ? failed(state, now) : state, []]
    case 'announced': return announced(state, event.announcement, now)
    case 'acknowledgementLost': return [acknowledgementLost(state, event.seq, now), []]
    case 'called': return [hurry(state, now), []]
    case 'wanted': return [wanted(state, now), []]
    case 'counted': return [{ ...state, members: Math.max(1, event.members) }, []]
    case 'putBack': return [putBack(state, event, now), []]
    case 'tick': return tick(state, now)
    case 'leave': return left(state)
  }
}

/** Drops everything and becomes someone else: nothing of the former member is worth anything to the new one. */
function join (state: WindowState, fresh: string): Stepped {
  const { terms, sent, slowUntil, members, held, id: formerId } = state
  const joining: WindowState = { ...initialState(terms), phase: 'joining', id: fresh, formerId, sent, slowUntil, members, held }
  return [joining, [{ kind: 'join', id: fresh, formerId }]]
}

function joined (state: WindowState, id: string, now: number): WindowState {
  if (state.phase !== 'joining' || state.id !== id) return state
  // The row's first beat is its id.
  return { ...state, phase: 'member', beats: [id], due: now, failures: 0 }
}

function renewed (state: WindowState, { number, answer, fresh }: Extract<WindowEvent, { kind: 'renewed' }>, now: number): Stepped {
  const { renewing } = state
  if (state.phase !== 'member' || renewing?.number !== number) return [state, []]
  const isOfOurs = answer.lineage === undefined || answer.lineage === answer.history.lineage
  if (answer.row !== 'alive' || !isOfOurs) return fenced(state, answer, fresh, now)
  if (answer.seq < renewing.applied) {
    // Our row is there and the clock went back: no history of ours. While the window is open, another look may show the primary.
    return isOpen(state, now) ? [failed(state, now), [{ kind: 'refuse' }]] : fenced(state, answer, fresh, now)
  }
  // With the lineage we lose the proof of where they belong, if the database has no row of our id.
  const losesLineage = state.lineage !== undefined && answer.lineage === undefined
  const [applied, effects] = apply(losesLineage ? { ...state, ...hold(state) } : state, answer, renewing, now)
  const [asked, asking] = askForHeld({
    ...applied,
    ...letGo(applied, number),
    renewing: undefined,
    failures: 0,
    beats: [renewing.beat],
    hurryAt: Infinity,
    due: Math.min(renewing.sentAt + renewalPeriodMs(state.terms.windowMs, state.members), Math.max(now, applied.hurryAt)),
    windowEnd: Math.max(applied.windowEnd, renewing.sentAt + state.terms.windowMs),
    shown: { at: renewing.sentAt, databaseTime: answer.databaseTime }
  })
  return [asked, [...effects, ...asking]]
}

/** Counted out, or of a history that is no more: shut the window, drop everything, join under a new id (R4). */
function fenced (state: WindowState, answer: RenewalAnswer, fresh: string, now: number): Stepped {
  // One that was only counted out knows of no change of history: acknowledgements are as good as they were.
  const isCountedOut = answer.row === 'dead' && answer.history.lineage === state.history?.lineage && answer.history.timeline === state.history.timeline
  const slowUntil = isCountedOut ? state.slowUntil : now + waitOutMs(Math.max(state.terms.windowMs, answer.windowMs))
  const [joining, effects] = join({ ...state, ...hold(state), slowUntil }, fresh)
  return [joining, [{ kind: 'dropAll' }, ...effects]]
}

/** In one turn: rows into what is known, what they concern out of the caches, then the position. The window comes after it (R4). */
function apply (state: WindowState, answer: RenewalAnswer, renewing: Renewing, now: number): Stepped {
  const isOtherTimeline = state.history !== undefined && answer.history.timeline !== state.history.timeline
  const contradicted = contradictionIn(state.ahead, answer.rows)
  if (isOtherTimeline || contradicted !== undefined) {
    const slowUntil = now + waitOutMs(Math.max(state.terms.windowMs, answer.windowMs))
    return [{
      ...state,
      history: answer.history,
      lineages: lineagesWith(state, answer.history),
      lineage: answer.lineage,
      applied: answer.seq,
      floor: answer.seq,
      recent: noChanges,
      ahead: noChanges,
      acknowledged: new Set(),
      ...hold(state),
      slowUntil,
      hurryAt: now
    }, [{ kind: 'dropAll' }, ...(contradicted === undefined ? [] : [{ kind: 'contradicted' as const, seq: contradicted }])]]
  }
  const { changes: recent, prunedTo } = extendChanges(state.recent, answer.rows, state.terms.rowsMax)
  // Before its first renewal a replica has no floor: nothing that it holds can be judged.
  const known = state.floor === Infinity ? 0 : state.floor
  return [{
    ...state,
    history: answer.history,
    lineages: lineagesWith(state, answer.history),
    lineage: answer.lineage,
    applied: Math.max(state.applied, answer.seq),
    floor: Math.max(known, missingUpTo(answer, renewing.applied), prunedTo),
    recent,
    ahead: after(state.ahead, answer.seq),
    acknowledged: new Set([...state.acknowledged].filter((seq) => seq > answer.seq)),
    // These changes have not been acknowledged yet. The next renewal acknowledges them: send it at once, because a revocation may be waiting for it.
    hurryAt: isNews(state, answer, renewing) ? now : state.hurryAt
  }, answer.rows.map(({ target, action }) => ({ kind: 'drop', target, action }))]
}

function lineagesWith ({ lineages }: WindowState, { lineage, former }: History): readonly string[] {
  if (lineages[0] === lineage) return lineages
  const known = former === undefined || lineages.includes(former) ? [lineage] : [lineage, former]
  return [...new Set([...known, ...lineages])].slice(0, lineagesMax)
}

function isNews ({ acknowledged }: WindowState, { seq, rows }: RenewalAnswer, { applied }: Renewing): boolean {
  if (seq <= applied) return false
  return rows.length !== seq - applied || !rows.every((row) => acknowledged.has(row.seq))
}

/**
 * Each position has one row. The newest position below `seq` that came without one, or 0: rows beyond the number
 * asked for, rows that were pruned from the table, and any hole whatever its cause.
 */
function missingUpTo ({ seq, rows }: RenewalAnswer, applied: number): number {
  let whole = seq
  for (let i = rows.length - 1; i >= 0 && rows[i]?.seq === whole; i--) whole--
  return whole > applied ? whole : 0
}

/** The position at which the log tells of another change than an announcement did, if there is one. */
function contradictionIn (ahead: RecentChanges, rows: readonly LoggedChange[]): number | undefined {
  if (ahead.size === 0) return undefined
  const logged = new Map(rows.map((row) => [row.seq, row]))
  return rowsOf(ahead).find((told) => {
    const row = logged.get(told.seq)
    return row !== undefined && !isSame(row, told)
  })?.seq
}

function after (ahead: RecentChanges, applied: number): RecentChanges {
  if (ahead.newest <= applied) return noChanges
  return extendChanges(noChanges, rowsOf(ahead).filter((row) => row.seq > applied), Infinity).changes
}

function failed (state: WindowState, now: number): WindowState {
  const pauseMs = Math.min(renewalPeriodMs(state.terms.windowMs, state.members), retryMs * 2 ** state.failures)
  return { ...state, renewing: undefined, failures: Math.min(state.failures + 1, 10), due: now + pauseMs }
}

/** Remembers a change before it is acknowledged: from then on this id refuses every older entry of its target (R11). */
function announced (state: WindowState, announcement: Announcement, now: number): Stepped {
  const { change, label, from, nonce, renew } = announcement
  const isOwn = from === state.id
  const calls = renew === 'all' || (renew !== 'none' && state.id !== undefined && renew.includes(state.id))
  const called = calls ? hurry(state, now) : state
  if (state.phase !== 'member') return [called, []]
  const ourLabel = labelOf(state)
  // Another history, or one that we take no part in: only a renewal can tell what the change is to us.
  if (!isOwn && (ourLabel === undefined || label !== ourLabel)) return [hurry(state, now), []]
  const acknowledgement: WindowEffect[] = nonce === undefined ? [] : [{ kind: 'acknowledge', to: from, label: label ?? '', seq: change.seq, nonce }]
  if (change.seq <= state.applied) return [called, acknowledgement]
  const rows = rowsOf(state.ahead)
  const acknowledged = nonce === undefined ? state.acknowledged : new Set([...state.acknowledged, change.seq])
  if (rows.some((row) => isSame(row, change))) return [{ ...called, acknowledged }, acknowledgement]
  const { changes: ahead, prunedTo } = extendChanges(noChanges, inOrder([...rows, change]), Math.min(aheadRowsMax, state.terms.rowsMax))
  return [
    { ...called, ahead, acknowledged, floor: Math.max(state.floor, prunedTo) },
    [{ kind: 'drop', target: change.target, action: change.action }, ...acknowledgement]
  ]
}

function acknowledgementLost (state: WindowState, seq: number, now: number): WindowState {
  return hurry({ ...state, acknowledged: new Set([...state.acknowledged].filter((other) => other !== seq)) }, now)
}

/** Another renewal as soon as it may be; while the database does not answer, in its time. */
function hurry (state: WindowState, now: number): WindowState {
  if (state.phase !== 'member') return state
  const at = Math.max(now, state.sentAt + callGapMs)
  if (state.renewing !== undefined) return { ...state, hurryAt: Math.min(state.hurryAt, at) }
  return state.failures > 0 ? state : { ...state, due: Math.min(state.due, at) }
}

function wanted (state: WindowState, now: number): WindowState {
  if (state.phase !== 'member' || state.renewing !== undefined) return state
  return { ...state, due: Math.min(state.due, now + (state.failures === 0 ? 0 : retryMs)) }
}

/** Key revocations that must not be forgotten with what is dropped: the database may have lost them (R16), also those that it had before. */
function hold (state: WindowState): Pick<WindowState, 'held' | 'kept'> {
  const { id, lineage, lineages, history, recent, ahead } = state
  const revoked = [recent, ahead].flatMap(rowsOf).flatMap(({ action, target }) => action === 'revoke' && target.kind === 'key' ? target.digests : [])
  const before = upToDate([...state.kept, ...state.held].map(forgetAsked), state)
  if (history === undefined || id === undefined || revoked.length === 0) return { held: before, kept: [] }
  const proof = { lineage: lineage ?? history.lineage, isBorne: lineage !== undefined, id, others: lineages, asked: undefined }
  const known = before.find((one) => one.lineage === proof.lineage && one.isBorne === proof.isBorne && one.id === id)
  const digests = new Set([...new Set([...known?.digests ?? [], ...revoked])].slice(-heldDigestsMax))
  return { held: [...before.filter((one) => one !== known), { ...proof, digests }].slice(-heldMax), kept: [] }
}

/** While we have the id under which they were heard, each lineage that the database gets is one more that it has had. */
function upToDate (held: readonly HeldRevocations[], { id, lineages }: WindowState): readonly HeldRevocations[] {
  return held.map((one) => one.id === id ? { ...one, others: lineages } : one)
}

function forgetAsked ({ thereAfter, ...held }: HeldRevocations): HeldRevocations {
  return { ...held, asked: undefined }
}

/** Where the database proves to be of the history in which they were heard, it is told; elsewhere they are no business of it. */
function askForHeld (state: WindowState): Stepped {
  const { history, sent } = state
  if (history === undefined) return [state, []]
  const held = upToDate(state.held, state).filter((one) => one.asked !== undefined || proofOf(one, history) !== undefined)
  const next = held.find(({ asked }) => asked === undefined)
  const proof = next && proofOf(next, history)
  if (next === undefined || proof === undefined || held.some(isBeingTold)) return [{ ...state, held }, []]
  return [
    { ...state, held: held.map((one) => one === next ? { ...one, asked: sent } : one) },
    [{ kind: 'putBack', number: sent, ...proof, digests: [...next.digests] }]
  ]
}

function isBeingTold ({ asked, thereAfter }: HeldRevocations): boolean {
  return asked !== undefined && thereAfter === undefined
}

/**
 * By what a database proves that the revocations belong there: by the lineage in which they were heard; or, where it was set back to before that lineage began,
 * by one that it had before, and our id. The lineage alone would not do: a copy that founded one of its own comes after that of the original too.
 */
function proofOf ({ lineage, others, isBorne, id }: HeldRevocations, history: History): { readonly lineage: string, readonly heardBy: string | undefined } | undefined {
  const known = [history.lineage, history.former]
  if (known.includes(lineage)) return { lineage, heardBy: isBorne ? undefined : id }
  const other = others.find((one) => known.includes(one))
  return other === undefined ? undefined : { lineage: other, heardBy: id }
}

/** Another replica may have revoked them, at a position that we have not applied: an entry read just before it is refused until we have. */
function putBack (state: WindowState, { number, isDone }: Extract<WindowEvent, { kind: 'putBack' }>, now: number): WindowState {
  const told = state.held.find((one) => one.asked === number && isBeingTold(one))
  if (told === undefined) return state
  const held = state.held.map((one) => one === told ? { ...one, ...(isDone ? { thereAfter: state.sent } : { asked: undefined }) } : one)
  return isDone ? hurry({ ...state, held }, now) : { ...state, held }
}

/** What the database has, it may lose again to a standby that lacks it, and our id and lineage of now: the older ones are the proof for that one. */
function letGo ({ held, kept }: WindowState, number: number): Pick<WindowState, 'held' | 'kept'> {
  const isThere = ({ thereAfter }: HeldRevocations) => thereAfter !== undefined && number > thereAfter
  return { held: held.filter((one) => !isThere(one)), kept: [...kept, ...held.filter(isThere)].slice(-heldMax) }
}

function tick (state: WindowState, now: number): Stepped {
  const { renewing, terms } = state
  if (renewing === undefined || now < renewing.sentAt + terms.renewalTimeoutMs) return [state, []]
  return [{ ...failed(state, now), due: now }, [{ kind: 'abandon', number: renewing.number }]]
}

function left (state: WindowState): Stepped {
  const gone: WindowState = { ...initialState(state.terms), phase: 'left', sent: state.sent }
  const leaving: WindowEffect[] = state.id === undefined ? [] : [{ kind: 'leave', id: state.id }]
  return [gone, [{ kind: 'dropAll' }, ...leaving]]
}

function sendWhatIsDue (state: WindowState, fresh: string, now: number): Stepped {
  const { phase, id, renewing, terms, applied, beats } = state
  if (id === undefined || now < state.due || renewing !== undefined) return [state, []]
  if (phase === 'joining') return [{ ...state, due: Infinity }, [{ kind: 'join', id, formerId: state.formerId }]]
  if (phase !== 'member') return [state, []]
  const number = state.sent + 1
  // What our row may bear from now on: the last that was answered, or any that was sent since.
  const [last, ...unanswered] = beats
  const kept = last === undefined ? [] : [last, ...unanswered.slice(-(beatsMax - 2))]
  return [
    { ...state, sent: number, sentAt: now, beats: [...kept, fresh], due: Infinity, renewing: { number, sentAt: now, applied, beat: fresh } },
    [{
      kind: 'renew',
      number,
      id,
      beat: fresh,
      beats: kept,
      applied,
      givesUpLineage: state.shown !== undefined && !isOpen(state, now),
      rowsMax: terms.rowsMax
    }]
  ]
}

function wakeAt (state: WindowState): number {
  return state.renewing === undefined ? state.due : state.renewing.sentAt + state.terms.renewalTimeoutMs
}

function isSame (one: LoggedChange, other: LoggedChange): boolean {
  if (one.seq !== other.seq || one.action !== other.action || one.target.kind !== other.target.kind) return false
  if (one.target.kind === 'key' && other.target.kind === 'key') {
    const digests = new Set(other.target.digests)
    return one.target.digests.length === digests.size && one.target.digests.every((digest) => digests.has(digest))
  }
  return one.target.kind !== 'workspace' || other.target.kind !== 'workspace' || one.target.workspaceId === other.target.workspaceId
}

function inOrder (rows: readonly LoggedChange[]): LoggedChange[] {
  return [...rows].sort((one, other) => one.seq - other.seq)
}
