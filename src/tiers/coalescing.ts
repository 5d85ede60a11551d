import type { Digest } from '../core/key-record.ts'
import type { Entry, Lookup } from '../core/lookup.ts'
import { assertAskedFor } from './assert-asked-for.ts'

interface CoalescingTierOptions {
  readonly under: Lookup
}

/**
 * One read for all who ask for the same key at the same time. A fresh read never joins one: it may have been sent
 * before the change that the reader must not miss.
 */
export class CoalescingTier implements Lookup {
  readonly #under: Lookup
  readonly #underWay = new Map<Digest, Promise<Entry | undefined>>()
  #joined = 0

  constructor ({ under }: CoalescingTierOptions) {
    this.#under = under
  }

  find (digest: Digest): Promise<Entry | undefined> {
    const underWay = this.#underWay.get(digest)
    if (underWay !== undefined) {
      this.#joined++
      return underWay
    }
    const found = assertedFind(digest, this.#under).finally(() => {
      if (this.#underWay.get(digest) === found) this.#underWay.delete(digest)
    })
    this.#underWay.set(digest, found)
    return found
  }

  /** From now on nobody joins a read that is under way: it may be of a history that is no more. */
  clear (): void {
    this.#underWay.clear()
  }

  async findFresh (digest: Digest): Promise<Entry | undefined> {
    return assertAskedFor(digest, await this.#under.findFresh(digest))
  }

  stats (): { joined: number, underWay: number } {
    return { joined: this.#joined, underWay: this.#underWay.size }
  }
}

async function assertedFind (digest: Digest, under: Lookup): Promise<Entry | undefined> {
  return assertAskedFor(digest, await under.find(digest))
}
