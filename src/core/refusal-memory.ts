import type { ChangeTarget } from './lookup.ts'
import type { Digest } from './key-record.ts'
import type { Reason } from './verdict.ts'

interface RefusalMemoryOptions {
  /** For how many milliseconds a refusal is repeated without a lookup. 0: never. At most 1000 (R6). */
  readonly ttlMs: number
  readonly entriesMax: number
}

export interface Refusal {
  readonly reason: Reason
  /** Absent: no key has this token. */
  readonly keyId: string | undefined
  readonly until: number
}

/**
 * Recent refusals of the primary, so that a client that repeats a request does not cost a statement each
 * time. Kept only in memory and only briefly: anyone can invent tokens, and the revocation log does not record new keys.
 */
export class RefusalMemory {
  readonly #ttlMs: number
  readonly #entriesMax: number
  // All entries live equally long: the oldest entry is the first to end.
  #refusals = new Map<Digest, Refusal>()

  constructor ({ ttlMs, entriesMax }: RefusalMemoryOptions) {
    this.#ttlMs = Math.min(ttlMs, 1000)
    this.#entriesMax = entriesMax
  }

  get size (): number {
    return this.#refusals.size
  }

  recall (digest: Digest, now: number): Refusal | undefined {
    const refusal = this.#refusals.get(digest)
    if (refusal === undefined) return undefined
    if (now < refusal.until) return refusal
    this.#refusals.delete(digest)
    return undefined
  }

  remember (digest: Digest, { reason, keyId }: Omit<Refusal, 'until'>, now: number): void {
    if (this.#ttlMs <= 0) return
    this.#refusals.delete(digest)
    if (this.#refusals.size >= this.#entriesMax) this.#forgetFirst()
    this.#refusals.set(digest, { reason, keyId, until: now + this.#ttlMs })
  }

  drop (target: ChangeTarget): void {
    if (target.kind !== 'key') this.#refusals = new Map()
    else for (const digest of target.digests) this.#refusals.delete(digest)
  }

  #forgetFirst (): void {
    const [first] = this.#refusals.keys()
    if (first !== undefined) this.#refusals.delete(first)
  }
}
