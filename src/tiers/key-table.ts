import type { Digest } from '../core/key-record.ts'
import type { Entry } from '../core/lookup.ts'
import { freezeRecord } from '../core/frozen-record.ts'
import { KeyRows, wordOf } from './key-rows.ts'
import { SharedTexts } from './shared-texts.ts'

interface KeyTableOptions {
  /** Entries held at most; beyond that one that has not been used lately goes. */
  readonly entriesMax: number
  /** Entries held as objects too, ready to be handed out; the others are made when they are asked for. 131,072. */
  readonly readyMax?: number
}

// Stop the clock sweep after this many rows.
const looksMax = 256
// Entries in a list of those that are ready.
const listBits = 10
const listLength = 1 << listBits

/**
 * Entries by digest, very many of them, packed: as objects a million keys take half a gigabyte, and what grows and
 * collects them stops the process for longer than a request may take (docs/decisions/0050).
 *
 * A hash table with chains: `#heads` is as large as it will ever be from the start, rows come in pages that are never
 * moved, so that nothing is ever copied or hashed anew. Which one goes when it is full is decided by a clock with one
 * hand: it passes by what has been used since it last came by.
 */
export class KeyTable {
  readonly #entriesMax: number
  readonly #rows = new KeyRows()
  readonly #heads: Int32Array
  readonly #workspaces = new SharedTexts()
  readonly #owners = new SharedTexts()
  // Many short lists: one for all would be copied each time it grows.
  readonly #ready: Array<Array<Entry | undefined>> = []
  // Rows whose entries are held as objects, in the order in which that will end.
  readonly #readyRows: Int32Array
  #readyAt = 0
  readonly #freeRows: number[] = []
  #rowsMade = 0
  #taken = 0
  #dropped = 0
  #hand = 0

  constructor ({ entriesMax, readyMax = 131_072 }: KeyTableOptions) {
    this.#entriesMax = entriesMax
    this.#heads = new Int32Array(2 ** Math.ceil(Math.log2(Math.max(entriesMax, 2))))
    this.#readyRows = new Int32Array(Math.min(readyMax, entriesMax))
  }

  get size (): number {
    return this.#taken - this.#dropped
  }

  get (digest: Digest): Entry | undefined {
    const row = this.#find(digest)
    if (row === 0 || this.#isDropped(row)) return undefined
    const isUsedAgain = this.#rows.use(row)
    if (this.#rows.isReady(row)) return this.#ready[row >>> listBits]![row & (listLength - 1)]
    const entry = this.#unpack(row, digest)
    // An entry that is asked for once is not kept as an object: it would survive into the old generation of the garbage collector.
    if (isUsedAgain) this.#keepReady(row, entry)
    return entry
  }

  /** How fresh the entry of a digest is, if there is one. Does not count as use. */
  asof (digest: Digest): number | undefined {
    const row = this.#find(digest)
    return row === 0 || this.#isDropped(row) ? undefined : this.#rows.asof(row)
  }

  set (entry: Entry): void {
    const { digest, workspaceId, ownerId } = entry.record
    this.delete(digest)
    const row = this.#newRow()
    this.#rows.write(row, entry, this.#workspaces.take(workspaceId), ownerId === null ? -1 : this.#owners.take(ownerId))
    if (this.#rows.isWhole(row)) this.#setReady(row, entry)
    const head = wordOf(digest, 0) & (this.#heads.length - 1)
    this.#rows.setNext(row, this.#heads[head]!)
    this.#heads[head] = row
    this.#taken++
  }

  delete (digest: Digest): void {
    const row = this.#find(digest)
    if (row !== 0) this.#vacate(row)
  }

  dropWorkspace (workspaceId: string): void {
    this.#dropped += this.#workspaces.drop(workspaceId)
  }

  #find (digest: Digest): number {
    const firstWord = wordOf(digest, 0)
    let row = this.#heads[firstWord & (this.#heads.length - 1)]!
    while (row !== 0 && !this.#rows.has(row, digest, firstWord)) row = this.#rows.next(row)
    return row
  }

  #isDropped (row: number): boolean {
    return this.#dropped > 0 && this.#workspaces.at(this.#rows.workspace(row)).isDropped
  }

  #unpack (row: number, digest: Digest): Entry {
    const { asof, id, name, scope, createdAt, expiresAt, rateLimit } = this.#rows.read(row)
    const workspaceId = this.#workspaces.at(this.#rows.workspace(row)).text
    const owner = this.#rows.owner(row)
    const ownerId = owner === -1 ? null : this.#owners.at(owner).text
    return {
      asof,
      noted: undefined,
      record: freezeRecord({
        id,
        digest,
        workspaceId,
        ownerId,
        name,
        scope,
        metadata: none,
        createdAt,
        expiresAt,
        revokedAt: null,
        limits: rateLimit && { tokenEndsAt: null, allowedCidrs: null, rateLimit, awaitsFirstUse: false }
      })
    }
  }

  #keepReady (row: number, entry: Entry): void {
    const old = this.#readyRows[this.#readyAt]!
    if (old !== 0 && !this.#rows.isWhole(old)) this.#setReady(old, undefined)
    this.#readyRows[this.#readyAt] = row
    this.#readyAt = (this.#readyAt + 1) % this.#readyRows.length
    this.#setReady(row, entry)
  }

  #setReady (row: number, entry: Entry | undefined): void {
    this.#ready[row >>> listBits]![row & (listLength - 1)] = entry
    this.#rows.setReady(row, entry !== undefined)
  }

  #newRow (): number {
    if (this.#taken >= this.#entriesMax) this.#vacate(this.#victim())
    const free = this.#freeRows.pop()
    if (free !== undefined) return free
    this.#rows.reach(++this.#rowsMade)
    if (this.#rowsMade >>> listBits >= this.#ready.length) this.#ready.push(new Array<undefined>(listLength).fill(undefined))
    return this.#rowsMade
  }

  #victim (): number {
    for (let looks = 0; ; looks++) {
      this.#hand = this.#hand % this.#rowsMade + 1
      const row = this.#hand
      if (!this.#rows.isTaken(row)) continue
      if (!this.#rows.isUsed(row) || looks >= looksMax || this.#isDropped(row)) return row
      this.#rows.setUsed(row, false)
    }
  }

  #vacate (row: number): void {
    this.#unlink(row)
    if (this.#isDropped(row)) this.#dropped--
    this.#workspaces.release(this.#rows.workspace(row))
    if (this.#rows.owner(row) !== -1) this.#owners.release(this.#rows.owner(row))
    this.#rows.clear(row)
    this.#setReady(row, undefined)
    this.#freeRows.push(row)
    this.#taken--
  }

  #unlink (row: number): void {
    const head = this.#rows.firstWord(row) & (this.#heads.length - 1)
    let before = this.#heads[head]!
    if (before === row) {
      this.#heads[head] = this.#rows.next(row)
      return
    }
    while (this.#rows.next(before) !== row) before = this.#rows.next(before)
    this.#rows.setNext(before, this.#rows.next(row))
  }
}

const none = Object.freeze({})
