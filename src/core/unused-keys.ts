import type { Clock } from './clock.ts'
import { committed, keyTarget } from './committed.ts'
import type { Digest } from './key-record.ts'
import type { LogPosition } from './key-store.ts'
import type { Force } from './window/trust.ts'

/** Days between the event that announces the revocation of an unused key and the revocation. */
export const unusedNoticeDays = 7

export interface UnusedStep {
  /** The number of keys that were looked at. */
  readonly looked: number
  /** The tokens of the revoked keys, and the position in the log; `undefined`: none was revoked. */
  readonly revoked: { readonly digests: readonly Digest[], readonly logged: LogPosition } | undefined
}

interface UnusedKeysOptions {
  /** The next step of a walk through all keys: one transaction. Only one process takes a step at a time. */
  readonly step: (rowsMax: number) => Promise<UnusedStep>
  readonly force: Force
  readonly clock: Clock
}

/** Revokes unused keys where a policy asks for it: first an event, a week later the revocation. */
export class UnusedKeys {
  readonly #options: UnusedKeysOptions

  constructor (options: UnusedKeysOptions) {
    this.#options = options
  }

  /** Resolves to the number of keys that were looked at, when its revocations are in force on every replica. */
  async step (rowsMax: number): Promise<number> {
    const { step, force, clock } = this.#options
    const { looked, revoked } = await step(rowsMax)
    if (revoked !== undefined) await force.inForce(committed(clock, 'revoke', keyTarget(revoked), revoked.logged))
    return looked
  }
}
