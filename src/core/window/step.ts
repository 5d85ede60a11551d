import { applyRenewal, inOrder } from './apply-renewal.ts'
import { emptyTail, extendTail } from './tail.ts'
import type { LoggedChange } from './trust.ts'
import { initialState, type RenewalAnswer, type Renewing, type WindowEffect, type WindowEvent, type WindowState } from './state.ts'

type Stepped = [WindowState, WindowEffect[]]

const aheadRowsMax = 1000
const retryMs = 25

/**
 * The protocol of one replica (R2 to R4, R7, R9, R11): what it knows, what happened, and the monotonic time at which
 * it happened, to what it then knows and what is to be done, in that order and in the same turn. No clock, no
 * timer, no randomness and no input or output of its own.
 */
export function step (state: WindowState, event: WindowEvent, now: number): Stepped {
  const [next, effects] = react(state, event, now)
  const [sent, sending] = sendWhatIsDue(next, now)
  const settled = { ...sent, flag: sent.flag && now < sent.windowEnd }
  return [settled, [...effects, ...sending, { kind: 'wakeAt', at: wakeAt(settled) }]]
}

function react (state: WindowState, event: WindowEvent, now: number): Stepped {
  if (state.phase === 'left') return [state, []]
  switch (event.kind) {
    case 'start': return state.phase === 'new' ? join(state) : [state, []]
    case 'joined': return joined(state, event.id, event.seen, now)
    case 'joinFailed': return [state.phase === 'joining' ? failed(state, now) : state, []]
    case 'renewed': return renewed(state, event, now)
    case 'renewFailed': return [state.renewing?.number === event.number ? failed(state, now) : state, []]
    case 'hint': return hinted(state, event.change, event.timeline)
    case 'tick': return tick(state, now)
    case 'wanted': return [state.phase === 'member' ? { ...state, due: Math.min(state.due, now + (state.failures === 0 ? 0 : retryMs)) } : state, []]
    case 'leave': return left(state)
  }
}

/** Drops everything and becomes someone else: nothing of the former member is worth anything to the new one. */
function join (state: WindowState): Stepped {
  const fresh = initialState(state.terms)
  return [{ ...fresh, phase: 'joining', sent: state.sent }, [{ kind: 'join', fresh: state.terms.guards.idsFresh }]]
}

function joined (state: WindowState, id: string, seen: RenewalAnswer | undefined, now: number): Stepped {
  if (state.phase !== 'joining') return [state, []]
  const member: WindowState = { ...state, phase: 'member', id, due: now, failures: 0 }
  if (seen === undefined || state.terms.guards.joinedFirst) return [member, []]
  return applyRenewal(member, seen, { number: 0, sentAt: now, applied: 0 }, now)
}

function renewed (state: WindowState, { number, answer, sentAt }: Extract<WindowEvent, { kind: 'renewed' }>, now: number): Stepped {
  const awaited = state.renewing?.number === number
  if (state.phase !== 'member' || (!awaited && state.terms.guards.lateAnswersIgnored)) return [state, []]
  const renewing: Renewing = awaited ? state.renewing as Renewing : { number, sentAt: sentAt ?? now, applied: state.acked }
  if (!answer.alive && state.terms.guards.fenced) {
    const [fresh, effects] = join(state)
    return [fresh, [{ kind: 'dropAll' }, ...effects]]
  }
  const [applied, effects] = applyRenewal(state, answer, renewing, now)
  // The acknowledgement travels in the next renewal: at once, somebody may be waiting for it.
  const again = applied.again || applied.applied !== renewing.applied
  return [{
    ...applied, renewing: undefined, failures: 0, again, due: again ? now : renewing.sentAt + state.terms.renewEveryMs
  }, effects]
}

function failed (state: WindowState, now: number): WindowState {
  const pauseMs = Math.min(state.terms.renewEveryMs, retryMs * 2 ** state.failures)
  return { ...state, renewing: undefined, failures: Math.min(state.failures + 1, 10), due: now + pauseMs }
}

function hinted (state: WindowState, change: LoggedChange, timeline: string | undefined): Stepped {
  if (change.seq <= state.applied && state.timeline === timeline) return [state, []]
  const asked: WindowState = { ...state, again: true }
  // Of another history, or before there is any: the renewal finds out.
  if (state.phase !== 'member' || state.timeline === undefined || timeline !== state.timeline) return [asked, []]
  const rows = state.ahead.segments.flatMap((segment) => segment.rows)
  if (rows.some((row) => row.seq === change.seq)) return [state, []]
  const { guards, tailRowsMax } = state.terms
  const { tail: ahead, prunedTo } = extendTail(emptyTail, inOrder([...rows, change]), Math.min(aheadRowsMax, tailRowsMax))
  return [{
    ...asked,
    ahead,
    floor: guards.floorRaised ? Math.max(state.floor, prunedTo) : state.floor,
    applied: guards.hintsNotAcked ? state.applied : Math.max(state.applied, change.seq)
  }, [{ kind: 'drop', target: change.target, action: change.action }]]
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

function sendWhatIsDue (state: WindowState, now: number): Stepped {
  if (state.phase === 'joining' && now >= state.due) return [{ ...state, due: Infinity }, [{ kind: 'join', fresh: false }]]
  const { phase, id, renewing, terms, applied } = state
  const isDue = now >= state.due || (state.again && state.failures === 0)
  if (phase !== 'member' || id === undefined || renewing !== undefined || !isDue) return [state, []]
  const number = state.sent + 1
  return [
    { ...state, sent: number, again: false, due: Infinity, renewing: { number, sentAt: now, applied } },
    [{
      kind: 'renew',
      number,
      id,
      applied,
      acked: terms.guards.ackedAfterApplied ? applied : Number.MAX_SAFE_INTEGER,
      timeline: state.timeline,
      rowsMax: terms.tailRowsMax
    }]
  ]
}

function wakeAt (state: WindowState): number {
  return state.renewing === undefined ? state.due : state.renewing.sentAt + state.terms.renewalTimeoutMs
}
