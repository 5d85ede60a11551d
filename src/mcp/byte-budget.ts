/** Returns the bytes. Calling it twice does nothing more. */
export type Release = () => void

interface ByteBudgetOptions {
  /** How many bytes one key may hold at once. */
  readonly perKeyMax: number
  /** How many all keys may hold together. */
  readonly inAllMax: number
}

interface Waiting {
  readonly bytes: number
  readonly start: (release: Release) => void
}

/** The key already has too many waiting requests. */
export class TooMuchWaiting extends Error {
  override readonly name = 'TooMuchWaiting'
}

const waitingPerKeyMax = 100

/**
 * Limits the bytes that are held for callers. A caller that uses its whole share waits, with its data left in the network, and does not
 * delay others. No caller can use more than one share.
 */
export class ByteBudget {
  readonly #perKeyMax: number
  readonly #inAllMax: number
  readonly #held = new Map<string, number>()
  readonly #waiting = new Map<string, Waiting[]>()
  #heldInAll = 0

  constructor ({ perKeyMax, inAllMax }: ByteBudgetOptions) {
    this.#perKeyMax = perKeyMax
    this.#inAllMax = inAllMax
  }

  /** The bytes that all keys hold now. */
  get heldInAll (): number {
    return this.#heldInAll
  }

  /** Resolves when `bytes` may be held. Rejects when `signal` is aborted first, and with `TooMuchWaiting`. */
  async take (keyId: string, bytes: number, signal: AbortSignal): Promise<Release> {
    signal.throwIfAborted()
    if (!this.#waiting.has(keyId) && this.#fits(keyId, bytes)) return this.#hold(keyId, bytes)
    const queue = this.#waiting.get(keyId) ?? []
    if (queue.length === waitingPerKeyMax) throw new TooMuchWaiting('Too many requests of this key wait for their bodies to be read.')
    return await new Promise<Release>((resolve, reject) => {
      const onAbort = () => {
        this.#leave(keyId, waiting)
        reject(signal.reason)
      }
      const waiting: Waiting = {
        bytes,
        start: (release) => {
          signal.removeEventListener('abort', onAbort)
          resolve(release)
        }
      }
      queue.push(waiting)
      this.#waiting.set(keyId, queue)
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }

  #fits (keyId: string, bytes: number): boolean {
    return (this.#held.get(keyId) ?? 0) + bytes <= this.#perKeyMax && this.#heldInAll + bytes <= this.#inAllMax
  }

  #hold (keyId: string, bytes: number): Release {
    this.#change(keyId, bytes)
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      this.#change(keyId, -bytes)
      this.#serve()
    }
  }

  #change (keyId: string, bytes: number): void {
    const held = (this.#held.get(keyId) ?? 0) + bytes
    if (held === 0) this.#held.delete(keyId)
    else this.#held.set(keyId, held)
    this.#heldInAll += bytes
  }

  // Round robin over keys, the oldest request of a key first.
  #serve (): void {
    for (const [keyId, queue] of [...this.#waiting]) {
      let served = 0
      for (const { bytes, start } of queue) {
        if (!this.#fits(keyId, bytes)) break
        served++
        start(this.#hold(keyId, bytes))
      }
      if (served === 0) continue
      queue.splice(0, served)
      this.#waiting.delete(keyId)
      if (queue.length > 0) this.#waiting.set(keyId, queue)
    }
  }

  #leave (keyId: string, waiting: Waiting): void {
    const queue = this.#waiting.get(keyId) ?? []
    queue.splice(queue.indexOf(waiting), 1)
    if (queue.length === 0) this.#waiting.delete(keyId)
    this.#serve()
  }
}
