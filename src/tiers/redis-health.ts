import type { Logger } from '../core/logger.ts'

// What a Redis refuses is asked for again at least this often, by the probe.
const currentMs = 12_000

/** Codes of Redis, for the operator who set REDIS_URL. */
const advice: Readonly<Record<string, string>> = {
  READONLY: 'Redis is a replica and takes no writes. Is REDIS_URL the primary? Sentinels are followed with redis+sentinel://',
  OOM: 'Redis has no memory left: raise maxmemory, or set maxmemory-policy to allkeys-lru',
  MOVED: 'Redis is a node of a Redis Cluster: use redis+cluster:// in REDIS_URL',
  NOPERM: 'the Redis user lacks rights: docs/container.md lists those that are needed',
  NOAUTH: 'Redis asks for a password: put it into REDIS_URL',
  WRONGPASS: 'Redis refuses the user or the password in REDIS_URL',
  CLUSTERDOWN: 'the Redis Cluster serves no keys right now',
  MISCONF: 'Redis cannot write its snapshot and therefore takes no writes',
  NOREPLICAS: 'Redis has too few replicas and therefore takes no writes',
  LOADING: 'Redis is loading its data',
  NO_SUCH_DATABASE: 'the database number in REDIS_URL does not exist on that Redis',
  ERR: 'Redis does not know, or does not allow, a command that is needed. A Sentinel is followed with redis+sentinel://'
}

// Of one row alone, or of a Cluster that moves slots around: neither is a fault of Redis.
const ordinary = new Set(['WRONGTYPE', 'ASK', 'TRYAGAIN'])

/** The code of an error that Redis answered with; `undefined`: it is none of Redis' own, or nothing to tell of. */
export function refusalOf (error: Error): string | undefined {
  if (error.name !== 'ReplyError') return undefined
  const code = /^[A-Z][A-Z_]*(?= |$)/.exec(error.message)?.[0] ?? 'ERR'
  return ordinary.has(code) ? undefined : code
}

/** What Redis refuses, as it is noticed. A refusal is current until it has not come back for some time: the probe asks for all that is needed again and again. */
export class RedisHealth {
  readonly #log: Logger
  #moving: NodeJS.Timeout | undefined
  readonly #current = new Map<string, NodeJS.Timeout>()
  // From the start with the codes that are known: an alert sees the first one of them as an increase.
  readonly #counts: Record<string, number> = Object.fromEntries(Object.keys(advice).map((code) => [code, 0]))

  constructor (log: Logger) {
    this.#log = log
  }

  /** A Cluster answered that a key is at another node now. The client follows it there: this is no refusal, and an operator who moves slots should see that it is noticed. */
  moved (): void {
    this.#count('MOVED')
    if (this.#moving !== undefined) {
      this.#moving.refresh()
      return
    }
    this.#log.info({ failure: 'MOVED' }, 'the Redis Cluster has moved keys to other nodes; its new layout is followed')
    this.#moving = setTimeout(() => { this.#moving = undefined }, currentMs).unref()
  }

  refused (code: string): void {
    this.#count(code)
    const timer = this.#current.get(code)
    if (timer !== undefined) {
      timer.refresh()
      return
    }
    this.#log.warn({ failure: code }, `Redis refuses: ${advice[code] ?? 'see its own documentation for the code'}. Revocation and verification stay correct but are slower`)
    this.#current.set(code, setTimeout(() => {
      this.#current.delete(code)
      this.#log.info({ failure: code }, 'Redis no longer refuses commands')
    }, currentMs).unref())
  }

  /** The code of what is refused at present, the oldest of several. */
  get refusal (): string | undefined {
    return this.#current.keys().next().value
  }

  /** Refusals since the start, by code. */
  counts (): Readonly<Record<string, number>> {
    return { ...this.#counts }
  }

  close (): void {
    clearTimeout(this.#moving)
    for (const timer of this.#current.values()) clearTimeout(timer)
    this.#current.clear()
  }

  #count (code: string): void {
    this.#counts[code] = (this.#counts[code] ?? 0) + 1
  }
}
