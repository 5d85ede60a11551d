import type { Clock } from './clock.ts'
import type { RateLimit } from './key-record.ts'

/** The buckets that the replicas share. */
export interface SharedRates {
  /**
   * For each request: adds `debt` uses that were let through since `debtAgeMs` ago, takes up to `want` more or gives `-want` back. May resolve late. Rejects when the
   * outcome is not known, and will not be.
   */
  settle (requests: readonly Settlement[]): Promise<readonly Settled[]>
}

export interface Settlement {
  readonly keyId: string
  readonly limit: RateLimit
  readonly debt: number
  /** For how many milliseconds the oldest use of the debt has been one. 0: there is none. */
  readonly debtAgeMs: number
  readonly want: number
  /** Whether to announce it to the other replicas. */
  readonly announces: boolean
}

export interface Settled {
  readonly granted: number
  /** Milliseconds until the shared bucket is full. */
  readonly backlogMs: number
}

/** What a replica has of the shared bucket of one key. */
export class RateShare {
  readonly keyId: string
  limit: RateLimit
  /** Uses that the shared bucket has granted and that were not used yet. */
  grant = 0
  /** Uses let through that the shared bucket does not know of, and that are in no report yet. */
  debt = 0
  /** When the oldest of them was let through, monotonic. */
  debtSince = 0
  /** Uses in the report that is under way: the shared bucket may know of them or not. */
  reported = 0
  /** Uses beyond the share that were let through on credit, as far as the shared bucket may not know of them. */
  beyond = 0
  /** When this replica's share is full again, monotonic: a bucket of its own that fills at the share's pace. */
  ownFullAt: number
  /** Whether the newest use was beyond the share. */
  isBeyond = false
  /** When the shared bucket is full, monotonic, as far as is known. */
  fullAt: number
  /** When that was heard last; -Infinity: never since Redis was away. */
  heardAt = -Infinity
  /** When the shared bucket would be full with the uses that it may not know of, each counted from when it was let through. */
  fullWithDebtAt: number
  /** Until then others may have used up this replica's share: one of them has announced that it went beyond its own. */
  contestedUntil = -Infinity
  askedAt = -Infinity
  usedAt: number
  isSettling = false
  isQueued = false
  isOwing = false

  constructor (keyId: string, limit: RateLimit, now: number) {
    this.keyId = keyId
    this.limit = limit
    this.ownFullAt = this.fullAt = this.fullWithDebtAt = this.usedAt = now
  }

  /** Counts a use that was let through on credit. */
  owe (now: number): void {
    if (this.debt === 0) this.debtSince = now
    this.debt++
    this.fullWithDebtAt = Math.max(this.fullWithDebtAt, this.fullAt, now) + intervalMsOf(this.limit)
  }

  /** Uses that were granted under the former limit are dropped. */
  changeLimit (limit: RateLimit, now: number): void {
    this.limit = limit
    this.grant = 0
    const latest = now + limit.windowSeconds * 1000
    this.fullAt = Math.min(this.fullAt, latest)
    this.fullWithDebtAt = Math.min(this.fullWithDebtAt, latest)
    this.ownFullAt = Math.min(this.ownFullAt, latest)
    this.contestedUntil = Math.min(this.contestedUntil, latest)
  }

  heard (backlogMs: number, now: number): void {
    this.contestedUntil = this.fullAt = Math.max(this.fullAt, now + backlogMs)
    this.fullWithDebtAt = Math.max(this.fullWithDebtAt, this.fullAt + (this.debt + this.reported) * intervalMsOf(this.limit))
    this.heardAt = now
  }
}

interface RateSharesOptions {
  readonly clock: Clock
  readonly rates: SharedRates
  /** How many replicas there are, this one included. */
  readonly replicas: () => number
}

interface Wanted {
  readonly share: RateShare
  readonly want: number
  readonly announces: boolean
}

