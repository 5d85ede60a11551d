import { setTimeout as sleep } from 'node:timers/promises'
import type { KeyPool } from './key-pool.ts'
import type { Random } from './random.ts'
import type { ReplicaClient } from './replica-client.ts'

interface LoadOptions {
  readonly pool: KeyPool
  readonly random: Random
  /** The replicas to ask, as they are now. */
  clients (): readonly ReplicaClient[]
  /** Verifications per second over all replicas; fewer when they are slower than that. */
  readonly perSecond: number
}

const tickMs = 4
/** What was not sent in time is forgotten beyond this, so that a pause of this process is no flood. */
const catchUpMs = 50
/** One verification in so many may queue behind unanswered ones; a frozen replica finds those when it wakes. */
const queuedEvery = 12
const queueDepth = 6
/**
 * Half of the verifications are sent so many at once over one connection, before any of them is answered. Sending and answering each by itself costs
 * this machine more than the service takes to decide.
 */
const together = 8

/** Verifications of live and refused keys at a steady pace, at replicas drawn at random. */
export class Load {
  readonly #options: LoadOptions
  #running = true
  readonly #done: Promise<void>

  constructor (options: LoadOptions) {
    this.#options = options
    this.#done = this.#run()
  }

  async stop (): Promise<void> {
    this.#running = false
    await this.#done
  }

  async #run (): Promise<void> {
    const { perSecond } = this.#options
    let due = performance.now()
    while (this.#running) {
      await sleep(tickMs)
      const now = performance.now()
      due = Math.max(due, now - catchUpMs)
      while (due < now) due += this.#verifySome() * 1000 / perSecond
    }
  }

  /** How many it was. */
  #verifySome (): number {
    const { clients, pool, random } = this.#options
    const count = random.below(together + 1) === 0 ? together : 1
    const keys = Array.from({ length: count }, () => pool.next()).filter((key) => key !== undefined)
    const depthMax = random.below(queuedEvery) === 0 ? queueDepth : 1
    const open = clients()
    const first = random.below(open.length)
    // A replica that answers nothing takes nothing of the load away from the others.
    for (let i = 0; i < open.length && keys.length > 0; i++) {
      if (open[(first + i) % open.length]!.verifyOrRepeat(keys, depthMax)) break
    }
    return count
  }
}
