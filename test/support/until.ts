interface UntilOptions {
  /** Default: 60,000, far more than anything takes on an idle machine: a busy one needs ten times as long. */
  readonly timeoutMs?: number
  /** Returns true to stop waiting early, with the last error, when the condition can no longer become true. */
  giveUp? (): boolean
}

// Each check costs processor time that the observed process needs: check less often the longer it takes.
const pausesMs = { first: 5, growth: 1.3, longest: 100 }

/** Polls until `check` returns a truthy value without throwing. Rejects with its last error when the time is over. */
export async function until (check: () => unknown, { timeoutMs = 60_000, giveUp }: UntilOptions = {}): Promise<void> {
  const end = performance.now() + timeoutMs
  let last: unknown = new Error(`Still not so after ${timeoutMs} ms: ${check.toString()}`)
  for (let pauseMs = pausesMs.first; ; pauseMs = Math.min(pausesMs.longest, pauseMs * pausesMs.growth)) {
    try {
      if (await check()) return
    } catch (error) {
      last = error
    }
    if (performance.now() > end || giveUp?.() === true) throw last
    await new Promise((resolve) => { setTimeout(resolve, pauseMs) })
  }
}
