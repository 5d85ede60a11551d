import type { Entry } from '../lookup.ts'
import type { Standing } from './trust.ts'
import { newsInTail } from './tail.ts'
import type { WindowState } from './state.ts'

/**
 * The final check (R6), in one synchronous turn: `now` is a fresh reading of the monotonic clock, taken after the
 * last await. Comparisons are written so that a NaN refuses.
 */
export function judge (state: WindowState, entry: Entry, now: number): Standing {
  return isOpen(state, now) ? judgeFreshness(state, entry) : 'shut'
}

export function isOpen (state: WindowState, now: number): boolean {
  const { guards } = state.terms
  if (!guards.windowChecked) return true
  return guards.windowByClock ? now < state.windowEnd : state.flag
}

/** The part of the check that needs no clock. Alone it proves nothing: only the log read within the window is known to be whole. */
export function judgeFreshness (state: WindowState, { asof, record }: Entry): Standing {
  const { guards } = state.terms
  if (guards.floorChecked && !(asof >= state.floor)) return 'stale'
  // Nearly every hit ends here: nothing at all has been logged since the entry was read.
  if (state.tail.newest <= asof && state.ahead.newest <= asof) return 'current'
  if (!guards.tailChecked) return 'current'
  const logged = newsInTail(state.tail, asof, record.digest, record.workspaceId)
  if (logged === 'revoked') return 'revoked'
  const heard = newsInTail(state.ahead, asof, record.digest, record.workspaceId)
  if (heard === 'revoked') return 'revoked'
  return logged === 'changed' || heard === 'changed' ? 'stale' : 'current'
}
