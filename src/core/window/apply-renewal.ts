import type { LoggedChange } from './trust.ts'
import { emptyTail, extendTail, type Tail } from './tail.ts'
import type { RenewalAnswer, Renewing, WindowEffect, WindowState } from './state.ts'

/**
 * The answer of a renewal, in one turn (R4): rows into the tail, what they concern out of the caches, then the
 * position, and only then the window, counted from the sending.
 */
export function applyRenewal (state: WindowState, answer: RenewalAnswer, renewing: Renewing, now: number): [WindowState, WindowEffect[]] {
  const { guards, windowMs } = state.terms
  const [applied, effects] = applyLog(state, answer)
  const opensUntil = (guards.windowFromSend ? renewing.sentAt : now) + windowMs
  return [{
    ...applied,
    windowEnd: Math.max(applied.windowEnd, opensUntil),
    flag: now < Math.max(applied.windowEnd, opensUntil),
    acked: renewing.applied,
    shown: { at: renewing.sentAt, databaseTime: answer.databaseTime }
  }, effects]
}

function applyLog (state: WindowState, answer: RenewalAnswer): [WindowState, WindowEffect[]] {
  const { guards } = state.terms
  const isReset = state.timeline !== undefined && (answer.timeline !== state.timeline || answer.seq < state.applied)
  if (guards.timelineResets && isReset) {
    return [{
      ...state, timeline: answer.timeline, applied: answer.seq, floor: answer.seq, tail: emptyTail, ahead: emptyTail
    }, [{ kind: 'dropAll' }]]
  }
  if (!guards.appliedBeforeOpened) return [{ ...addRows(state, state.late, answer), late: answer.rows }, []]
  return [addRows(state, answer.rows, answer), answer.rows.map(({ target, action }) => ({ kind: 'drop', target, action }))]
}

function addRows (state: WindowState, rows: readonly LoggedChange[], answer: RenewalAnswer): WindowState {
  const { guards, tailRowsMax } = state.terms
  const { tail, prunedTo } = extendTail(state.tail, rows, tailRowsMax)
  const missing = missingUpTo(answer, state.applied)
  // Before its first renewal a replica has no floor: nothing that it holds can be judged.
  const known = state.floor === Infinity ? 0 : state.floor
  return {
    ...state,
    timeline: answer.timeline,
    applied: Math.max(state.applied, answer.seq),
    floor: guards.floorRaised ? Math.max(known, missing, prunedTo) : known,
    tail,
    ahead: aheadOf(state.ahead, answer.seq)
  }
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

export function aheadOf (ahead: Tail, applied: number): Tail {
  if (ahead.newest <= applied) return emptyTail
  const rows = ahead.segments.flatMap((segment) => segment.rows).filter((row) => row.seq > applied)
  return extendTail(emptyTail, inOrder(rows), Infinity).tail
}

export function inOrder (rows: readonly LoggedChange[]): LoggedChange[] {
  return [...rows].sort((one, other) => one.seq - other.seq)
}
