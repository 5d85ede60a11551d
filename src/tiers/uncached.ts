import type { Digest } from '../core/key-record.ts'
import type { Entry, Lookup, MemoryLookup } from '../core/lookup.ts'

/** `CACHE=off`: every verification reads the primary. The reference that the cached service is tested against. */
export class Uncached implements MemoryLookup {
  readonly #under: Lookup

  constructor ({ under }: { readonly under: Lookup }) {
    this.#under = under
  }

  peek (): undefined {
    return undefined
  }

  find (digest: Digest): Promise<Entry | undefined> {
    return this.#under.findFresh(digest)
  }

  findFresh (digest: Digest): Promise<Entry | undefined> {
    return this.#under.findFresh(digest)
  }

  drop (): void {}
}