// Grants that were not used for so long are given back.
const unusedMs = 1000
// The shortest time between two requests to the shared bucket for a key that is being refused.
const askEveryMs = 20
// A settlement that has taken so long is one that Redis does not answer. It still counts if its answer comes.
const lateMs = 75
// While Redis does not answer, one report is sent this often by those that are used, to find out whether it is back.
const probeEveryMs = 200
// How often debts of less than a chunk are reported, and grants that were not used recently are given back. While Redis does not answer: how often it is asked, also when no key is used.
const settleEveryMs = 500
// A debt is older than that only after the event loop stood still, which counts it as one of this age, or while Redis is away, which drops it.
const debtAgeMaxMs = 1000
// The time at which a bucket is full is not exactly the same here and in Redis: it differs by the time that messages take. A difference of this size refuses nothing.
const inexactMs = 50
const inexactPart = 0.02
const settlementsMax = 1000

/** Exchanges uses with the shared buckets in the background; core/rate-limiter.ts describes how. */
export class RateShares {
  readonly #clock: Clock
  readonly #rates: SharedRates
  readonly #replicas: () => number
  readonly #holders = new Set<RateShare>()
  readonly #timer: NodeJS.Timeout
  /** Shares with a debt that is reported with the next timer. */
  #owing: RateShare[] = []
  #queue: RateShare[] = []
  /** Redis has not answered in time. Until it answers, this replica decides alone. */
  #isAway = false
  /** One of those that it did not answer last. */
  #unsettled: RateShare | undefined
  #probeAt = -Infinity
  #settlements = 0
  #failures = 0

