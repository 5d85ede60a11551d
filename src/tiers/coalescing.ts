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
    const found = this.#findAlone(digest)
    this.#underWay.set(digest, found)
    return found
  }

  async findFresh (digest: Digest): Promise<Entry | undefined> {
    return assertAskedFor(digest, await this.#under.findFresh(digest))
  }

  stats (): { joined: number, underWay: number } {
    return { joined: this.#joined, underWay: this.#underWay.size }
  }

  async #findAlone (digest: Digest): Promise<Entry | undefined> {
    try {
      return assertAskedFor(digest, await this.#under.find(digest))
    } finally {
      this.#underWay.delete(digest)
    }
  }
}
