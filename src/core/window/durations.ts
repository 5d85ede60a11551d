import { allGuards, type Guards } from './guards.ts'

const driftMax = 0.01
const marginMs = 50

/** P: how often a window of `windowMs` is renewed. */
export function renewalPeriodMs (windowMs: number): number {
  return Math.min(500, Math.max(100, windowMs / 20))
}

/**
 * W: how long, on any allowed clock, until every window of `windowMs` that was open at the start has ended on
 * every other allowed clock: 1 % fast beside 1 % slow, and a margin for the resolution of clocks.
 */
export function waitOutMs (windowMs: number, guards: Guards = allGuards): number {
  if (!guards.waitHasMargin) return windowMs
  return windowMs * (1 + driftMax) / (1 - driftMax) + marginMs
}

/** The most that another clock can have advanced while ours advanced by `elapsedMs`, as R6 reckons database time. */
export function longestMs (elapsedMs: number): number {
  return elapsedMs * (1 + driftMax)
}