  constructor ({ clock, rates, replicas }: RateSharesOptions) {
    this.#clock = clock
    this.#rates = rates
    this.#replicas = replicas
    this.#timer = setInterval(() => {
      if (this.#isAway) this.#lookAgain()
      else this.#settleAll(unusedMs)
    }, settleEveryMs).unref()
  }

  /** Takes one use from those that the shared bucket granted, or on credit. `false`: there is neither. */
  spend (share: RateShare, now: number): boolean {
    const replicas = this.#replicas()
    const { own, chunk } = partsOf(share.limit, replicas)
    const costMs = replicas * intervalMsOf(share.limit)
    const ownFullAt = Math.max(share.ownFullAt, now) + costMs
    const isWithin = ownFullAt - now <= own * costMs + 1e-6
    if (this.#isAway) {
      // Within the share it is owed, and reported as soon as Redis answers: most often that is in a moment.
      if (isWithin) {
        share.owe(now)
        share.ownFullAt = ownFullAt
        this.#owe(share)
      }
      this.#probe(share, now)
      return true
    }
    share.usedAt = now
    share.isBeyond = !isWithin
    if (share.grant > 0) {
      share.grant--
    } else if (hasCredit(share, { chunk, isWithin, now })) {
      share.owe(now)
      if (!isWithin) share.beyond++
    } else {
      if (now - share.askedAt >= askEveryMs) this.#enqueue(share)
      return false
    }
    share.ownFullAt = ownFullAt
    // The first use is reported at once: other replicas, or this one before it was started again, may have left nothing.
    if (share.debt >= chunk || share.heardAt === -Infinity || (!isWithin && (share.debt > 0 || share.grant <= chunk / 2))) this.#enqueue(share)
    else if (share.debt > 0) this.#owe(share)
    return true
  }

  /** How long a request that was refused has to wait at least, in milliseconds. */
  waitMs ({ limit, fullAt }: RateShare, now: number): number {
    const intervalMs = intervalMsOf(limit)
    return Math.max(intervalMs, fullAt - now - (limit.requests - 1) * intervalMs)
  }

  forget (share: RateShare): void {
    this.#holders.delete(share)
  }

  counts (): { readonly settlements: number, readonly failures: number } {
    return { settlements: this.#settlements, failures: this.#failures }
  }

  /** Reports debts and gives unused grants back. */
  async close (): Promise<void> {
    clearInterval(this.#timer)
    await this.#settleAll(-Infinity)
  }

  #probe (share: RateShare, now: number): void {
    if (now < this.#probeAt) return
    if (share.debt === 0) share.owe(now)
    this.#report(share, now)
  }

  // After one answer that was late, the first uses much later would otherwise be let through without a look at what others have left.
  #lookAgain (): void {
    const now = this.#clock.monotonicMs()
    for (const share of this.#owing) {
      if (now - share.debtSince <= debtAgeMaxMs) continue
      share.debt = 0
      share.isOwing = false
    }
    this.#owing = this.#owing.filter(({ isOwing }) => isOwing)
    if (this.#unsettled !== undefined && now >= this.#probeAt) this.#report(this.#unsettled, now)
  }

  #report (share: RateShare, now: number): void {
    this.#probeAt = now + probeEveryMs
    share.isBeyond = false
    this.#enqueue(share)
  }

  #owe (share: RateShare): void {
    if (share.isOwing) return
    share.isOwing = true
    this.#owing.push(share)
  }

  #enqueue (share: RateShare): void {
    if (share.isQueued || share.isSettling) return
    share.isQueued = true
    share.askedAt = this.#clock.monotonicMs()
    this.#queue.push(share)
    if (this.#queue.length === 1) setImmediate(() => { this.#flush() })
  }

  #flush (): void {
    const [queue, replicas] = [this.#queue, this.#replicas()]
    this.#queue = []
    for (const share of queue) share.isQueued = false
    for (let from = 0; from < queue.length; from += settlementsMax) {
      // Within its share a replica takes nothing in advance: another replica may need for its own share what this one would not use.
      this.#settle(queue.slice(from, from + settlementsMax).map((share) => ({ share, want: share.isBeyond ? partsOf(share.limit, replicas).chunk : 0, announces: share.isBeyond })))
    }
  }

  async #settleAll (unusedForMs: number): Promise<void> {
    const now = this.#clock.monotonicMs()
    const owing = this.#owing
    this.#owing = []
    for (const share of owing) share.isOwing = false
    const owed = owing.filter(({ debt, isSettling, isQueued }) => debt > 0 && !isSettling && !isQueued)
    const idle = [...this.#holders].filter(({ isSettling, isQueued, usedAt }) => !isSettling && !isQueued && now - usedAt > unusedForMs)
    const wanted = [...owed.map((share) => ({ share, want: 0, announces: false })), ...idle.map((share) => ({ share, want: -share.grant, announces: false }))]
    for (let from = 0; from < wanted.length && !this.#isAway; from += settlementsMax) {
      await this.#settle(wanted.slice(from, from + settlementsMax))
    }
  }

  async #settle (wanted: readonly Wanted[]): Promise<void> {
    const requests: Settlement[] = []
    const sentAt = this.#clock.monotonicMs()
    for (const { share, want, announces } of wanted) {
      const debtAgeMs = share.debt === 0 ? 0 : Math.min(sentAt - share.debtSince, debtAgeMaxMs)
      requests.push({ keyId: share.keyId, limit: share.limit, debt: share.debt, debtAgeMs, want, announces })
      share.isSettling = true
      share.reported = share.debt
      share.debt = 0
      if (want < 0) share.grant = 0
    }
    this.#settlements++
    let state: 'waiting' | 'late' | 'over' = 'waiting'
    const late = setTimeout(() => {
      // What arrived while the event loop stood still is read first.
      setImmediate(() => {
        if (state !== 'waiting') return
        state = 'late'
        this.#decideAlone(wanted)
      })
    }, lateMs).unref()
    try {
      const answers = await this.#rates.settle(requests)
      const now = this.#clock.monotonicMs()
      const wasAway = this.#isAway
      this.#isAway = false
      this.#unsettled = undefined
      for (const [i, { granted, backlogMs }] of answers.entries()) this.#apply(wanted[i]!.share, requests[i]!, { granted, backlogMs, sentAt, now })
      if (wasAway) this.#settleAll(unusedMs)
    } catch {
      // It is not known whether the debt was recorded. Drop it: more uses may pass, and none is refused because of it.
      if (state === 'waiting') this.#decideAlone(wanted)
      for (const { share } of wanted) {
        share.isSettling = false
        share.reported = share.beyond = 0
        share.grant = 0
        share.heardAt = share.contestedUntil = -Infinity
        this.#holders.delete(share)
      }
    } finally {
      clearTimeout(late)
      state = 'over'
    }
  }

  #decideAlone (wanted: readonly Wanted[]): void {
    this.#failures++
    this.#isAway = true
    this.#unsettled = wanted[0]?.share
    this.#probeAt = this.#clock.monotonicMs() + probeEveryMs
  }

  #apply (share: RateShare, { limit, want }: Settlement, { granted, backlogMs, sentAt, now }: Settled & { readonly sentAt: number, readonly now: number }): void {
    share.isSettling = false
    share.reported = 0
    share.beyond = Math.min(share.beyond, share.debt)
    // No bucket takes longer to fill than this, whatever Redis says.
    const fullAt = sentAt + Math.min(Math.max(0, backlogMs), 2 * limit.windowSeconds * 1000)
    // An announcement that overtook this answer may be the newer one.
    share.fullAt = share.heardAt >= sentAt ? Math.max(share.fullAt, fullAt) : fullAt
    share.heardAt = now
    share.fullWithDebtAt = share.debt === 0 ? share.fullAt : Math.max(share.fullAt, share.debtSince) + share.debt * intervalMsOf(share.limit)
    if (share.limit === limit && want > 0) share.grant += Math.min(Math.max(0, Math.floor(granted)), want)
    if (share.grant > 0) this.#holders.add(share)
    else this.#holders.delete(share)
    if (share.debt > 0) this.#owe(share)
  }
}

