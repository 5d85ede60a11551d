import type { Clock } from './clock.ts'
import type { RateLimit } from './key-record.ts'

/*
 * Each key with a limit has a bucket that holds `requests` uses and is filled again evenly over `windowSeconds`: the generic cell rate
 * algorithm (ITU-T I.371), which keeps one number, the time at which the bucket would be full. A request is decided in memory, in the turn in
 * which it is asked about. Where replicas share a Redis there is one bucket more, in Redis, and the replicas settle with it behind the requests:
 *
 *   - Within its share, `requests` / replicas, a replica lets uses through on credit and reports them. An even load is never cut short.
 *   - Beyond it, the replica takes uses in chunks of a tenth of its share, and gives back what it does not use. It also announces how full the
 *     shared bucket is, so that the others no longer give credit for a share that is gone.
 *
 * What may pass above the limit in one window: at most a chunk a replica (a tenth of the limit, and one use for each replica), and, where
 * an announcement is lost, the share of each replica that had not heard of the key. Without Redis, or while it does not answer, each replica lets
 * the whole limit through by itself: nothing waits, and nothing is refused that the limit allows.
 */

/** The buckets that the replicas share. */
export interface SharedRates {
  /**
   * For each request: adds `debt` uses that were let through, takes up to `want` more or gives `-want` back. Rejects when the outcome is not
   * known.
   */
  settle (requests: readonly Settlement[]): Promise<readonly Settled[]>
}

export interface Settlement {
  readonly keyId: string
  readonly limit: RateLimit
  readonly debt: number
  readonly want: number
  /** Whether to announce it to the other replicas. */
  readonly announces: boolean
}

export interface Settled {
  readonly granted: number
  /** Milliseconds until the shared bucket is full. */
  readonly backlogMs: number
}

export interface RateDecision {
  readonly isAllowed: boolean
  readonly limit: RateLimit
  /** Uses left now. */
  readonly remaining: number
  /** Seconds until the bucket is full again. */
  readonly resetS: number
  /** Seconds after which a refused request may pass. */
  readonly retryAfterS: number
}

export interface RateLimiterStats {
  readonly keys: number
  readonly allowed: number
  readonly refused: number
  readonly settlements: number
  readonly failures: number
}

interface RateLimiterOptions {
  readonly clock: Clock
  /** Left out: each replica limits on its own. */
  readonly shared?: SharedRates | undefined
  /** How many replicas there are, this one included. */
  readonly replicas?: () => number
  /** Maximum number of keys; the least recently used are forgotten first. 100,000. */
  readonly keysMax?: number
}

interface State {
  readonly keyId: string
  limit: RateLimit
  /** Milliseconds for one use. */
  intervalMs: number
  /** When the bucket of this replica is full, monotonic. */
  fullAt: number
  /** Uses that the shared bucket has granted and that were not used yet. */
  grant: number
  /** Uses let through that the shared bucket does not know of. */
  debt: number
  /** When this replica's share is full again, monotonic: a bucket of its own that fills at the share's pace. */
  shareFullAt: number
  /** Whether the newest use was beyond the share. */
  isBeyond: boolean
  /** When the shared bucket is full, monotonic, as far as is known. */
  sharedFullAt: number
  /** When that was announced; -Infinity: never. */
  heardAt: number
  askedAt: number
  usedAt: number
  isSettling: boolean
  isQueued: boolean
}

// An older announcement says little about the shared bucket.
const freshMs = 1000
// The shortest time between two requests to the shared bucket for a key that is being refused.
const askEveryMs = 20
// After a failure Redis is not asked for this long.
const awayMs = 1000
const giveBackEveryMs = 500
const settlementsMax = 1000
const evictionTries = 32

export class RateLimiter {
  readonly #clock: Clock
  readonly #shared: SharedRates | undefined
  readonly #replicas: () => number
  readonly #keysMax: number
  readonly #states = new Map<string, State>()
  readonly #holders = new Set<State>()
  readonly #timer: NodeJS.Timeout | undefined
  #queue: State[] = []
  #awayUntil = -Infinity
  #allowed = 0
  #refused = 0
  #settlements = 0
  #failures = 0

  constructor ({ clock, shared, replicas = () => 1, keysMax = 100_000 }: RateLimiterOptions) {
    this.#clock = clock
    this.#shared = shared
    this.#replicas = replicas
    this.#keysMax = keysMax
    if (shared !== undefined) this.#timer = setInterval(() => { this.#giveBack(freshMs) }, giveBackEveryMs).unref()
  }

