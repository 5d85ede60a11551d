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
      for (; due < now; due += 1000 / perSecond) this.#verifyOne()
    }
  }

  #verifyOne (): void {
    const { clients, pool, random } = this.#options
    const open = clients()
    const key = pool.next()
    if (open.length === 0 || key === undefined) return
    random.pick(open).verifyOrRepeat(key, random.below(queuedEvery) === 0 ? queueDepth : 1)
  }
}