/** The time in which one use becomes free again, in milliseconds. */
export function intervalMsOf ({ requests, windowSeconds }: RateLimit): number {
  return windowSeconds * 1000 / requests
}

/** The part of the limit that one of so many replicas may use on credit, and the chunk that it takes in advance beyond that. */
function partsOf ({ requests }: RateLimit, replicas: number): { readonly own: number, readonly chunk: number } {
  const own = Math.ceil(requests / replicas)
  return { own, chunk: Math.max(1, Math.floor(own / 10)) }
}

/**
 * Whether one more use may pass before it is reported. Within the share, which bounds them by itself, uses that were not reported yet become free again with time like all others; where
 * others may have used up the share, and beyond it, they count until they are reported.
 */
function hasCredit (share: RateShare, { chunk, isWithin, now }: { readonly chunk: number, readonly isWithin: boolean, readonly now: number }): boolean {
  if (isWithin && share.contestedUntil <= now) return room(share, Math.max(share.fullWithDebtAt, share.fullAt), now) > 0
  return share.debt + share.reported < Math.min(chunk, room(share, share.fullAt, now)) && (isWithin || share.beyond < Math.ceil(chunk / 2))
}

/**
 * How many uses the shared bucket has room for where it is full at `fullAt`. What was heard of it counts however long ago that was: a bucket fills at the pace
 * of its limit, and only what is given back makes it fuller, which a refused use finds out.
 */
function room ({ limit, heardAt }: RateShare, fullAt: number, now: number): number {
  if (heardAt === -Infinity) return Infinity
  const intervalMs = intervalMsOf(limit)
  const inexact = Math.min(inexactMs, intervalMs / 2 + inexactPart * limit.windowSeconds * 1000)
  return Math.max(0, Math.floor(limit.requests - Math.max(0, fullAt - now - inexact) / intervalMs + 1e-6))
}