  /** Decides about one use at the monotonic time `now`, and counts it when it is allowed. Never waits. */
  take (keyId: string, limit: RateLimit, now: number): RateDecision {
    const state = this.#stateOf(keyId, limit, now)
    state.usedAt = now
    const { intervalMs } = state
    const fullAt = Math.max(state.fullAt, now)
    const localWaitMs = fullAt - now - (limit.requests - 1) * intervalMs
    if (localWaitMs > 1e-6) return this.#refuse(state, localWaitMs, now)
    if (this.#isShared(now) && !this.#spend(state, now)) return this.#refuse(state, this.#sharedWaitMs(state, now), now)
    state.fullAt = fullAt + intervalMs
    this.#allowed++
    return decision(state, now, 0)
  }

  /** Another replica announced the milliseconds until the shared bucket of a key is full. */
  heard (keyId: string, backlogMs: number, now: number): void {
    const state = this.#states.get(keyId) ?? this.#remember(keyId, undefined, now)
    state.sharedFullAt = Math.max(state.sharedFullAt, now + backlogMs)
    state.heardAt = now
  }

  stats (): RateLimiterStats {
    return { keys: this.#states.size, allowed: this.#allowed, refused: this.#refused, settlements: this.#settlements, failures: this.#failures }
  }

  /** Gives unused uses back to the shared bucket. */
  async close (): Promise<void> {
    clearInterval(this.#timer)
    await this.#giveBack(-Infinity)
  }

  #isShared (now: number): boolean {
    return this.#shared !== undefined && now >= this.#awayUntil && this.#replicas() > 1
  }

  /** Takes one use from those that the shared bucket granted, or on credit. `false`: there is neither. */
  #spend (state: State, now: number): boolean {
    const { chunk, isWithin } = this.#shareOf(state, now)
    state.isBeyond = !isWithin
    if (state.grant > 0) {
      state.grant--
    } else if (state.debt < this.#credit(state, now)) {
      state.debt++
    } else {
      if (now - state.askedAt >= askEveryMs) this.#enqueue(state)
      return false
    }
    state.shareFullAt = Math.max(state.shareFullAt, now) + this.#replicas() * state.intervalMs
    if (state.debt > 0 || (!isWithin && state.grant <= chunk / 2)) this.#enqueue(state)
    return true
  }

  /** How many uses may pass before they are reported to the shared bucket. */
  #credit (state: State, now: number): number {
    const { share, chunk, isWithin } = this.#shareOf(state, now)
    const most = isWithin ? share : chunk
    if (now - state.heardAt > freshMs) return most
    const room = state.limit.requests - Math.max(0, state.sharedFullAt - now) / state.intervalMs
    return Math.min(most, Math.max(0, Math.floor(room + 1e-6)))
  }

