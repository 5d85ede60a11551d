import type { Entry } from '../lookup.ts'

/** Of everything that one verifier held at one moment. Another object as soon as any of it had to go; no two verifiers share one. */
export type Generation = object

interface TokenMemoOptions {
  /** For how long a token is remembered, in milliseconds. Then the table is asked again, which so learns that the key is in use. 1000. */
  readonly forMs?: number
}

// Behind a proxy that shares its connections between clients every request brings another token: comparing and keeping them would be for nothing.
const strangersMax = 4
const restRequests = 60

/**
 * The last token that came over one connection, and what was known of its key: a connection mostly sends the same token again, and comparing two
 * texts costs less than a digest and a lookup. It decides nothing: what it answers goes through the same final check as an entry of any cache (R6).
 *
 * Nothing shows the token: neither `JSON.stringify` nor `util.inspect` see private fields, and logs and crash reports may hold a whole socket.
 */
export class TokenMemo<Held = Entry> {
  #token: string | undefined
  #held: Held | undefined
  #generation: Generation | undefined
  #until = -Infinity
  /** Other tokens in a row. */
  #strangers = 0
  /** Requests for which nothing is remembered, because too many strangers came. */
  #resting = 0
  readonly #forMs: number

  constructor ({ forMs = 1000 }: TokenMemoOptions = {}) {
    this.#forMs = forMs
  }

  /** What was kept of this very token; `undefined` for another one, after a moment, or once anything that the verifier held had to go. */
  recall (token: string, now: number, generation: Generation): Held | undefined {
    if (this.#resting > 0) {
      this.#resting--
      return undefined
    }
    if (token !== this.#token) {
      this.#meetStranger()
      return undefined
    }
    this.#strangers = 0
    return generation === this.#generation && now < this.#until ? this.#held : undefined
  }

  /** Keeps this token in the place of the one before. */
  keep (token: string, held: Held, now: number, generation: Generation): void {
    if (this.#resting > 0) return
    this.#token = token
    this.#held = held
    this.#generation = generation
    this.#until = now + this.#forMs
  }

  // Forget the previous token: an attacker on a shared connection can compare one guess with it, and not a second one.
  #meetStranger (): void {
    this.#token = this.#held = this.#generation = undefined
    if (++this.#strangers <= strangersMax) return
    this.#strangers = 0
    this.#resting = restRequests
  }
}
