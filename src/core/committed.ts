import type { Clock } from './clock.ts'
import type { Digest } from './key-record.ts'
import type { LogPosition } from './key-store.ts'
import type { ChangeTarget } from './lookup.ts'
import type { CommittedChange } from './window/trust.ts'

/** A change as the window wants to know it. The clock is read after the commit's answer (R8 b); later than needed only waits longer. */
export function committed (clock: Clock, action: CommittedChange['action'], target: ChangeTarget, logged: LogPosition): CommittedChange {
  return { action, target, ...logged, committedAt: clock.monotonicMs() }
}

/** A key, by every token of it that caches may hold. */
export function keyTarget ({ digests }: { readonly digests: readonly Digest[] }): ChangeTarget {
  return digests.length === 0 ? { kind: 'everything' } : { kind: 'key', digests }
}
