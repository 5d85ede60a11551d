/** What is broken: one replica or its links, Redis, Postgres. */
export type TroubleKind = 'replica' | 'redis' | 'postgres'

/** Which figure a latency counts towards. */
export type Situation = 'nothing broken' | 'replica dead, frozen or cut' | 'Redis away' | 'Postgres away' | 'asked of the broken replica itself' | 'several at once'

export interface TroubleOptions {
  readonly kind: TroubleKind
  /** What was done, for the reader of a finding. */
  readonly name: string
  /** The one replica that is concerned, by its place; without it all are. */
  readonly place?: number
  /** Whether the outage table lets a verification be answered 503 meanwhile. */
  readonly mayBeUnavailable?: boolean
}

interface Trouble extends TroubleOptions {
  readonly from: number
  until: number
}

const situations: Record<TroubleKind, Situation> = {
  replica: 'replica dead, frozen or cut',
  redis: 'Redis away',
  postgres: 'Postgres away'
}

/** When what was broken, so that a latency or a 503 can be held against it. */
export class Troubles {
  readonly #troubles: Trouble[] = []
  readonly #now: () => number

  constructor (now: () => number) {
    this.#now = now
  }

  /** The returned function ends the trouble, so many milliseconds from when it is called. */
  begin (options: TroubleOptions): (afterMs?: number) => void {
    const trouble: Trouble = { ...options, from: this.#now(), until: Infinity }
    this.#troubles.push(trouble)
    return (afterMs = 0) => { trouble.until = Math.min(trouble.until, this.#now() + afterMs) }
  }

  situation (from: number, until: number, place?: number): Situation {
    const found = new Set<Situation>()
    for (const trouble of this.#between(from, until)) {
      if (trouble.place !== undefined && trouble.place === place) return 'asked of the broken replica itself'
      found.add(situations[trouble.kind])
    }
    if (found.size > 1) return 'several at once'
    const [only] = found
    return only ?? 'nothing broken'
  }

  /** Whether a verification at this replica, under way at that time, may have been answered 503. */
  excuses (from: number, until: number, place: number): boolean {
    for (const trouble of this.#between(from, until)) {
      if (trouble.mayBeUnavailable === true && (trouble.place === undefined || trouble.place === place)) return true
    }
    return false
  }

  /** Names of all that was broken at that time. */
  names (from: number, until: number): string[] {
    return [...this.#between(from, until)].map(({ name }) => name)
  }

  /** What was over last by then, and for how long; '' where nothing had been broken before. */
  lastOver (at: number): string {
    const last = this.#troubles.filter(({ until }) => until < at).sort((a, b) => b.until - a.until)[0]
    return last === undefined ? '' : `${last.name}, over for ${((at - last.until) / 1000).toFixed(1)} s`
  }

  * #between (from: number, until: number): Generator<Trouble> {
    for (const trouble of this.#troubles) {
      if (trouble.from <= until && trouble.until >= from) yield trouble
    }
  }
}