  #shareOf ({ limit, intervalMs, shareFullAt }: State, now: number): { share: number, chunk: number, isWithin: boolean } {
    const replicas = this.#replicas()
    const share = Math.ceil(limit.requests / replicas)
    const isWithin = Math.max(0, shareFullAt - now) + replicas * intervalMs <= share * replicas * intervalMs + 1e-6
    return { share, chunk: Math.max(1, Math.floor(share / 10)), isWithin }
  }

  #sharedWaitMs (state: State, now: number): number {
    return Math.max(state.intervalMs, state.sharedFullAt - now - (state.limit.requests - 1) * state.intervalMs)
  }

  #refuse (state: State, waitMs: number, now: number): RateDecision {
    this.#refused++
    return decision(state, now, waitMs)
  }

  #stateOf (keyId: string, limit: RateLimit, now: number): State {
    const state = this.#states.get(keyId) ?? this.#remember(keyId, limit, now)
    const { requests, windowSeconds } = state.limit
    if (requests !== limit.requests || windowSeconds !== limit.windowSeconds) {
      state.limit = limit
      state.intervalMs = intervalMsOf(limit)
      state.grant = 0
      this.#holders.delete(state)
      state.fullAt = Math.min(state.fullAt, now + limit.windowSeconds * 1000)
      state.sharedFullAt = Math.min(state.sharedFullAt, now + limit.windowSeconds * 1000)
      state.shareFullAt = Math.min(state.shareFullAt, now + limit.windowSeconds * 1000)
    }
    return state
  }

  #remember (keyId: string, limit: RateLimit = unknownLimit, now: number): State {
    if (this.#states.size >= this.#keysMax) this.#forgetOne(now)
    const state: State = {
      keyId,
      limit,
      intervalMs: intervalMsOf(limit),
      fullAt: now,
      grant: 0,
      debt: 0,
      shareFullAt: now,
      isBeyond: false,
      sharedFullAt: now,
      heardAt: -Infinity,
      askedAt: -Infinity,
      usedAt: now,
      isSettling: false,
      isQueued: false
    }
    this.#states.set(keyId, state)
    return state
  }

  // A full bucket need not be kept. If the oldest ones are all in use, the first of them is forgotten and its limit starts again.
  #forgetOne (now: number): void {
    let tries = 0
    for (const [keyId, state] of this.#states) {
      if (state.fullAt <= now || ++tries === evictionTries) {
        this.#states.delete(keyId)
        this.#holders.delete(state)
        return
      }
      // Move it to the end: it is in use.
      this.#states.delete(keyId)
      this.#states.set(keyId, state)
    }
  }

  #enqueue (state: State): void {
    if (state.isQueued || state.isSettling) return
    state.isQueued = true
    state.askedAt = this.#clock.monotonicMs()
    this.#queue.push(state)
    if (this.#queue.length === 1) setImmediate(() => { this.#flush() })
  }

  #flush (): void {
    const queue = this.#queue
    this.#queue = []
    for (const state of queue) state.isQueued = false
    for (let from = 0; from < queue.length; from += settlementsMax) {
      const part = queue.slice(from, from + settlementsMax)
      const now = this.#clock.monotonicMs()
      this.#settle(part.map((state) => {
        // Within its share a replica takes nothing in advance: another replica may need for its own share what this one would not use.
        return { state, want: state.isBeyond ? this.#shareOf(state, now).chunk : 0, announces: state.isBeyond }
      }))
    }
  }

  async #giveBack (unusedForMs: number): Promise<void> {
    const now = this.#clock.monotonicMs()
    const idle = [...this.#holders].filter((state) => !state.isSettling && now - state.usedAt > unusedForMs)
    for (let from = 0; from < idle.length; from += settlementsMax) {
      await this.#settle(idle.slice(from, from + settlementsMax).map((state) => ({ state, want: -state.grant, announces: false })))
    }
  }

  async #settle (wanted: ReadonlyArray<{ readonly state: State, readonly want: number, readonly announces: boolean }>): Promise<void> {
    if (this.#shared === undefined) return
    const requests: Settlement[] = []
    for (const { state, want, announces } of wanted) {
      requests.push({ keyId: state.keyId, limit: state.limit, debt: state.debt, want, announces })
      state.isSettling = true
      state.debt = 0
      if (want < 0) state.grant = 0
    }
    this.#settlements++
    const sentAt = this.#clock.monotonicMs()
    try {
      const settled = await this.#shared.settle(requests)
      const now = this.#clock.monotonicMs()
      for (const [i, { granted, backlogMs }] of settled.entries()) this.#apply(wanted[i]!.state, requests[i]!, { granted, backlogMs, sentAt, now })
    } catch {
      // It is not known whether the debt was recorded. Drop it: more uses may pass, and none is refused because of it.
      this.#failures++
      this.#awayUntil = this.#clock.monotonicMs() + awayMs
      for (const { state } of wanted) {
        state.isSettling = false
        state.grant = 0
        state.heardAt = -Infinity
        this.#holders.delete(state)
      }
    }
  }

  #apply (state: State, { limit, want }: Settlement, { granted, backlogMs, sentAt, now }: Settled & { readonly sentAt: number, readonly now: number }): void {
    state.isSettling = false
    state.heardAt = now
    // No bucket takes longer to fill than this, whatever Redis says.
    state.sharedFullAt = sentAt + Math.min(Math.max(0, backlogMs), 2 * limit.windowSeconds * 1000)
    if (state.limit === limit && want > 0) state.grant += Math.min(Math.max(0, Math.floor(granted)), want)
    if (state.grant > 0) this.#holders.add(state)
    else this.#holders.delete(state)
  }
}

// For a key that another replica announced before it was used here.
const unknownLimit: RateLimit = { requests: 1, windowSeconds: 1 }

function intervalMsOf ({ requests, windowSeconds }: RateLimit): number {
  return windowSeconds * 1000 / requests
}

function decision ({ limit, intervalMs, fullAt, sharedFullAt, heardAt }: State, now: number, waitMs: number): RateDecision {
  const known = heardAt === -Infinity ? fullAt : Math.max(fullAt, sharedFullAt)
  const backlogMs = Math.max(0, known - now)
  return {
    isAllowed: waitMs === 0,
    limit,
    remaining: waitMs === 0 ? Math.max(0, Math.floor(limit.requests - backlogMs / intervalMs + 1e-6)) : 0,
    resetS: Math.ceil(backlogMs / 1000),
    retryAfterS: waitMs === 0 ? 0 : Math.max(1, Math.ceil(waitMs / 1000))
  }
}
