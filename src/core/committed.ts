import type { Clock } from './clock.ts'
import type { Digest } from './key-record.ts'
import type { LogPosition } from './key-store.ts'
import type { ChangeTarget } from './lookup.ts'
import type { CommittedChange } from './window/trust.ts'

/** A committed change, as the window needs it. The clock is read after the commit's answer (R8 b): reading it late only waits longer. */
export function committed (clock: Clock, action: CommittedChange['action'], target: ChangeTarget, logged: LogPosition): CommittedChange {
  return { action, target, ...logged, committedAt: clock.monotonicMs() }
}

/** A key, named by each of its tokens that caches may hold. */
export function keyTarget ({ digests }: { readonly digests: readonly Digest[] }): ChangeTarget {
  return digests.length === 0 ? { kind: 'everything' } : { kind: 'key', digests }
}
