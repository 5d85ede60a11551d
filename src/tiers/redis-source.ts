import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import type { Logger } from '../core/logger.ts'
import { parseRedisUrl, type RedisAddress } from '../core/redis-url.ts'
import { RedisHealth, refusalOf } from './redis-health.ts'

interface RedisSourceOptions {
  /** Either this or `template`. */
  readonly url?: string | undefined
  /** Path of a PEM file with the certificates that the server's is checked against. */
  readonly caFile?: string | undefined
  /** A client of a host application: its settings are used, never itself. */
  readonly template?: Redis | undefined
  readonly log: Logger
}

export type ConnectionOptions = Pick<RedisOptions, 'commandTimeout' | 'connectTimeout' | 'socketTimeout' | 'keyPrefix' | 'retryStrategy' | 'lazyConnect' | 'enableOfflineQueue' | 'maxRetriesPerRequest' | 'autoResendUnfulfilledCommands' | 'autoResubscribe' | 'enableAutoPipelining'>

// A demoted master answers READONLY until its clients ask the Sentinels, or the name server, again.
const reconnectEveryMs = 3000
const resubscribeAfterMs = 5000
const topologyEveryMs = 1000

/** Makes connections to the Redis that the settings name: one server, the master that Sentinels watch, or a Cluster. Each of them reports what Redis refuses. */
export class RedisSource {
  readonly health: RedisHealth
  readonly #isCluster: boolean
  readonly #connect: (options: ConnectionOptions, watched: RedisOptions) => Redis

  constructor ({ url, caFile, template, log }: RedisSourceOptions) {
    this.health = new RedisHealth(log)
    if (template !== undefined) {
      this.#isCluster = false
      this.#connect = (options, watched) => template.duplicate({ ...options, ...watched } as never)
    } else {
      const address = parseRedisUrl(url ?? '')
      this.#isCluster = address.mode === 'cluster'
      const ca = caFile === undefined ? undefined : readFileSync(caFile, 'utf8')
      this.#connect = (options, watched) => connect(address, ca, { ...options, ...watched })
    }
  }

  /** A connection of its own, under the name that ioredis has for it. */
  duplicate (options: ConnectionOptions): Redis {
    let reconnectedAt = -Infinity
    const redis = this.#connect(options, {
      disableClientInfo: true,
      // Called for every error that Redis answers with, and for nothing else.
      reconnectOnError: (error) => {
        const code = refusalOf(error)
        if (code === undefined) return false
        // A Cluster moves its slots from node to node.
        if (code === 'MOVED' && this.#isCluster) {
          this.health.moved()
          return false
        }
        this.health.refused(code)
        if (commandOf(error) === 'subscribe') setTimeout(() => { redis.disconnect(true) }, resubscribeAfterMs).unref()
        if (code !== 'READONLY' || performance.now() < reconnectedAt + reconnectEveryMs) return false
        reconnectedAt = performance.now()
        return 1
      }
    })
    guard(redis)
    redis.on('error', (error: Error) => {
      // The handshake's errors come here. After a database that does not exist the client would go on in another one.
      const code = refusalOf(error)
      if (code === undefined) return
      this.health.refused(/DB index|SELECT is not allowed/i.test(error.message) ? 'NO_SUCH_DATABASE' : code)
      if (/^ERR /.test(error.message)) (redis as { stream?: { destroy (): void } }).stream?.destroy()
    })
    return redis
  }
}

