/** Reproducible randomness: everything that a run chooses is drawn from its printed seed (mulberry32). */
export class Random {
  #state: number

  constructor (seed: number) {
    this.#state = seed >>> 0
  }

  /** Randomness of its own for another consumer, so that who draws how often changes nothing for the others. */
  fork (): Random {
    return new Random(this.next() * 2 ** 32)
  }

  /** In [0, 1). */
  next (): number {
    this.#state = (this.#state + 0x6D2B79F5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  below (limit: number): number {
    return Math.floor(this.next() * limit)
  }

  between (low: number, high: number): number {
    return low + this.next() * (high - low)
  }

  chance (probability: number): boolean {
    return this.next() < probability
  }

  pick<Item> (items: readonly Item[]): Item {
    const item = items[this.below(items.length)]
    if (item === undefined) throw new Error('There is nothing to pick from.')
    return item
  }

  shuffled<Item> (items: readonly Item[]): Item[] {
    const left = [...items]
    const shuffled: Item[] = []
    while (left.length > 0) shuffled.push(...left.splice(this.below(left.length), 1))
    return shuffled
  }
}
