import type { Redis } from 'ioredis'
import type { Settled, Settlement, SharedRates } from '../core/rate-shares.ts'

/*
 * One bucket for a key: the time, by the clock of Redis, at which it is full. KEYS: the bucket. ARGV: milliseconds for one use, uses that it holds,
 * uses that were let through already, for how many milliseconds, uses that are wanted (less than 0: given back), the channel to tell ('': none), the
 * id of the key.
 */
const script = `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local interval, size, debt, age, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local full = tonumber(redis.call('GET', KEYS[1]) or now) or now
full = math.min(math.max(full, now - age), now + 2 * size * interval) + debt * interval
local granted = want
if want > 0 then granted = math.max(0, math.min(want, math.floor((now + size * interval - full) / interval + 0.000001))) end
full = math.max(now, full + granted * interval)
redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', math.ceil(full - now) + 1000)
local backlog = string.format('%.3f', full - now)
if ARGV[6] ~= '' then redis.pcall('PUBLISH', ARGV[6], ARGV[7] .. ' ' .. backlog) end
return { granted, backlog }`

interface RedisSharedRatesOptions {
  /** A connection that queues nothing and gives up quickly. */
  readonly redis: Redis
  /** What the names of the buckets and the channel begin with: of this database alone. `undefined`: not known yet. */
  prefix (): string | undefined
}

type SettlingRedis = Redis & { navisSettle (...values: ReadonlyArray<string | number>): Promise<[number, string]> }

/** The shared buckets in Redis: one script a key, all of a turn in one write. */
export class RedisSharedRates implements SharedRates {
  readonly #redis: SettlingRedis
  readonly #prefix: () => string | undefined

  constructor ({ redis, prefix }: RedisSharedRatesOptions) {
    redis.defineCommand('navisSettle', { numberOfKeys: 1, lua: script })
    this.#redis = redis as SettlingRedis
    this.#prefix = prefix
  }

  async settle (requests: readonly Settlement[]): Promise<readonly Settled[]> {
    const prefix = this.#prefix()
    if (prefix === undefined) throw new Error('The database has not been reached yet.')
    return await Promise.all(requests.map(async ({ keyId, limit, debt, debtAgeMs, want, announces }) => {
      const [granted, backlog] = await this.#redis.navisSettle(`${prefix}:rate:${keyId}`,
        limit.windowSeconds * 1000 / limit.requests, limit.requests, debt, debtAgeMs, want, announces ? rateChannel(prefix) : '', keyId)
      const backlogMs = Number(backlog)
      if (!Number.isFinite(granted) || !Number.isFinite(backlogMs)) throw new Error('Redis returned an answer that the script never returns.')
      return { granted, backlogMs }
    }))
  }
}

/** Where replicas tell one another of buckets that one of them uses beyond its share. */
export function rateChannel (prefix: string): string {
  return `${prefix}:rates`
}

/** An announcement; `undefined` for any other message. */
export function parseRate (message: string): { keyId: string, backlogMs: number } | undefined {
  if (message.length > 100) return undefined
  const [keyId = '', backlog = '', ...rest] = message.split(' ')
  const backlogMs = Number(backlog)
  if (rest.length > 0 || !/^[0-9a-f-]{36}$/.test(keyId) || !/^\d{1,9}\.\d{3}$/.test(backlog)) return undefined
  return { keyId, backlogMs }
}
