import { randomUUID } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { failureOf, type Logger } from '../logger.ts'
import { isWatcher, rollEveryMs, waitOutMs } from './durations.ts'
import { within, type Scheduler } from './scheduler.ts'
import { noSightings, sight } from './silent-members.ts'
import type { OwnRow, WindowStore } from './store.ts'
import type { Roll } from './waits.ts'

interface UpkeepOptions {
  readonly store: WindowStore
  readonly clock: Clock
  readonly scheduler: Scheduler
  readonly windowMs: number
  readonly log: Logger
  /** Log rows that the table keeps. */
  readonly logRowsKept: number
  /** Reads the members; `undefined`: not known. */
  readRoll (): Promise<Roll | undefined>
  /** Our row; `undefined` while we are no member with an open window. */
  ownRow (): OwnRow | undefined
  /** The lineage that our row bears. */
  lineage (): string | undefined
  /** Until when, on the database's clock, we may give it to others; `undefined`: not now. */
  admitsUntil (): number | undefined
  /** Our row, or the clock's, has changed: the next renewal tells. */
  onLineageChanged (): void
}

export interface UpkeepCounts {
  readonly countedOut: number
  readonly pruned: number
  readonly admitted: number
  readonly founded: number
}

const callTimeoutMs = 1000
const pruneEveryMs = 30_000

/**
 * What members do for one another, a few times a second in the whole fleet (R9, R12): count out silent members, give new members
 * the lineage or found a new one where no member has it any more, and prune the log.
 */
export class Upkeep {
  readonly #options: UpkeepOptions
  readonly #counts = { countedOut: 0, pruned: 0, admitted: 0, founded: 0 }
  #sightings = noSightings
  #members = 1
  #isWatcher = true
  #watchesUntil = -Infinity
  #isOn = false
  #isKeeping = false
  #isWantedAgain = false
  #cancel = () => {}
  #prunedAt = -Infinity

  constructor (options: UpkeepOptions) {
    this.#options = options
  }

  start (): void {
    this.#isOn = true
    this.#later(this.#everyMs)
  }

  stop (): void {
    this.#isOn = false
    this.#cancel()
  }

  /** At once, because a lineage is wanted. */
  soon (): void {
    if (this.#isKeeping) this.#isWantedAgain = true
    else if (this.#isOn) this.#later(0)
  }

  /** Called when a member did not acknowledge a change: reads the list of members now, and often for a while, to find out whether that member is silent. */
  watch (): void {
    const { clock, windowMs } = this.#options
    const watchesAlready = this.#watches
    this.#watchesUntil = clock.monotonicMs() + 3 * waitOutMs(windowMs)
    if (!watchesAlready && this.#isOn && !this.#isKeeping) this.#later(0)
  }

  /** What was seen of members in another history says nothing. */
  forget (): void {
    this.#sightings = noSightings
  }

  counts (): UpkeepCounts {
    return { ...this.#counts }
  }

  get #everyMs (): number {
    return rollEveryMs(this.#options.windowMs, this.#members, this.#watches)
  }

  get #watches (): boolean {
    return this.#isWatcher || this.#options.clock.monotonicMs() < this.#watchesUntil
  }

  #later (delayMs: number): void {
    this.#cancel()
    this.#cancel = this.#options.scheduler.after(delayMs, () => { this.#keep().catch(() => {}) })
  }

  async #keep (): Promise<void> {
    const { log, readRoll } = this.#options
    this.#isKeeping = true
    this.#isWantedAgain = false
    try {
      const roll = await readRoll()
      if (roll !== undefined) {
        this.#members = roll.members.length
        const own = this.#options.ownRow()
        this.#isWatcher = own === undefined || isWatcher(own.id, roll.members)
        await this.#settleLineage(roll)
        await this.#countOut(roll)
        await this.#prune()
      }
    } catch (error) {
      log.warn(failureOf(error), 'the upkeep of the trust window failed and will be tried again')
    }
    this.#isKeeping = false
    if (this.#isOn) this.#later(this.#isWantedAgain ? 0 : this.#everyMs)
  }

  async #settleLineage (roll: Roll): Promise<void> {
    const { store, scheduler, log, ownRow, lineage, admitsUntil, onLineageChanged } = this.#options
    const own = ownRow()
    if (own === undefined) return
    if (lineage() === roll.lineage) {
      const until = admitsUntil()
      if (until === undefined || roll.members.every((member) => member.lineage !== undefined)) return
      this.#counts.admitted += await within(scheduler, callTimeoutMs, (signal) => store.admit(own, until, signal))
    } else if (lineage() === undefined && roll.members.every((member) => member.lineage !== roll.lineage)) {
      if (!await within(scheduler, callTimeoutMs, (signal) => store.found(own, randomUUID(), signal))) return
      this.#counts.founded++
      log.info({}, 'no running replica knew the history of this database: a new lineage begins, and older rows in Redis are ignored')
      onLineageChanged()
    }
  }

  async #countOut (roll: Roll): Promise<void> {
    const { store, scheduler, log } = this.#options
    const { sightings, silent } = sight(this.#sightings, roll, callTimeoutMs + this.#everyMs)
    this.#sightings = sightings
    for (const { id, beat } of silent) {
      if (!await within(scheduler, callTimeoutMs, (signal) => store.countOut(id, beat, signal))) continue
      this.#counts.countedOut++
      log.warn({ member: id }, 'a member of the trust window did not renew in time and was removed')
    }
    // Its row may be what kept us from a lineage.
    if (silent.length > 0 && this.#options.lineage() === undefined) this.#isWantedAgain = true
  }

  async #prune (): Promise<void> {
    const { store, scheduler, clock, logRowsKept } = this.#options
    const everyMs = pruneEveryMs * Math.max(1, this.#members / 10)
    if (!this.#isOn || clock.monotonicMs() - this.#prunedAt < everyMs) return
    const deleted = await within(scheduler, callTimeoutMs, (signal) => store.prune(logRowsKept, signal))
    this.#counts.pruned += deleted
    if (deleted === 0) this.#prunedAt = clock.monotonicMs()
  }
}
