import { waitOutMs } from './durations.ts'
import type { Member, Roll } from './waits.ts'

interface Sighting {
  readonly beat: string
  readonly since: number
}

/** Since when, on our own clock, each member has not been seen to renew (R12). */
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

/**
 * Counted from the answer: a renewal may have been carried out at any time before it. `gapMaxMs`: the longest between two readings
 * of a database that answers.
 */
export function sight (sightings: Sightings, roll: Roll, gapMaxMs: number): Sighted {
  const next = new Map<string, Sighting>()
  const silent: Member[] = []
  // During an outage no member could renew, so none of them counts as silent.
  const wasAway = roll.sentAt - sightings.answeredAt > gapMaxMs
  for (const member of roll.members) {
    const before = wasAway ? undefined : sightings.members.get(member.id)
    const sighting = before?.beat === member.beat ? before : { beat: member.beat, since: roll.answeredAt }
    next.set(member.id, sighting)
    if (roll.sentAt - sighting.since >= waitOutMs(member.windowMs)) silent.push(member)
  }
  return { sightings: { answeredAt: roll.answeredAt, members: next }, silent }
}
