import { setTimeout as sleep } from 'node:timers/promises'
import type { Changes } from './changes.ts'
import { inTime } from './deadline.ts'
import type { KeyPool } from './key-pool.ts'
import type { TrackedKey } from './ledger.ts'
import type { Random } from './random.ts'
import type { ReplicaClient } from './replica-client.ts'

interface ChurnOptions {
  readonly changes: Changes
  readonly pool: KeyPool
  readonly random: Random
  clients (): readonly ReplicaClient[]
  /** Restrictive changes per second. */
  readonly perSecond: number
  /** Live keys to keep. */
  readonly keys: number
  /** Changes under way at once; the slow path holds each for W. */
  readonly pendingMax: number
}

const createBatch = 8

/** Keys come and go at a steady pace: made, brought into every cache, used, and taken away in every way there is. */
export class Churn {
  readonly #options: ChurnOptions
  readonly #under = new Set<Promise<void>>()
  #workspaces = 0
  #running = true
  #paused = false
  #filling = false
  #done: Promise<unknown> = Promise.resolve()

  constructor (options: ChurnOptions) {
    this.#options = options
  }

  /** Makes the first keys, then starts. */
  async start (): Promise<void> {
    await this.#fill(30_000)
    this.#done = Promise.all([this.#keepFull(), this.#takeAway()])
  }

  /** Starts no more changes until `resume`; resolves when every one that was under way has returned. */
  async pause (timeoutMs: number): Promise<void> {
    this.#paused = true
    const end = performance.now() + timeoutMs
    while (this.#under.size > 0 || this.#filling) {
      if (performance.now() > end) throw new Error(`${this.#under.size} changes did not return within ${timeoutMs} ms.`)
      await sleep(20)
    }
  }

  resume (): void {
    this.#paused = false
  }

  /** Starts no more changes and waits for nothing. */
  abandon (): void {
    this.#running = false
    this.#options.changes.giveUp()
  }

  /** Starts no more changes and resolves when every one has returned; rejects when one has not in time. */
  async stop (timeoutMs: number): Promise<void> {
    this.#running = false
    await inTime('the last keys to be made', timeoutMs, this.#done)
    const late = sleep(timeoutMs, 'late' as const, { ref: false })
    while (this.#under.size > 0) {
      if (await Promise.race([late, ...this.#under]) === 'late') throw new Error(`${this.#under.size} changes did not return within ${timeoutMs} ms.`)
    }
  }

  /** New live keys, known to every replica, that only the caller takes away; fewer when a replica refuses to make them. */
  async keys (count: number, workspaceId = this.#workspace(), ownerId?: string): Promise<TrackedKey[]> {
    const { changes, clients, random } = this.#options
    const open = clients()
    if (open.length === 0) return []
    const made = await Promise.all(Array.from({ length: count }, async () => await changes.create(random.pick(open), workspaceId, ownerId)))
    const keys = made.filter((key) => key !== undefined)
    for (const key of keys) this.#warm(key)
    return keys
  }

  async #keepFull (): Promise<void> {
    while (this.#running) {
      if (!this.#paused) {
        this.#filling = true
        await this.#fill(0)
        this.#filling = false
      }
      await sleep(50)
    }
  }

  async #fill (timeoutMs: number): Promise<void> {
    const { pool, keys } = this.#options
    const end = performance.now() + timeoutMs
    do {
      const missing = Math.min(createBatch, keys - pool.live.length)
      if (missing <= 0) return
      for (const key of await this.keys(missing)) pool.addLive(key)
    } while (performance.now() < end)
  }

  async #takeAway (): Promise<void> {
    const { perSecond, pendingMax, changes, random } = this.#options
    while (this.#running) {
      await sleep(random.between(0.5, 1.5) * 1000 / perSecond)
      if (this.#paused || changes.pending >= pendingMax || this.#options.clients().length === 0) continue
      // A change that rejects was given up; that it never returned shows in what is pending.
      const under = this.#change().catch(() => {}).finally(() => { this.#under.delete(under) })
      this.#under.add(under)
    }
  }

  async #change (): Promise<void> {
    const { changes, pool, random, keys } = this.#options
    const kind = random.below(100)
    if (kind < 4) return await this.#takeWorkspace()
    if (kind < 7) return await this.#takeOwner()
    if (kind < 9) return await this.#takeByPolicy()
    if (kind < 12 && pool.live.length > 0) return await changes.rename(random.pick(pool.live))
    if (pool.live.length < keys / 2) return
    const key = pool.takeOldest()
    if (key === undefined) return
    if (kind < 22) return await changes.expire(key, random.between(500, 2500))
    const [one, other] = random.shuffled(this.#options.clients())
    if (kind < 42 && kind >= 32) return await changes.rotate(key)
    if (kind < 32 && one !== undefined && other !== undefined) return await changes.revokeTwice(key, [one, other])
    await changes.revoke(key)
  }

  async #takeWorkspace (): Promise<void> {
    const workspaceId = `torture-all-${this.#workspaces++}`
    const keys = await this.keys(3, workspaceId)
    await sleep(100)
    if (keys.length > 0) await this.#options.changes.revokeWorkspace(workspaceId, keys)
  }

  /** Of a workspace whose other keys live on. */
  async #takeOwner (): Promise<void> {
    const [workspaceId, ownerId] = [this.#workspace(), `owner|${this.#workspaces++}`]
    const keys = await this.keys(3, workspaceId, ownerId)
    await sleep(100)
    if (keys.length > 0) await this.#options.changes.revokeOwner(workspaceId, ownerId, keys)
  }

  /** Of a workspace of their own: its policy stays. */
  async #takeByPolicy (): Promise<void> {
    const { changes, clients, random } = this.#options
    const open = clients()
    if (open.length === 0) return
    const workspaceId = `torture-policy-${this.#workspaces++}`
    const made = await Promise.all(Array.from({ length: 3 }, async () => await changes.importOld(random.pick(open), workspaceId)))
    const keys = made.filter((key) => key !== undefined)
    for (const key of keys) this.#warm(key)
    await sleep(100)
    if (keys.length > 0) await changes.applyPolicy(workspaceId, keys)
  }

  #workspace (): string {
    return `torture-${this.#options.random.below(20)}`
  }

  #warm (key: TrackedKey): void {
    for (const client of this.#options.clients()) client.verify(key, 4)
  }
}
