import { readFileSync } from 'node:fs'
import { constants, monitorEventLoopDelay, performance, PerformanceObserver, type PerformanceEntry } from 'node:perf_hooks'

export interface Pauses {
  /** The longest time between two ticks beyond what was expected. */
  readonly longestMs: number
  /** The longest, when the time is left out that the thread was ready to run while other threads had its core. */
  readonly longestOnCoreMs: number
  /** The most that the main thread computed between two ticks: other processes, and threads of its own that it waits for, are not in it. */
  readonly longestComputedMs: number
  /** The longest that a timer of 1 ms came late. */
  readonly loopDelayMs: number
  readonly minorGcMs: number
  readonly majorGcMs: number
}

/** How long the event loop of this process stood still. `tick` is called by whoever has a turn to measure, or every millisecond. */
export class PauseMeter {
  readonly #expectedMs: number
  readonly #delay = monitorEventLoopDelay({ resolution: 1 })
  readonly #observer: PerformanceObserver
  readonly #timer: NodeJS.Timeout | undefined
  #last = performance.now()
  #lastTimes = threadTimes()
  #longestMs = 0
  #longestOnCoreMs = 0
  #longestComputedMs = 0
  #minorGcMs = 0
  #majorGcMs = 0

  /** `expectedMs`: what a turn that the caller fills takes. None: ticks by itself. */
  constructor (expectedMs?: number) {
    this.#expectedMs = expectedMs ?? 1
    this.#observer = new PerformanceObserver((list) => { this.#note(list.getEntries()) })
    this.#observer.observe({ entryTypes: ['gc'] })
    this.#delay.enable()
    if (expectedMs === undefined) this.#timer = setInterval(() => { this.tick() }, 1)
  }

  tick (): void {
    const now = performance.now()
    const times = threadTimes()
    const pauseMs = now - this.#last - this.#expectedMs
    this.#longestMs = Math.max(this.#longestMs, pauseMs)
    this.#longestOnCoreMs = Math.max(this.#longestOnCoreMs, pauseMs - (times.waitedMs - this.#lastTimes.waitedMs))
    this.#longestComputedMs = Math.max(this.#longestComputedMs, times.computedMs - this.#lastTimes.computedMs)
    this.#last = now
    this.#lastTimes = times
  }

  stop (): Pauses {
    clearInterval(this.#timer)
    this.#delay.disable()
    this.#note(this.#observer.takeRecords())
    this.#observer.disconnect()
    return {
      longestMs: this.#longestMs,
      longestOnCoreMs: this.#longestOnCoreMs,
      longestComputedMs: this.#longestComputedMs,
      loopDelayMs: this.#delay.max / 1e6,
      minorGcMs: this.#minorGcMs,
      majorGcMs: this.#majorGcMs
    }
  }

  #note (entries: readonly PerformanceEntry[]): void {
    for (const { duration, detail } of entries as ReadonlyArray<PerformanceEntry & { readonly detail: { readonly kind: number } }>) {
      if (detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) this.#minorGcMs = Math.max(this.#minorGcMs, duration)
      else this.#majorGcMs = Math.max(this.#majorGcMs, duration)
    }
  }
}

/** For how long the main thread has computed, and been ready to run while others had the core. */
function threadTimes () {
  const [computed, waited] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')
  return { computedMs: Number(computed) / 1e6, waitedMs: Number(waited) / 1e6 }
}
