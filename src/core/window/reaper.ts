import { waitOutMs } from './durations.ts'
import type { Guards } from './guards.ts'
import type { Member, Roll } from './waits.ts'

interface Sighting {
  readonly renewals: number
  readonly since: number
}

/** Since when, on our own clock, each member has not been seen to renew (R11). */
export interface Sightings {
  readonly answeredAt: number
  readonly members: ReadonlyMap<string, Sighting>
}

export const noSightings: Sightings = { answeredAt: -Infinity, members: new Map() }

export interface Sighted {
  readonly sightings: Sightings
  /** Members whose last window has ended, to be counted out if they still have not renewed. */
  readonly silent: readonly Member[]
}

interface SightOptions {
  readonly guards: Guards
  /** The longest between two readings of a database that answers. */
  readonly gapMaxMs: number
}

/** Counted from the answer: a renewal may have been carried out at any time before it. */
export function sight (sightings: Sightings, roll: Roll, { guards, gapMaxMs }: SightOptions): Sighted {
  const next = new Map<string, Sighting>()
  const silent: Member[] = []
  // After an outage nobody has renewed, because nobody could: that is no silence of theirs.
  const wasAway = roll.sentAt - sightings.answeredAt > gapMaxMs
  for (const member of roll.members) {
    const before = wasAway ? undefined : sightings.members.get(member.id)
    const sighting = before?.renewals === member.renewals ? before : { renewals: member.renewals, since: roll.answeredAt }
    next.set(member.id, sighting)
    const isOver = roll.sentAt - sighting.since >= waitOutMs(member.windowMs, guards)
    if (isOver || !guards.reapedAfterWindow) silent.push(member)
  }
  return { sightings: { answeredAt: roll.answeredAt, members: next }, silent }
}
