import type { Terms, WindowState } from '../../src/core/window/judge.ts'
import type { Sightings } from '../../src/core/window/silent-members.ts'
import type { Generation, TokenMemo } from '../../src/core/window/token-memo.ts'
import type { Roll, Wait } from '../../src/core/window/waits.ts'
import type { KeyVersion, ModelPostgres } from './model-postgres.ts'
import type { Protocol } from './protocol.ts'

/** A change whose maker waits for it to be in force. */
export interface Waiting {
  wait: Wait
  returned (path: 'fast' | 'slow'): void
}

/** What a cache holds of a key: what was read, and as of when. */
export interface Copy {
  readonly version: KeyVersion
  readonly asof: number
}

/** What a connection remembers, and of which copy. */
interface Remembered {
  readonly name: string
  readonly memo: TokenMemo<Copy>
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
  readonly #protocol: Protocol
  /** The database that its address leads to. */
  postgres: ModelPostgres
  state: WindowState
  incarnation = 0
  wakeAt = Infinity
  #timers: Timer[] = []
  #soonest = Infinity
  waits: Waiting[] = []
  roll: Roll | undefined
  sightings: Sightings
  isCalling = false
  calls = 0
  /** Copies in memory, by key and version. */
  memory = new Map<string, Copy>()
  /** What connections remember: one for each copy that was ever in memory. */
  memos = new Map<string, Remembered>()
  /** Of what and as what it read all keys last: a read of the same again changes nothing that it holds. */
  lastRead = ''
  generation: Generation = {}
  epoch = 0
  isPaused = false
  resumedAt = -Infinity
  /** What waits for the process to run again. */
  inbox: Array<() => void> = []
  holdsRequests = false
  holdsAnswers = false
  held: Array<() => void> = []
  isDeaf = false
  /** Keys whose freshness was judged in an earlier turn; only where the final check is split. */
  readonly judgedBefore = new Set<string>()

  constructor (index: number, protocol: Protocol, terms: Terms, { rate, offset, postgres }: { rate: number, offset: number, postgres: ModelPostgres }) {
    this.index = index
    this.rate = rate
    this.postgres = postgres
    this.#offset = offset
    this.#terms = terms
    this.#protocol = protocol
    this.state = protocol.initialState(terms)
    this.sightings = protocol.noSightings
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
    return this.isPaused ? Infinity : this.timeOf(Math.min(this.wakeAt, this.#soonest))
  }

  after (time: number, delayMs: number, run: () => void): void {
    const at = this.clock(time) + delayMs
    this.#timers.push({ at, run })
    this.#soonest = Math.min(this.#soonest, at)
  }

  /** Takes out the timers whose time has come on its own clock. */
  takeDue (now: number): Timer[] {
    const due = this.#timers.filter((timer) => timer.at <= now)
    this.#timers = this.#timers.filter((timer) => timer.at > now)
    this.#soonest = Math.min(Infinity, ...this.#timers.map(({ at }) => at))
    return due
  }

  /** Loses everything in memory. Whoever it was, it will be someone else. */
  crash (): void {
    this.incarnation++
    this.state = this.#protocol.initialState(this.#terms)
    this.wakeAt = Infinity
    this.#timers = []
    this.#soonest = Infinity
    this.waits = []
    this.roll = undefined
    this.sightings = this.#protocol.noSightings
    this.isCalling = false
    this.isPaused = false
    this.memory.clear()
    this.memos.clear()
    this.generation = {}
    this.epoch++
    this.inbox = []
    this.held = []
    this.holdsRequests = this.holdsAnswers = this.isDeaf = false
    this.judgedBefore.clear()
  }
}
