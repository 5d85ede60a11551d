/** The source of time. Code in `core/` and `tiers/` gets a `Clock` and reads no other clock. */
export interface Clock {
  /** Milliseconds on a clock that never goes back and that no administrator can set. For every decision. */
  monotonicMs (): number
}

/** The process's own monotonic clock (`CLOCK_MONOTONIC` on Linux: it counts while the process is stopped). */
export const systemClock: Clock = {
  monotonicMs: () => performance.now()
}
