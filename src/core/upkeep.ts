import type { Clock } from './clock.ts'
import { eventDays } from './events.ts'
import { failureOf, type Logger } from './logger.ts'

/** For how many days records are kept; null: for ever. */
export interface Retention {
  readonly auditDays: number | null
  readonly usageDays: number
  readonly callDays: number
  /** Since a key ended. */
  readonly endedKeyDays: number | null
}

export interface UpkeepStep {
  readonly days: number
  readonly rowsMax: number
}

/** Small steps of the upkeep. Each is one transaction, settles in bounded time and resolves to the number of changed rows. Several replicas may take the same step at once. */
export interface UpkeepStore {
  /** Records which keys have expired, each with its event. */
  markExpired (rowsMax: number): Promise<number>
  /** Emits an event for keys that expire within `days`, once. */
  noticeExpiring (step: UpkeepStep): Promise<number>
  pruneAudit (step: UpkeepStep): Promise<number>
  pruneUsage (step: UpkeepStep): Promise<number>
  pruneCalls (step: UpkeepStep): Promise<number>
  /** Gives events their position in the list if nobody has asked for them yet; events without one are not pruned. Resolves to their number. */
  placeEvents (rowsMax: number): Promise<number>
  pruneEvents (step: UpkeepStep): Promise<number>
  /** Deletes keys that ended longer ago, with their tokens. Resolves to the number of keys that were looked at. */
  pruneKeys (step: UpkeepStep): Promise<number>
  /** Deletes webhook receivers that no replica names any more, with their pending deliveries. */
  forgetReceivers (rowsMax: number): Promise<number>
}

interface UpkeepOptions {
  readonly store: UpkeepStore
  /** Revokes some unused keys and announces later revocations. Resolves to the number of keys that were looked at. */
  readonly revokeUnused: (rowsMax: number) => Promise<number>
  readonly retention: Retention
  readonly clock: Clock
  readonly log: Logger
  /** Milliseconds between two checks for due work, plus or minus half. 5000. */
  readonly everyMs?: number
  /** Maximum number of rows in one step. 500. */
  readonly rowsMax?: number
}

export interface UpkeepStats {
  readonly steps: number
  readonly failures: number
}

interface Chore {
  readonly everyMs: number
  readonly step: (rowsMax: number) => Promise<number>
  dueAt: number
}

const pruneEveryMs = 600_000
// Between two steps while there is more to do, so that other statements get their turn.
const pauseMs = 100

/**
 * Background work: record expired keys, announce keys that will expire soon, and delete records that are older than their retention. One statement at a
 * time, in small steps. Every replica does this; a step skips the rows that another replica is working on.
 */
export class Upkeep {
  readonly #options: UpkeepOptions
  readonly #chores: readonly Chore[]
  readonly #everyMs: number
  readonly #rowsMax: number
  #timer: NodeJS.Timeout | undefined
  #round: Promise<void> | undefined
  #isOn = false
  #isFailing = false
  #steps = 0
  #failures = 0

  constructor (options: UpkeepOptions) {
    this.#options = options
    this.#everyMs = options.everyMs ?? 5000
    this.#rowsMax = options.rowsMax ?? 500
    const { store, retention: { auditDays, usageDays, callDays, endedKeyDays } } = options
    const chore = (everyMs: number, step: Chore['step']): Chore => ({ everyMs, step, dueAt: -Infinity })
    this.#chores = [
      chore(0, (rowsMax) => store.markExpired(rowsMax)),
      // The nearer notice first, so that a key with less than a day left gets one notice.
      chore(0, (rowsMax) => store.noticeExpiring({ days: 1, rowsMax })),
      chore(0, (rowsMax) => store.noticeExpiring({ days: 7, rowsMax })),
      chore(0, options.revokeUnused),
      ...auditDays === null ? [] : [chore(pruneEveryMs, (rowsMax) => store.pruneAudit({ days: auditDays, rowsMax }))],
      chore(pruneEveryMs, (rowsMax) => store.pruneUsage({ days: usageDays, rowsMax })),
      chore(pruneEveryMs, (rowsMax) => store.pruneCalls({ days: callDays, rowsMax })),
      chore(pruneEveryMs, (rowsMax) => store.placeEvents(rowsMax)),
      chore(pruneEveryMs, (rowsMax) => store.pruneEvents({ days: eventDays, rowsMax })),
      ...endedKeyDays === null ? [] : [chore(pruneEveryMs, (rowsMax) => store.pruneKeys({ days: endedKeyDays, rowsMax }))],
      chore(pruneEveryMs, (rowsMax) => store.forgetReceivers(rowsMax))
    ]
  }

  /** The first step comes after a random part of the interval, so that replicas that start together do not work at the same time. */
  start (): void {
    if (this.#isOn) return
    this.#isOn = true
    this.#later()
  }

  /** Starts no further step and waits for the current one. */
  async close (): Promise<void> {
    this.#isOn = false
    clearTimeout(this.#timer)
    await this.#round
  }

  stats (): UpkeepStats {
    return { steps: this.#steps, failures: this.#failures }
  }

  #later (delayMs = this.#everyMs * (0.5 + Math.random())): void {
    if (!this.#isOn) return
    this.#timer = setTimeout(() => {
      this.#round = this.#work().then((hasMore) => { this.#later(hasMore ? pauseMs : undefined) })
    }, delayMs).unref()
  }

  /** Takes one step of each task that is due. Resolves to whether there is more to do at once. */
  async #work (): Promise<boolean> {
    const { clock, log } = this.#options
    let hasMore = false
    try {
      for (const chore of this.#chores) {
        if (!this.#isOn) return false
        if (clock.monotonicMs() < chore.dueAt) continue
        if (await chore.step(this.#rowsMax) < this.#rowsMax) chore.dueAt = clock.monotonicMs() + chore.everyMs
        else hasMore = true
        this.#steps++
      }
      this.#isFailing = false
      return hasMore
    } catch (error) {
      this.#failures++
      if (!this.#isFailing) log.warn(failureOf(error), 'the upkeep of keys and their history failed and will be tried again')
      this.#isFailing = true
      return false
    }
  }
}
