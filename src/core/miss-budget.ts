import { clientNetwork } from './client-network.ts'
import type { Clock } from './clock.ts'

/** The client that a budget belongs to. A Fastify request is one. */
export interface Client {
  readonly ip: string
  /** How many clients it stands for: 1, or more for an internal service that asks for others. */
  readonly speaksFor?: number
}

interface MissBudgetOptions {
  readonly clock: Clock
  /** Unknown tokens that one client network may present per minute; also the burst. */
  readonly perMinute: number
  /** Maximum number of client networks. Beyond it the least recently seen one is forgotten. */
  readonly networksMax?: number
}

interface Account {
  left: number
  at: number
}

/**
 * How many more unknown tokens are looked up for a client. One unit is taken before the lookup, so that concurrent lookups
 * count, and given back if the token is known: only unknown tokens use up the budget.
 */
export class MissBudget {
  readonly #clock: Clock
  readonly #perMinute: number
  readonly #networksMax: number
  readonly #accounts = new Map<string, Account>()

  constructor ({ clock, perMinute, networksMax = 10_000 }: MissBudgetOptions) {
    this.#clock = clock
    this.#perMinute = perMinute
    this.#networksMax = networksMax
  }

  get size (): number {
    return this.#accounts.size
  }

  /** Takes one lookup from the budget. Returns 0 if there was one left, else the milliseconds until there is. */
  take (client: Client): number {
    const account = this.#accountOf(client)
    if (account.left >= 1) {
      account.left -= 1
      return 0
    }
    return (1 - account.left) / this.#perMsOf(client)
  }

  giveBack (client: Client): void {
    const account = this.#accountOf(client)
    account.left = Math.min(account.left + 1, this.#mostOf(client))
  }

  #accountOf (client: Client): Account {
    const name = nameOf(client)
    const now = this.#clock.monotonicMs()
    const most = this.#mostOf(client)
    const known = this.#accounts.get(name)
    const account = known ?? { left: most, at: now }
    account.left = Math.min(most, account.left + (now - account.at) * this.#perMsOf(client))
    account.at = now
    const isCrowded = this.#accounts.size > this.#networksMax / 2
    if (known === undefined || isCrowded) this.#keep(name, account)
    return account
  }

  // Least recently seen first. The order is only maintained when half of the places are in use.
  #keep (name: string, account: Account): void {
    this.#accounts.delete(name)
    this.#accounts.set(name, account)
    if (this.#accounts.size <= this.#networksMax) return
    const [longestUnseen] = this.#accounts.keys()
    this.#accounts.delete(longestUnseen!)
  }

  #mostOf ({ speaksFor = 1 }: Client): number {
    return this.#perMinute * speaksFor
  }

  #perMsOf (client: Client): number {
    return this.#mostOf(client) / 60_000
  }
}

function nameOf ({ ip, speaksFor = 1 }: Client): string {
  return speaksFor === 1 ? clientNetwork(ip) : `${speaksFor} at ${clientNetwork(ip)}`
}
