import { clientNetwork } from './client-network.ts'
import type { Client } from './miss-budget.ts'

interface OverBudgetQueueOptions {
  /** Milliseconds between two rounds. 50. */
  readonly everyMs?: number
  /** Maximum lookups of one client network in a round. 50. */
  readonly perNetworkMax?: number
  /** Maximum lookups of all clients in a round. 1000: one statement. */
  readonly perRoundMax?: number
}

/**
 * Lets a few requests of clients without budget through in each round: clients with real keys may share the address of one that
 * invents tokens. All requests of a round go at the same time, so that one statement reads their keys: a flood costs twenty statements a second. Rounds are small
 * because their requests also end in the same turn, which delays all others.
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

  /** Resolves when the next round begins. `undefined`: that round is full. */
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
