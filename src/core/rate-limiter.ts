import type { Clock } from './clock.ts'
import type { RateLimit } from './key-record.ts'
import { intervalMsOf, RateShare, RateShares, type SharedRates } from './rate-shares.ts'

/*
 * Each key with a limit has a bucket that holds `requests` uses and is filled again evenly over `windowSeconds`: the generic cell rate
 * algorithm (ITU-T I.371), which keeps one number, the time at which the bucket would be full. A request is decided in memory, in the turn in
 * which it is asked about. Where there is a Redis there is one bucket more, in Redis, and each replica settles with it behind the requests, one that is
 * alone too: another one may join it, or take its place.
 *
 *   - Within its share, `requests` / replicas, a replica lets uses through on credit and reports them: as soon as they are a chunk, a tenth of
 *     its share, or after half a second. An even load is never cut short.
 *   - Beyond it, the replica takes uses in chunks, and gives back what it does not use. It also announces how full the shared bucket is. From then
 *     on until that bucket is full again, the others give credit for a chunk only: their shares may be gone.
 *
 * What may pass above the limit in one window: at most a chunk a replica (a tenth of the limit, and one use for each replica), and, where
 * an announcement is lost, the share of each replica that had not heard of the key. Without Redis, or while it does not answer, each replica lets
 * the whole limit through by itself: nothing waits, and nothing is refused that the limit allows.
 */

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

// The fields of a bucket, as offsets in doubles from its place. A bucket is half a line of the processor's cache; an object would be three lines.
const fullAtAt = 0
const requestsAt = 1
const windowSecondsAt = 2
const doublesPerBucket = 4
const firstBuckets = 1024

const evictionTries = 32

export class RateLimiter {
  readonly #shares: RateShares | undefined
  readonly #keysMax: number
  /** The place of each key's bucket in `#buckets`. */
  readonly #places = new Map<string, number>()
  #buckets = new Float64Array(firstBuckets * doublesPerBucket)
  #end = 0
  readonly #free: number[] = []
  /** By the place of the bucket. */
  readonly #shareAt = new Map<number, RateShare>()
  #allowed = 0
  #refused = 0

  constructor ({ clock, shared, replicas = () => 1, keysMax = 100_000 }: RateLimiterOptions) {
    this.#shares = shared && new RateShares({ clock, rates: shared, replicas })
    this.#keysMax = keysMax
  }

