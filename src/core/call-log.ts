import type { Clock } from './clock.ts'
import type { Logger } from './logger.ts'
import type { CallDecision } from './usage.ts'

/** A call through the gateway: who called what, and how it ended. Never an argument or a result. */
export interface Call {
  /** A UUID v7. Writing a call twice stores it once. */
  readonly id: string
  readonly workspaceId: string
  readonly keyId: string
  readonly upstream: string
  readonly method: string
  readonly tool: string | null
  readonly decision: CallDecision
  /** The HTTP status of the answer. */
  readonly status: number
  readonly ms: number
}

/** A call and how long ago it ended, in milliseconds. */
export interface AgedCall extends Call {
  readonly ageMs: number
}

interface CallLogOptions {
  readonly clock: Clock
  readonly log: Logger
  /** Writes calls. Settles in bounded time; repeating it is safe. */
  record (calls: readonly AgedCall[]): Promise<void>
  /** Milliseconds between two writes. */
  readonly flushEveryMs: number
  /** Calls held at most; further ones are dropped, and counted. 20,000. */
  readonly callsMax?: number
  readonly closeTimeoutMs?: number
}

export interface CallLogStats {
  readonly pending: number
  readonly written: number
  readonly dropped: number
  readonly failures: number
}

const perWrite = 5000

/** The gateway's calls, written in batches. A call never waits for the write: calls that Postgres cannot take in time are dropped and counted. */
export class CallLog {
  readonly #options: CallLogOptions
  readonly #callsMax: number
  readonly #timer: NodeJS.Timeout
  #calls: Array<{ readonly call: Call, readonly endedAt: number }> = []
  #flushing: Promise<void> | undefined
  #written = 0
  #dropped = 0
  #failures = 0

  constructor (options: CallLogOptions) {
    this.#options = options
    this.#callsMax = options.callsMax ?? 20_000
    this.#timer = setInterval(() => { this.flush() }, options.flushEveryMs).unref()
  }

  /** Notes a call that ended at the monotonic time `now`. */
  note (call: Call, now: number): void {
    if (this.#calls.length >= this.#callsMax) {
      this.#dropped++
      return
    }
    this.#calls.push({ call, endedAt: now })
    if (this.#calls.length === perWrite) this.flush()
  }

  async flush (): Promise<void> {
    this.#flushing ??= this.#write().finally(() => { this.#flushing = undefined })
    await this.#flushing
  }

  async close (): Promise<void> {
    clearInterval(this.#timer)
    let timer: NodeJS.Timeout | undefined
    const bound = new Promise<void>((resolve) => { timer = setTimeout(resolve, this.#options.closeTimeoutMs ?? 2000) })
    await Promise.race([this.#writeLast(), bound])
    clearTimeout(timer)
    if (this.#calls.length > 0) this.#options.log.warn({ calls: this.#calls.length }, 'calls of the gateway were not written')
  }

  stats (): CallLogStats {
    return { pending: this.#calls.length, written: this.#written, dropped: this.#dropped, failures: this.#failures }
  }

  async #writeLast (): Promise<void> {
    await this.#flushing
    await this.flush()
  }

  async #write (): Promise<void> {
    while (this.#calls.length > 0) {
      const part = this.#calls.slice(0, perWrite)
      const now = this.#options.clock.monotonicMs()
      try {
        await this.#options.record(part.map(({ call, endedAt }) => ({ ...call, ageMs: Math.max(0, now - endedAt) })))
        this.#calls = this.#calls.slice(part.length)
        this.#written += part.length
      } catch {
        this.#failures++
        this.#options.log.warn({ calls: this.#calls.length }, 'writing calls of the gateway failed and will be tried again')
        return
      }
    }
  }
}
