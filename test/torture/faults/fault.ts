import type { Fleet, Stores } from '../fleet.ts'

/** What a fault takes hold of; two at once must not share any of it. */
export type Hold = 'redis' | 'postgres' | `replica ${number}` | `redis link ${number}` | `postgres link ${number}`

/** Takes the fault back; resolves when what was broken is whole again, however long the service then needs. */
export type Heal = () => Promise<unknown>

export interface Fault {
  /** What is done, as the figures list it. */
  readonly kind: string
  readonly holds: readonly Hold[]
  /** `long`: longer than W, so that what waits for the broken part is waited out. */
  readonly lasts: 'short' | 'long'
  /** Where it can be done; everywhere if not given. */
  readonly only?: readonly Stores[]
  /** Does it, for real. */
  strike (fleet: Fleet): Promise<Heal>
}
