import { LRUCache } from 'lru-cache'
import type { Digest } from '../core/key-record.ts'
import type { ChangeTarget, Entry, Lookup, MemoryLookup } from '../core/lookup.ts'
import { assertAskedFor } from './assert-asked-for.ts'

interface MemoryTierOptions {
  readonly under: Lookup
  /** Keys held at most; beyond that the one longest unused goes. */
  readonly entriesMax: number
}

/** What the entries of one workspace share, so that all of them can be dropped at once without looking for them. */
interface Home {
  readonly workspaceId: string
  slots: number
  isDropped: boolean
}

interface Slot {
  readonly entry: Entry
  readonly home: Home
}

/** The keys that were asked for last, in this process. A hit costs one lookup in a map. */
export class MemoryTier implements MemoryLookup {
  readonly #under: Lookup
  readonly #entriesMax: number
  #slots: LRUCache<Digest, Slot>
  #homes = new Map<string, Home>()
  #droppedSlots = 0
  #hits = 0
  #misses = 0

  constructor ({ under, entriesMax }: MemoryTierOptions) {
    this.#under = under
    this.#entriesMax = entriesMax
    this.#slots = this.#emptySlots()
  }

  get size (): number {
    return this.#slots.size - this.#droppedSlots
  }

  peek (digest: Digest): Entry | undefined {
    const entry = this.#held(digest)
    if (entry === undefined) this.#misses++
    else this.#hits++
    return entry
  }

  async find (digest: Digest): Promise<Entry | undefined> {
    return this.#held(digest) ?? await this.#keep(digest, this.#under.find(digest))
  }

  findFresh (digest: Digest): Promise<Entry | undefined> {
    return this.#keep(digest, this.#under.findFresh(digest))
  }

  drop (target: ChangeTarget): void {
    switch (target.kind) {
      case 'key': this.#slots.delete(target.digest); return
      case 'workspace': return this.#dropHome(target.workspaceId)
      case 'everything': this.clear()
    }
  }

  // New maps, since emptying large ones would stop the process for as long as they are large.
  clear (): void {
    this.#slots = this.#emptySlots()
    this.#homes = new Map()
    this.#droppedSlots = 0
  }

  stats (): { entries: number, hits: number, misses: number } {
    return { entries: this.size, hits: this.#hits, misses: this.#misses }
  }

  #held (digest: Digest): Entry | undefined {
    const slot = this.#slots.get(digest)
    return slot === undefined || slot.home.isDropped ? undefined : slot.entry
  }

  async #keep (digest: Digest, found: Promise<Entry | undefined>): Promise<Entry | undefined> {
    const slots = this.#slots
    const entry = assertAskedFor(digest, await found)
    // Everything was dropped meanwhile: what was asked for before that may be of a database that is no more.
    if (slots !== this.#slots) return entry
    if (entry === undefined) this.#slots.delete(digest)
    else if (this.#isNewer(entry)) this.#store(entry)
    return entry
  }

  // Correctness does not rest on this (the reader judges freshness): it spares the next reader another look at the primary.
  #isNewer ({ asof, record }: Entry): boolean {
    const slot = this.#slots.peek(record.digest)
    return slot === undefined || slot.home.isDropped || slot.entry.asof <= asof
  }

  #store (entry: Entry): void {
    const { workspaceId } = entry.record
    const home = this.#homes.get(workspaceId) ?? this.#newHome(workspaceId)
    home.slots++
    this.#slots.set(entry.record.digest, { entry, home })
  }

  #newHome (workspaceId: string): Home {
    const home = { workspaceId, slots: 0, isDropped: false }
    this.#homes.set(workspaceId, home)
    return home
  }

  #dropHome (workspaceId: string): void {
    const home = this.#homes.get(workspaceId)
    if (home === undefined) return
    home.isDropped = true
    this.#droppedSlots += home.slots
    this.#homes.delete(workspaceId)
  }

  #vacate ({ home }: Slot): void {
    home.slots--
    if (home.isDropped) this.#droppedSlots--
    else if (home.slots === 0) this.#homes.delete(home.workspaceId)
  }

  #emptySlots (): LRUCache<Digest, Slot> {
    const slots: LRUCache<Digest, Slot> = new LRUCache({
      max: this.#entriesMax,
      dispose: (slot) => { if (slots === this.#slots) this.#vacate(slot) }
    })
    return slots
  }
}
