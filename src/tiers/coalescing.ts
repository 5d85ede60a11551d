import type { Digest } from '../core/key-record.ts'
import type { Entry, Lookup } from '../core/lookup.ts'
import { assertAskedFor } from './assert-asked-for.ts'

interface CoalescingTierOptions {
  readonly under: Lookup
}

interface Flight {
  found: Promise<Entry | undefined> | undefined
}

/**
 * One read for all requests for the same key at the same time. A fresh read never joins one: it may have been sent
 * before the change that the reader must not miss.
 */
export class CoalescingTier implements Lookup {
  readonly #under: Lookup
  readonly #underWay = new Map<Digest, Flight>()
  #joined = 0

  constructor ({ under }: CoalescingTierOptions) {
    this.#under = under
  }

  find (digest: Digest): Promise<Entry | undefined> {
    const underWay = this.#underWay.get(digest)
    if (underWay?.found !== undefined) {
      this.#joined++
      return underWay.found
    }
    const flight: Flight = { found: undefined }
    flight.found = this.#fly(digest, flight)
    this.#underWay.set(digest, flight)
    return flight.found
  }

  /** From now on no caller joins a read that is in progress: it may be from another history of the database. */
  clear (): void {
    this.#underWay.clear()
  }

  async findFresh (digest: Digest): Promise<Entry | undefined> {
    return assertAskedFor(digest, await this.#under.findFresh(digest))
  }

  async #fly (digest: Digest, flight: Flight): Promise<Entry | undefined> {
    try {
      return assertAskedFor(digest, await this.#under.find(digest))
    } finally {
      if (this.#underWay.get(digest) === flight) this.#underWay.delete(digest)
    }
  }

  stats (): { joined: number, underWay: number } {
    return { joined: this.#joined, underWay: this.#underWay.size }
  }
}