  /** Decides about one use at the monotonic time `now`, and counts it when it is allowed. Never waits. */
  take (keyId: string, limit: RateLimit, now: number): RateDecision {
    const place = this.#placeOf(keyId, limit, now)
    const intervalMs = intervalMsOf(limit)
    const fullAt = Math.max(this.#buckets[place + fullAtAt]!, now)
    const localWaitMs = fullAt - now - (limit.requests - 1) * intervalMs
    if (localWaitMs > 1e-6) return this.#refuse(place, limit, localWaitMs, now)
    if (this.#shares !== undefined) {
      const share = this.#shareOf(keyId, place, limit, now)
      if (!this.#shares.spend(share, now)) return this.#refuse(place, limit, this.#shares.waitMs(share, now), now)
    }
    this.#buckets[place + fullAtAt] = fullAt + intervalMs
    this.#allowed++
    return this.#decision(place, limit, now, 0)
  }

  /** Another replica announced the milliseconds until the shared bucket of a key is full. */
  heard (keyId: string, backlogMs: number, now: number): void {
    const place = this.#places.get(keyId) ?? this.#remember(keyId, unknownLimit, now)
    const limit = { requests: this.#buckets[place + requestsAt]!, windowSeconds: this.#buckets[place + windowSecondsAt]! }
    this.#shareOf(keyId, place, limit, now).heard(backlogMs, now)
  }

  stats (): RateLimiterStats {
    const { settlements, failures } = this.#shares?.counts() ?? { settlements: 0, failures: 0 }
    return { keys: this.#places.size, allowed: this.#allowed, refused: this.#refused, settlements, failures }
  }

  /** Reports uses to the shared buckets, and gives unused uses back. */
  async close (): Promise<void> {
    await this.#shares?.close()
  }

  #refuse (place: number, limit: RateLimit, waitMs: number, now: number): RateDecision {
    this.#refused++
    return this.#decision(place, limit, now, waitMs)
  }

  #decision (place: number, limit: RateLimit, now: number, waitMs: number): RateDecision {
    const fullAt = this.#buckets[place + fullAtAt]!
    const share = this.#shares === undefined ? undefined : this.#shareAt.get(place)
    const known = share === undefined || share.heardAt === -Infinity ? fullAt : Math.max(fullAt, share.fullAt)
    const backlogMs = Math.max(0, known - now)
    return {
      isAllowed: waitMs === 0,
      limit,
      remaining: waitMs === 0 ? Math.max(0, Math.floor(limit.requests - backlogMs / intervalMsOf(limit) + 1e-6)) : 0,
      resetS: wholeSeconds(backlogMs),
      retryAfterS: waitMs === 0 ? 0 : Math.max(1, wholeSeconds(waitMs))
    }
  }

  #placeOf (keyId: string, limit: RateLimit, now: number): number {
    const place = this.#places.get(keyId) ?? this.#remember(keyId, limit, now)
    if (this.#buckets[place + requestsAt] !== limit.requests || this.#buckets[place + windowSecondsAt] !== limit.windowSeconds) this.#changeLimit(place, limit, now)
    return place
  }

  // Uses under the former limit still count, but delay no request for longer than the new window.
  #changeLimit (place: number, limit: RateLimit, now: number): void {
    this.#write(place, limit, Math.min(this.#buckets[place + fullAtAt]!, now + limit.windowSeconds * 1000))
    const share = this.#shareAt.get(place)
    if (share === undefined) return
    share.changeLimit(limit, now)
    this.#shares?.forget(share)
  }

  #shareOf (keyId: string, place: number, limit: RateLimit, now: number): RateShare {
    const known = this.#shareAt.get(place)
    if (known !== undefined) return known
    const share = new RateShare(keyId, limit, now)
    this.#shareAt.set(place, share)
    return share
  }

  #remember (keyId: string, limit: RateLimit, now: number): number {
    if (this.#places.size >= this.#keysMax) this.#forgetOne(now)
    const place = this.#free.pop() ?? this.#newPlace()
    this.#write(place, limit, now)
    this.#places.set(keyId, place)
    return place
  }

  #write (place: number, { requests, windowSeconds }: RateLimit, fullAt: number): void {
    this.#buckets[place + fullAtAt] = fullAt
    this.#buckets[place + requestsAt] = requests
    this.#buckets[place + windowSecondsAt] = windowSeconds
  }

  #newPlace (): number {
    const place = this.#end
    this.#end += doublesPerBucket
    if (this.#end > this.#buckets.length) {
      const larger = new Float64Array(2 * this.#buckets.length)
      larger.set(this.#buckets)
      this.#buckets = larger
    }
    return place
  }

  // A full bucket need not be kept. If the oldest ones are all in use, the first of them is forgotten and its limit starts again.
  #forgetOne (now: number): void {
    let tries = 0
    for (const [keyId, place] of this.#places) {
      this.#places.delete(keyId)
      if (this.#buckets[place + fullAtAt]! <= now || ++tries === evictionTries) return this.#vacate(place)
      // Move it to the end: it is in use.
      this.#places.set(keyId, place)
    }
  }

  #vacate (place: number): void {
    const share = this.#shareAt.get(place)
    if (share !== undefined) this.#shares?.forget(share)
    this.#shareAt.delete(place)
    this.#free.push(place)
  }
}

// Times are sums of parts of seconds: 12 s may be some nanoseconds more.
function wholeSeconds (ms: number): number {
  return Math.ceil(ms / 1000 - 1e-6)
}

// For a key that another replica announced before it was used here.
const unknownLimit: RateLimit = Object.freeze({ requests: 1, windowSeconds: 1 })
