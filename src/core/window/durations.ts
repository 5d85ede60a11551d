const driftMax = 0.01
const marginMs = 50
/** R: the renewals a second that a whole fleet may cost the primary, as long as windows allow it. */
const renewalsPerSecond = 50
/** The number of members that read the list of members often, to notice silent members soon. The others read it rarely. */
const watchersMax = 10

/**
 * P: how often a window of `windowMs` is renewed in a fleet of `members`. A small fleet renews twenty times in a window; a large
 * one less often, but at least four times (R3).
 */
export function renewalPeriodMs (windowMs: number, members = 1): number {
  const shortest = Math.min(500, Math.max(100, windowMs / 20))
  return Math.min(windowMs / 4, Math.max(shortest, members * 1000 / renewalsPerSecond))
}

/**
 * W: how long, on any allowed clock, until every window of `windowMs` that was open at the start has ended on
 * every other allowed clock: 1 % fast beside 1 % slow, and a margin for the resolution of clocks.
 */
export function waitOutMs (windowMs: number): number {
  return windowMs * (1 + driftMax) / (1 - driftMax) + marginMs
}

/** The most that another clock can have advanced while ours advanced by `elapsedMs`, as R6 reckons database time. */
export function longestMs (elapsedMs: number): number {
  return elapsedMs * (1 + driftMax)
}

/** Whether the member `id` watches the others: the ten lowest ids do. Every member finds this out from the list. */
export function isWatcher (id: string, members: ReadonlyArray<{ readonly id: string }>): boolean {
  return members.filter((member) => member.id < id).length < watchersMax
}

/** How often each of `members` reads the list of members: together they read it two to four times a second, at any size up to a hundred (R12). */
export function rollEveryMs (windowMs: number, members: number, watches: boolean): number {
  const longest = waitOutMs(windowMs) / 2
  const everyMs = Math.max(Math.min(1000, longest), members * 500)
  // If all watching members end at the same time, the others still notice.
  return Math.min(watches ? longest : 12 * longest, everyMs)
}
