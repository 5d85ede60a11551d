import type { Clock } from '../../src/core/clock.ts'
import type { Scheduler } from '../../src/core/window/scheduler.ts'

interface Event {
  readonly at: number
  /** Events of one moment happen in the order in which they were planned. */
  readonly number: number
  run: (() => void) | undefined
}

/** A clock that stands still while something is computed, and then goes on to the next event at once. */
export class VirtualTime implements Clock, Scheduler {
  #now = 0
  #planned = 0
  readonly #heap: Event[] = []

  monotonicMs (): number {
    return this.#now
  }

  after (delayMs: number, run: () => void): () => void {
    const event: Event = { at: this.#now + Math.max(0, delayMs), number: this.#planned++, run }
    this.#push(event)
    return () => { event.run = undefined }
  }

  /** Lets so much time pass, and all that happens in it. */
  async pass (ms: number): Promise<void> {
    const end = this.#now + ms
    let isDone = false
    this.after(ms, () => { isDone = true })
    await this.until(() => isDone)
    this.#now = end
  }

  /** Lets time pass until something is so. */
  async until (isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      const event = this.#pop()
      if (event === undefined) throw new Error('Nothing more will happen.')
      if (event.run === undefined) continue
      this.#now = event.at
      event.run()
      if (!this.#hasPromises) continue
      this.#hasPromises = false
      await new Promise((resolve) => { setImmediate(resolve) })
    }
  }

  #hasPromises = false

  /** Something was settled that others await: they go on before the next event. */
  settled (): void {
    this.#hasPromises = true
  }

  #push (event: Event): void {
    const heap = this.#heap
    let at = heap.push(event) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(event, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
  }

  #pop (): Event | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (heap.length === 0 || last === undefined) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return first
  }
}

function isBefore (one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.number < other.number)
}

/** Something that works on so many things at a time, each in its turn. */
export class Resource {
  readonly #time: VirtualTime
  readonly #freeAt: number[]
  busyMs = 0

  constructor (time: VirtualTime, cores = 1) {
    this.#time = time
    this.#freeAt = new Array<number>(cores).fill(0)
  }

  work (ms: number, then: () => void): void {
    let core = 0
    for (let i = 1; i < this.#freeAt.length; i++) if (this.#freeAt[i]! < this.#freeAt[core]!) core = i
    const now = this.#time.monotonicMs()
    const end = Math.max(now, this.#freeAt[core]!) + ms
    this.#freeAt[core] = end
    this.busyMs += ms
    this.#time.after(end - now, then)
  }
}
