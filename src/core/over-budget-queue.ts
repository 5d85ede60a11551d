import { clientNetwork } from './client-network.ts'
import type { Client } from './miss-budget.ts'

interface OverBudgetQueueOptions {
  /** Milliseconds between two rounds. 50. */
  readonly everyMs?: number
  /** Maximum lookups of one client network in a round. 50. */
  readonly perNetworkMax?: number
  /** Maximum lookups of all clients in a round. 1000: one statement. */
  readonly perRoundMax?: number
  /** Maximum lookups of one client network in a round whose requests were refused already. 200. */
  readonly behindPerNetworkMax?: number
}

/**
 * Lets a few requests of clients without budget through in each round: clients with real keys may share the address of one that
 * invents tokens. All requests of a round go at the same time, so that one statement reads their keys: a flood costs twenty statements a second. Rounds are small
 * because their requests also end in the same turn, which delays all others.
 *
 * A request that finds no place is refused at once, and its token is looked up in the next round, after the refusal. If the key exists, it is then in
 * memory, and the next request with it is accepted, however many tokens others at that address invent.
 */
export class OverBudgetQueue {
  readonly #everyMs: number
  readonly #perNetworkMax: number
  readonly #perRoundMax: number
  readonly #behindPerNetworkMax: number
  #waiting: Array<() => void> = []
  #ofNetwork = new Map<string, number>()
  #behind: Array<() => void> = []
  #behindOfNetwork = new Map<string, number>()
  #isGoingSoon = false

  constructor ({ everyMs = 50, perNetworkMax = 50, perRoundMax = 1000, behindPerNetworkMax = 200 }: OverBudgetQueueOptions = {}) {
    this.#everyMs = everyMs
    this.#perNetworkMax = perNetworkMax
    this.#perRoundMax = perRoundMax
    this.#behindPerNetworkMax = behindPerNetworkMax
  }

  /** Resolves when the next round begins. `undefined`: that round is full. */
  join ({ ip }: Client): Promise<void> | undefined {
    const network = clientNetwork(ip)
    const count = this.#ofNetwork.get(network) ?? 0
    if (count >= this.#perNetworkMax || this.#waiting.length >= this.#perRoundMax) return undefined
    this.#ofNetwork.set(network, count + 1)
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.#goSoon()
    })
  }

  /** Calls `lookUp` when the next round begins, after the refusal of its request. Does nothing when that round is full. */
  lookUpBehind ({ ip }: Client, lookUp: () => void): void {
    const network = clientNetwork(ip)
    const count = this.#behindOfNetwork.get(network) ?? 0
    if (count >= this.#behindPerNetworkMax || this.#behind.length >= this.#perRoundMax) return
    this.#behindOfNetwork.set(network, count + 1)
    this.#behind.push(lookUp)
    this.#goSoon()
  }

  #goSoon (): void {
    if (this.#isGoingSoon) return
    this.#isGoingSoon = true
    setTimeout(() => this.#go(), this.#everyMs)
  }

  #go (): void {
    const going = [...this.#waiting, ...this.#behind]
    this.#isGoingSoon = false
    this.#waiting = []
    this.#behind = []
    this.#ofNetwork = new Map()
    this.#behindOfNetwork = new Map()
    for (const go of going) go()
  }
}
