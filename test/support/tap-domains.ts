import { AsyncResource as Resource } from 'node:async_hooks'

/*
 * What the joined tap has in place of `async-hook-domain`, and of the `AsyncResource` of `async_hooks`: which test an error belongs to that reaches nobody. That package
 * hooks into all that waits: each promise of a test process is made and freed through a function of it, for a tenth of the process's time. Tests of a file run one after
 * another here, so such an error belongs to the innermost one that runs (decision 0353).
 */

type Tell = (error: unknown, origin: string) => void

/** Those of the tests that run, the outermost first. */
const running: Domain[] = []
let making: AsyncResource | undefined

/** Of each test there is one: the domain is made in its first call, and the test run in its second. */
export class AsyncResource extends Resource {
  made: Domain | undefined

  override runInAsyncScope<This, Result> (act: (this: This, ...args: any[]) => Result, self?: This, ...args: any[]): Result {
    const before = making
    if (this.made === undefined) making = this
    else this.made.begin()
    try {
      return super.runInAsyncScope(act, self, ...args)
    } finally {
      making = before
    }
  }
}

export class Domain {
  readonly onerror: Tell
  #isOver = false

  constructor (onerror: Tell) {
    this.onerror = onerror
    if (making === undefined) this.begin()
    else making.made = this
    making = undefined
  }

  begin (): void {
    if (this.#isOver || running.includes(this)) return
    if (running.length === 0) process.on('uncaughtExceptionMonitor', tell)
    running.push(this)
  }

  destroy (): void {
    this.#isOver = true
    const index = running.indexOf(this)
    if (index < 0) return
    running.splice(index, 1)
    if (running.length === 0) process.off('uncaughtExceptionMonitor', tell)
  }
}

function tell (error: unknown, origin: string): void {
  const domain = running.at(-1)
  if (domain === undefined || process.hasUncaughtExceptionCaptureCallback() || process.listenerCount('uncaughtException') > 0) return
  domain.onerror(error, origin)
  // It has been told: the process goes on.
  process.setUncaughtExceptionCaptureCallback(() => { process.setUncaughtExceptionCaptureCallback(null) })
}
