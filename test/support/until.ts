interface UntilOptions {
  /** 5000 */
  readonly timeoutMs?: number
  /** Ends the waiting early, with the last error, when what is waited for can no longer come. */
  giveUp? (): boolean
}

// A request in each turn costs both processes more than what is waited for: the longer it takes, the seldomer it is looked at.
const pausesMs = { first: 5, growth: 1.3, longest: 100 }

/** Polls until `check` answers something truthy without throwing; rejects with its last error when the time is over. */
export async function until (check: () => unknown, { timeoutMs = 5000, giveUp }: UntilOptions = {}): Promise<void> {
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
