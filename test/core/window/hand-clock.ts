import type { Scheduler } from '../../../src/core/window/scheduler.ts'

/** Timers that fire when they are told to, in the order of their times. */
export class HandClock implements Scheduler {
  now: number
  readonly timers = new Set<{ readonly at: number, readonly wake: () => void }>()

  constructor (now = 1) {
    this.now = now
  }

  after (delayMs: number, wake: () => void): () => void {
    const timer = { at: this.now + delayMs, wake }
    this.timers.add(timer)
    return () => { this.timers.delete(timer) }
  }

  monotonicMs (): number { return this.now }

  async passTo (now: number): Promise<void> {
    for (;;) {
      await new Promise((resolve) => { setImmediate(resolve) })
      const [next] = [...this.timers].filter(({ at }) => at <= now).sort((one, other) => one.at - other.at)
      if (next === undefined) break
      this.timers.delete(next)
      this.now = Math.max(this.now, next.at)
      next.wake()
    }
    this.now = now
  }
}
