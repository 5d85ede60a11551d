const driftMax = 0.01
const marginMs = 50
/** R: the renewals a second that a whole fleet may cost the primary, as long as windows allow it. */
const renewalsPerSecond = 50
/** Members that read the list of members often enough to notice soon who is silent. Beyond them the others read it seldom. */
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

/** Whether the member `id` is one of the few that watch the others: the first ten by id, which everyone who reads the list can tell. */
export function isWatcher (id: string, members: ReadonlyArray<{ readonly id: string }>): boolean {
  return members.filter((member) => member.id < id).length < watchersMax
}

/** How often each of `members` reads the list of members: together they read it two to four times a second, at any size up to a hundred (R12). */
export function rollEveryMs (windowMs: number, members: number, watches: boolean): number {
  const longest = waitOutMs(windowMs) / 2
  const everyMs = Math.max(Math.min(1000, longest), members * 500)
  // Should all that watch end at once, the others still find out.
  return Math.min(watches ? longest : 12 * longest, everyMs)
}
