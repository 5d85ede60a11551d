import type { Clock } from './clock.ts'
import type { RateLimit } from './key-record.ts'
import { RateShare, RateShares, type SharedRates } from './rate-shares.ts'

/*
 * Each key with a limit has a bucket that holds `requests` uses and is filled again evenly over `windowSeconds`: the generic cell rate
 * algorithm (ITU-T I.371), which keeps one number, the time at which the bucket would be full. A request is decided in memory, in the turn in
 * which it is asked about. Where replicas share a Redis there is one bucket more, in Redis, and the replicas settle with it behind the requests:
 *
 *   - Within its share, `requests` / replicas, a replica lets uses through on credit and reports them: as soon as they are a chunk, a tenth of
 *     its share, or after half a second. An even load is never cut short.
 *   - Beyond it, the replica takes uses in chunks, and gives back what it does not use. It also announces how full the shared bucket is, so that
 *     the others no longer give credit for a share that is gone.
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

/** Of one key at this replica. Few fields: there may be 100,000 of them. */
interface Bucket {
  limit: RateLimit
  /** When it is full, monotonic. */
  fullAt: number
  /** `undefined`: there was no other replica yet. */
  share: RateShare | undefined
}

const evictionTries = 32

export class RateLimiter {
  readonly #shares: RateShares | undefined
  readonly #keysMax: number
  readonly #buckets = new Map<string, Bucket>()
  #allowed = 0
  #refused = 0

  constructor ({ clock, shared, replicas = () => 1, keysMax = 100_000 }: RateLimiterOptions) {
    this.#shares = shared && new RateShares({ clock, rates: shared, replicas })
    this.#keysMax = keysMax
  }

  /** Decides about one use at the monotonic time `now`, and counts it when it is allowed. Never waits. */
  take (keyId: string, limit: RateLimit, now: number): RateDecision {
    const bucket = this.#bucketOf(keyId, limit, now)
    const intervalMs = intervalMsOf(limit)
    const fullAt = Math.max(bucket.fullAt, now)
    const localWaitMs = fullAt - now - (limit.requests - 1) * intervalMs
    if (localWaitMs > 1e-6) return this.#refuse(bucket, localWaitMs, now)
    if (this.#shares?.isShared === true) {
      const share = bucket.share ??= new RateShare(keyId, limit, now)
      if (!this.#shares.spend(share, now)) return this.#refuse(bucket, this.#shares.waitMs(share, now), now)
    }
    bucket.fullAt = fullAt + intervalMs
    this.#allowed++
    return decision(bucket, now, 0)
  }

  /** Another replica announced the milliseconds until the shared bucket of a key is full. */
  heard (keyId: string, backlogMs: number, now: number): void {
    const bucket = this.#buckets.get(keyId) ?? this.#remember(keyId, unknownLimit, now)
    bucket.share ??= new RateShare(keyId, bucket.limit, now)
    bucket.share.heard(backlogMs, now)
  }

  stats (): RateLimiterStats {
    const { settlements, failures } = this.#shares?.counts() ?? { settlements: 0, failures: 0 }
    return { keys: this.#buckets.size, allowed: this.#allowed, refused: this.#refused, settlements, failures }
  }

  /** Tells the other replicas what was used, and gives back what was not. */
  async close (): Promise<void> {
    await this.#shares?.close()
  }

  #refuse (bucket: Bucket, waitMs: number, now: number): RateDecision {
    this.#refused++
    return decision(bucket, now, waitMs)
  }

  #bucketOf (keyId: string, limit: RateLimit, now: number): Bucket {
    const bucket = this.#buckets.get(keyId) ?? this.#remember(keyId, limit, now)
    const { requests, windowSeconds } = bucket.limit
    if (requests !== limit.requests || windowSeconds !== limit.windowSeconds) {
      bucket.limit = limit
      bucket.fullAt = Math.min(bucket.fullAt, now + limit.windowSeconds * 1000)
      if (bucket.share !== undefined) {
        bucket.share.changeLimit(limit, now)
        this.#shares?.forget(bucket.share)
      }
    }
    return bucket
  }

  #remember (keyId: string, limit: RateLimit, now: number): Bucket {
    if (this.#buckets.size >= this.#keysMax) this.#forgetOne(now)
    const bucket: Bucket = { limit, fullAt: now, share: undefined }
    this.#buckets.set(keyId, bucket)
    return bucket
  }

  // A full bucket need not be kept. If the oldest ones are all in use, the first of them is forgotten and its limit starts again.
  #forgetOne (now: number): void {
    let tries = 0
    for (const [keyId, bucket] of this.#buckets) {
      this.#buckets.delete(keyId)
      if (bucket.fullAt <= now || ++tries === evictionTries) {
        if (bucket.share !== undefined) this.#shares?.forget(bucket.share)
        return
      }
      // Move it to the end: it is in use.
      this.#buckets.set(keyId, bucket)
    }
  }
}

// For a key that another replica announced before it was used here.
const unknownLimit: RateLimit = Object.freeze({ requests: 1, windowSeconds: 1 })

function intervalMsOf ({ requests, windowSeconds }: RateLimit): number {
  return windowSeconds * 1000 / requests
}

function decision ({ limit, fullAt, share }: Bucket, now: number, waitMs: number): RateDecision {
  const known = share === undefined || share.heardAt === -Infinity ? fullAt : Math.max(fullAt, share.fullAt)
  const backlogMs = Math.max(0, known - now)
  return {
    isAllowed: waitMs === 0,
    limit,
    remaining: waitMs === 0 ? Math.max(0, Math.floor(limit.requests - backlogMs / intervalMsOf(limit) + 1e-6)) : 0,
    resetS: Math.ceil(backlogMs / 1000),
    retryAfterS: waitMs === 0 ? 0 : Math.max(1, Math.ceil(waitMs / 1000))
  }
}
