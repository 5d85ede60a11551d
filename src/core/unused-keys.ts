import type { Clock } from './clock.ts'
import { committed, keyTarget } from './committed.ts'
import type { Digest } from './key-record.ts'
import type { LogPosition } from './key-store.ts'
import type { Force } from './window/trust.ts'

/** So many days before a key is revoked because it is not used, an event says so. */
export const unusedNoticeDays = 7

export interface UnusedStep {
  /** How many keys it looked at. */
  readonly looked: number
  /** The tokens of the keys that it revoked, and where that stands in the log; `undefined`: it revoked none. */
  readonly revoked: { readonly digests: readonly Digest[], readonly logged: LogPosition } | undefined
}

interface UnusedKeysOptions {
  /** The next step of a walk through all keys: one transaction, and of all processes only one takes a step at a time. */
  readonly step: (rowsMax: number) => Promise<UnusedStep>
  readonly force: Force
  readonly clock: Clock
}

/** Ends keys that nobody uses, where a policy says so: first an event, and a week later a revocation as any other. */
export class UnusedKeys {
  readonly #options: UnusedKeysOptions

  constructor (options: UnusedKeysOptions) {
    this.#options = options
  }

  /** Resolves to how many keys it looked at. What it revokes is in force on every replica by then. */
  async step (rowsMax: number): Promise<number> {
    const { step, force, clock } = this.#options
    const { looked, revoked } = await step(rowsMax)
    if (revoked !== undefined) await force.inForce(committed(clock, 'revoke', keyTarget(revoked), revoked.logged))
    return looked
  }
}
