/** What took the rights of a key away. */
export type Restriction = 'revoke' | 'expiry' | 'workspace' | 'owner' | 'rotation' | 'policy'

/** A key and the bounds of what may be said of it, in `performance.now()` milliseconds. */
export interface TrackedKey {
  readonly index: number
  readonly id: string
  readonly workspaceId: string
  readonly token: string
  /** When it was known to be made. */
  readonly madeAt: number
  /** Until here it was live beyond doubt: an answer that arrived earlier and refuses it is a false refusal. */
  mayBeRefusedFrom: number
  /** From here on it is dead beyond doubt: a request that was sent later and is accepted is a stale accept. */
  mustBeRefusedFrom: number
  restriction: Restriction | undefined
  /** The database was set back: nothing is certain of it any more. */
  isForgotten: boolean
}

/** What the outside knows for certain of every key that was made. */
export class Ledger {
  readonly #keys: TrackedKey[] = []

  get size (): number {
    return this.#keys.length
  }

  add ({ id, workspaceId, token }: { id: string, workspaceId: string, token: string }, madeAt = performance.now()): TrackedKey {
    const key: TrackedKey = {
      index: this.#keys.length,
      id,
      workspaceId,
      token,
      madeAt,
      mayBeRefusedFrom: Infinity,
      mustBeRefusedFrom: Infinity,
      restriction: undefined,
      isForgotten: false
    }
    this.#keys.push(key)
    return key
  }

  at (index: number): TrackedKey {
    const key = this.#keys[index]
    if (key === undefined) throw new RangeError(`There is no key ${index}.`)
    return key
  }

  /** A change that takes rights away is about to be sent: from `at` on it may be in force. */
  restricting (key: TrackedKey, restriction: Restriction, at: number): void {
    key.restriction ??= restriction
    key.mayBeRefusedFrom = Math.min(key.mayBeRefusedFrom, at)
  }

  /**
   * The database is as it was at `at`: what was made or had returned since is lost, on purpose. `areKept`: revocations of single keys
   * stay in force, because replicas that heard them put them back.
   */
  setBack (at: number, areKept: (key: TrackedKey) => boolean = () => false): void {
    for (const key of this.#keys) {
      const isChangedSince = key.mayBeRefusedFrom !== Infinity && !(key.mustBeRefusedFrom < at)
      if (key.madeAt < at && (!isChangedSince || areKept(key))) continue
      Object.assign(key, { isForgotten: true, mayBeRefusedFrom: -Infinity, mustBeRefusedFrom: Infinity })
    }
  }

  /** The change has returned success: nothing sent after `at` may be accepted. */
  restricted (key: TrackedKey, at: number): void {
    if (key.isForgotten) return
    key.mustBeRefusedFrom = Math.min(key.mustBeRefusedFrom, at)
  }
}
