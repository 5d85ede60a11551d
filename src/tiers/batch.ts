import type { Digest } from '../core/key-record.ts'
import type { FoundKeys } from './postgres.ts'

/** The keys that one statement reads, and the promise of those who wait for it. */
export class Batch {
  readonly answer: Promise<FoundKeys>
  isSent = false
  resolve!: (found: FoundKeys) => void
  reject!: (error: Error) => void
  readonly #digests = new Set<Digest>()

  constructor (timeoutMs: number, onTimeout: () => void) {
    this.answer = new Promise((resolve, reject) => {
      const timer = setTimeout(onTimeout, timeoutMs)
      this.resolve = (found) => { clearTimeout(timer); resolve(found) }
      this.reject = (error) => { clearTimeout(timer); reject(error) }
    })
    this.answer.catch(() => {})
  }

  get size (): number {
    return this.#digests.size
  }

  has (digest: Digest): boolean {
    return this.#digests.has(digest)
  }

  add (digest: Digest): void {
    this.#digests.add(digest)
  }

  digests (): Digest[] {
    return [...this.#digests]
  }
}
