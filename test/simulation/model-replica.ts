import type { Wait } from '../../src/core/window/waits.ts'
import type { ModelPostgres } from './model-postgres.ts'
import { noSightings, type Sightings } from '../../src/core/window/reaper.ts'
import { initialState, type Terms, type WindowState } from '../../src/core/window/state.ts'

/** A change whose maker waits for it to be in force. */
export interface Revoking {
  readonly wait: Wait
  returned (path: 'fast' | 'slow'): void
}

interface Timer {
  /** On the replica's own clock. */
  readonly at: number
  run (): void
}

/** One process: its clock, what it knows, and what the world does to it. */
export class ModelReplica {
  readonly index: number
  readonly rate: number
  readonly #offset: number
  readonly #terms: Terms
  state: WindowState
  incarnation = 0
  id: string | undefined
  wakeAt = Infinity
  timers: Timer[] = []
  waits: Revoking[] = []
  sightings: Sightings = noSightings
  known: ReadonlySet<string> = new Set()
  isCalling = false
  calls = 0
  isPaused = false
  resumedAt = -Infinity
  /** What waits for the process to run again. */
  inbox: Array<() => void> = []
  holdsRequests = false
  holdsAnswers = false
  held: Array<() => void> = []
  isDeaf = false
  /** The primary that it still talks to, where another one has taken over. */
  oldPrimary: ModelPostgres | undefined
  /** Keys whose freshness was judged in an earlier turn; only where the final check is split. */
  readonly judgedBefore = new Set<number>()

  constructor (index: number, terms: Terms, { rate, offset }: { rate: number, offset: number }) {
    this.index = index
    this.rate = rate
    this.#offset = offset
    this.#terms = terms
    this.state = initialState(terms)
  }

  /** The replica's own monotonic clock at a moment of true time, and back. */
  clock (time: number): number {
    return this.#offset + this.rate * time
  }

  timeOf (clock: number): number {
    return (clock - this.#offset) / this.rate
  }

  /** The moment, in true time, of its next timer. */
  nextTime (): number {
    let at = this.wakeAt
    for (const timer of this.timers) at = Math.min(at, timer.at)
    return this.isPaused ? Infinity : this.timeOf(at)
  }

  after (time: number, delayMs: number, run: () => void): void {
    this.timers.push({ at: this.clock(time) + delayMs, run })
  }

  /** Loses everything in memory. Whoever it was, it will be someone else. */
  crash (): void {
    this.incarnation++
    this.state = initialState(this.#terms)
    this.id = undefined
    this.wakeAt = Infinity
    this.timers = []
    this.waits = []
    this.sightings = noSightings
    this.known = new Set()
    this.isCalling = false
    this.isPaused = false
    this.inbox = []
    this.held = []
    this.holdsRequests = this.holdsAnswers = this.isDeaf = false
    this.oldPrimary = undefined
    this.judgedBefore.clear()
  }
}
