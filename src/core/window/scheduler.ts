/** Timers, handed in like the clock. */
export interface Scheduler {
  /** Calls `wake` once after about `delayMs`, perhaps early; answers how to call it off. */
  after (delayMs: number, wake: () => void): () => void
}

export const systemScheduler: Scheduler = {
  after (delayMs, wake) {
    const timer = setTimeout(wake, Math.min(Math.max(0, Math.ceil(delayMs)), 2 ** 31 - 1))
    return () => clearTimeout(timer)
  }
}

/** Aborts what `start` began after `timeoutMs`; its promise then rejects as `start` makes it. */
export async function within<T> (scheduler: Scheduler, timeoutMs: number, start: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const cancel = scheduler.after(timeoutMs, () => controller.abort())
  try {
    return await start(controller.signal)
  } finally {
    cancel()
  }
}