function connect (address: RedisAddress, ca: string | undefined, options: RedisOptions): Redis {
  const { mode, hosts, isTls, database, master, username, password, sentinelUsername, sentinelPassword } = address
  const tls = isTls ? { ...(ca === undefined ? {} : { ca }) } : undefined
  const access = { ...(username === undefined ? {} : { username }), ...(password === undefined ? {} : { password }), ...(tls === undefined ? {} : { tls }) }
  switch (mode) {
    case 'single': return redisOf({ ...access, ...options, ...hosts[0], db: database, enableReadyCheck: false })
    case 'sentinel': return redisOf({
      ...access,
      ...options,
      sentinels: [...hosts],
      name: master,
      db: database,
      sentinelRetryStrategy: (times) => Math.min(1000, times * 50),
      sentinelCommandTimeout: 1000,
      ...(sentinelUsername === undefined ? {} : { sentinelUsername }),
      ...(sentinelPassword === undefined ? {} : { sentinelPassword }),
      ...(tls === undefined ? {} : { enableTLSForSentinelMode: true, sentinelTLS: tls })
    })
    // A Cluster object has all that is used of a client here; `Redis` and `Cluster` have no common type.
    case 'cluster': return clusterOf(hosts, access, options) as unknown as Redis
  }
}

// With exactOptionalPropertyTypes, ioredis' own types take nothing but a literal.
function redisOf (options: RedisOptions): Redis {
  return new Redis(options as never)
}

function clusterOf (hosts: RedisAddress['hosts'], access: RedisOptions, { retryStrategy, lazyConnect = false, enableOfflineQueue = false, ...node }: RedisOptions): Cluster {
  return new Cluster([...hosts], {
    lazyConnect,
    enableOfflineQueue,
    enableReadyCheck: true,
    clusterRetryStrategy: (times) => Number(retryStrategy?.(times) ?? 1000),
    slotsRefreshInterval: topologyEveryMs,
    slotsRefreshTimeout: topologyEveryMs,
    // Nothing is repeated later: a lookup continues in Postgres, and a late announcement has no value.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    retryDelayOnTryAgain: 0,
    maxRedirections: 3,
    dnsLookup: (address, callback) => { callback(null, address) },
    redisOptions: { ...access, ...node } as object
  })
}

/**
 * ioredis listens for one error of each connection, and for none of ASKING, which it sends to the node that a slot of a Cluster is being moved to. A second error, as TLS
 * has after a refused certificate, or a refused ASKING would end the process. The command behind ASKING is answered with an error of its own.
 * And a Cluster that is closed while it asks for its slots sets its timer afterwards: it would go on asking, and its process would not end.
 */
function guard (redis: Redis): Redis {
  const asking = redis.asking.bind(redis) as () => Promise<'OK'>
  redis.asking = () => asking().catch(() => 'OK')
  whenSet(redis, 'stream', (stream: Socket) => { stream.on('error', () => {}) })
  // The connections of a Cluster, and the one that it subscribes with, which no event tells of.
  redis.on('+node', guard)
  const { subscriber, connector } = redis as unknown as { subscriber?: object, connector?: { connectToSentinel?: (...to: unknown[]) => Redis } }
  if (subscriber !== undefined) whenSet(subscriber, 'subscriber', guard)
  const { isCluster } = redis
  if (isCluster) whenSet(redis, 'slotsTimer', (timer: NodeJS.Timeout) => { if ((redis as unknown as { manuallyClosing: boolean }).manuallyClosing) clearTimeout(timer) })
  // A Cluster asks for its slots over copies of the connections to its nodes.
  const duplicate = redis.duplicate.bind(redis)
  redis.duplicate = (...changes) => guard(duplicate(...changes))
  if (connector?.connectToSentinel !== undefined) {
    const connectToSentinel = connector.connectToSentinel.bind(connector)
    connector.connectToSentinel = (...to) => guard(connectToSentinel(...to))
  }
  return redis
}

/** Calls `act` with each value that a property gets from now on, but for `null` and `undefined`. */
function whenSet<Value> (owner: object, name: string, act: (value: Value) => void): void {
  let current = (owner as Record<string, Value | null | undefined>)[name]
  Object.defineProperty(owner, name, {
    configurable: true,
    enumerable: true,
    get: () => current,
    set: (value: Value | null | undefined) => {
      current = value
      if (value !== null && value !== undefined) act(value)
    }
  })
}

function commandOf (error: Error): string | undefined {
  return (error as { command?: { name?: string } }).command?.name
}
