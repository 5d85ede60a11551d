import { waitOutMs } from './durations.ts'
import { isOpen } from './judge.ts'
import type { RollCallSnapshot } from './roll-call.ts'
import type { WindowState } from './state.ts'

export interface WindowCounts {
  readonly renewals: { readonly answered: number, readonly failed: number, readonly late: number }
  readonly joins: number
  /** Hints heard from other replicas, those that told nothing new included. */
  readonly hints: number
}

/** What is to be known of the window from outside, at one moment. */
export interface WindowSnapshot extends RollCallSnapshot, WindowCounts {
  readonly isOpen: boolean
  /** Whether the newest renewal that ended was answered: what is known of Postgres without asking it. */
  readonly isAnswered: boolean
  readonly phase: WindowState['phase']
  readonly windowMs: number
  /** W of this replica's own window. */
  readonly waitOutMs: number
  /** Since the newest renewal that was answered had been sent; `undefined` before the first. */
  readonly renewalAgeMs: number | undefined
  readonly applied: number
  /** `undefined` before the first renewal: nothing can be judged yet. */
  readonly floor: number | undefined
  readonly tailRows: number
  readonly timeline: string | undefined
}

export function snapshotOf (state: WindowState, now: number, counts: WindowCounts, rollCall: RollCallSnapshot): WindowSnapshot {
  const { phase, applied, floor, tail, ahead, timeline, shown, failures, terms } = state
  return {
    ...rollCall,
    ...structuredClone(counts),
    isOpen: isOpen(state, now),
    isAnswered: shown !== undefined && failures === 0,
    phase,
    windowMs: terms.windowMs,
    waitOutMs: waitOutMs(terms.windowMs),
    renewalAgeMs: shown === undefined ? undefined : now - shown.at,
    applied,
    floor: floor === Infinity ? undefined : floor,
    tailRows: tail.size + ahead.size,
    timeline
  }
}
