import { clientNetwork } from './client-network.ts'
import type { Client } from './miss-budget.ts'

interface OverBudgetQueueOptions {
  /** Milliseconds between two rounds. 50. */
  readonly everyMs?: number
  /** Lookups of one client network in a round. 50. */
  readonly perNetworkMax?: number
  /** Lookups in a round, of all together. 1000: one statement. */
  readonly perRoundMax?: number
}

/**
 * Lets through, round by round, a few of those whose budget is spent: behind the address of whoever invents tokens there may be
 * others, with keys that exist. Those of a round go at once, so that one statement reads them all: a flood costs twenty a second. Rounds are small
 * because all of one end together, and meanwhile nobody else is answered.
 */
export class OverBudgetQueue {
  readonly #everyMs: number
  readonly #perNetworkMax: number
  readonly #perRoundMax: number
  #waiting: Array<() => void> = []
  #ofNetwork = new Map<string, number>()

  constructor ({ everyMs = 50, perNetworkMax = 50, perRoundMax = 1000 }: OverBudgetQueueOptions = {}) {
    this.#everyMs = everyMs
    this.#perNetworkMax = perNetworkMax
    this.#perRoundMax = perRoundMax
  }

  /** A place in the next round: resolves when it is there. `undefined`: that round is full. */
  join ({ ip }: Client): Promise<void> | undefined {
    const network = clientNetwork(ip)
    const count = this.#ofNetwork.get(network) ?? 0
    if (count >= this.#perNetworkMax || this.#waiting.length >= this.#perRoundMax) return undefined
    this.#ofNetwork.set(network, count + 1)
    return new Promise((resolve) => {
      if (this.#waiting.push(resolve) === 1) setTimeout(() => this.#go(), this.#everyMs)
    })
  }

  #go (): void {
    const waiting = this.#waiting
    this.#waiting = []
    this.#ofNetwork = new Map()
    for (const go of waiting) go()
  }
}
