import { waitOutMs } from './durations.ts'
import type { Guards } from './guards.ts'
import type { Member, Roll } from './waits.ts'

interface Sighting {
  readonly renewals: number
  readonly since: number
}

/** Since when, on our own clock, each member has not been seen to renew (R11). */
export type Sightings = ReadonlyMap<string, Sighting>

export const noSightings: Sightings = new Map()

export interface Sighted {
  readonly sightings: Sightings
  /** Members whose last window has ended, to be counted out if they still have not renewed. */
  readonly silent: readonly Member[]
}

/** Counted from the answer: a renewal may have been carried out at any time before it. */
export function sight (sightings: Sightings, roll: Roll, guards: Guards): Sighted {
  const next = new Map<string, Sighting>()
  const silent: Member[] = []
  for (const member of roll.members) {
    const before = sightings.get(member.id)
    const sighting = before?.renewals === member.renewals ? before : { renewals: member.renewals, since: roll.answeredAt }
    next.set(member.id, sighting)
    const isOver = roll.sentAt - sighting.since >= waitOutMs(member.windowMs, guards)
    if (isOver || !guards.reapedAfterWindow) silent.push(member)
  }
  return { sightings: next, silent }
}
