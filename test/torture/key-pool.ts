import type { TrackedKey } from './ledger.ts'
import type { Random } from './random.ts'

/** Deep enough that a probe still finds keys whose accepts a broken cache would remember, shallow enough that each is probed often. */
const recentMax = 64

/** Which keys the load asks about: those that live, and those whose rights were taken away a moment ago. */
export class KeyPool {
  readonly #live: TrackedKey[] = []
  readonly #recent: TrackedKey[] = []
  readonly #older: TrackedKey[] = []
  readonly #random: Random
  /** Share of the verifications that ask about a key that must be refused. */
  readonly #refusedShare: number

  constructor ({ random, refusedShare = 0.55 }: { random: Random, refusedShare?: number }) {
    this.#random = random
    this.#refusedShare = refusedShare
  }

  get live (): readonly TrackedKey[] {
    return this.#live
  }

  /** Those whose change returned last, the newest at the end. */
  get recent (): readonly TrackedKey[] {
    return this.#recent
  }

  addLive (key: TrackedKey): void {
    this.#live.push(key)
  }

  /** The key that has lived longest, and so is in every cache. */
  takeOldest (): TrackedKey | undefined {
    return this.#live.shift()
  }

  addRefused (key: TrackedKey): void {
    this.#recent.push(key)
    if (this.#recent.length > recentMax) this.#older.push(...this.#recent.splice(0, 1))
  }

  /** Lets go of keys of which nothing is certain any more. */
  forget (): void {
    for (const keys of [this.#live, this.#recent, this.#older]) {
      const kept = keys.filter(({ isForgotten }) => !isForgotten)
      keys.splice(0, keys.length, ...kept)
    }
  }

  /** The next key to ask about. */
  next (): TrackedKey | undefined {
    const refused = this.#random.chance(this.#refusedShare)
    if (refused && this.#recent.length > 0) {
      const old = this.#older.length > 0 && this.#random.chance(0.1)
      return this.#random.pick(old ? this.#older : this.#recent)
    }
    return this.#live.length > 0 ? this.#random.pick(this.#live) : undefined
  }
}
