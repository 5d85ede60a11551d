import type { Digest } from '../core/key-record.ts'
import type { ChangeTarget, Entry, Lookup, MemoryLookup } from '../core/lookup.ts'
import { assertAskedFor } from './assert-asked-for.ts'
import { KeyTable } from './key-table.ts'

interface MemoryTierOptions {
  readonly under: Lookup
  /** Keys held at most; beyond that one that has not been used lately goes. */
  readonly entriesMax: number
}

/** The keys that were asked for last, in this process. A hit costs one lookup in a table. */
export class MemoryTier implements MemoryLookup {
  readonly #under: Lookup
  readonly #entriesMax: number
  #table: KeyTable
  #hits = 0
  #misses = 0

  constructor ({ under, entriesMax }: MemoryTierOptions) {
    this.#under = under
    this.#entriesMax = entriesMax
    this.#table = new KeyTable({ entriesMax })
  }

  peek (digest: Digest): Entry | undefined {
    const entry = this.#table.get(digest)
    if (entry === undefined) this.#misses++
    else this.#hits++
    return entry
  }

  find (digest: Digest): Promise<Entry | undefined> {
    return this.#keep(digest, this.#under.find(digest))
  }

  findFresh (digest: Digest): Promise<Entry | undefined> {
    return this.#keep(digest, this.#under.findFresh(digest))
  }

  drop (target: ChangeTarget): void {
    switch (target.kind) {
      case 'key': {
        for (const digest of target.digests) this.#table.delete(digest)
        return
      }
      case 'workspace': return this.#table.dropWorkspace(target.workspaceId)
      // A new table, because emptying a large one would block the event loop.
      case 'everything': this.#table = new KeyTable({ entriesMax: this.#entriesMax })
    }
  }

  stats (): { entries: number, hits: number, misses: number } {
    return { entries: this.#table.size, hits: this.#hits, misses: this.#misses }
  }

  async #keep (digest: Digest, found: Promise<Entry | undefined>): Promise<Entry | undefined> {
    const table = this.#table
    const entry = assertAskedFor(digest, await found)
    // Everything was dropped meanwhile: a read from before the drop may be from another history of the database.
    if (table !== this.#table) return entry
    if (entry === undefined) table.delete(digest)
    // Correctness does not rest on this (the reader judges freshness): it spares the next reader another look at the primary.
    else if ((table.asof(digest) ?? -1) <= entry.asof) table.set(entry)
    return entry
  }
}
