import type { Redis } from 'ioredis'
import type { Logger } from '../core/logger.ts'
import { refusalOf } from './redis-health.ts'
import type { RedisSource } from './redis-source.ts'

const probeKey = 'navis-keys:probe'
const probeEveryMs = 5000
const commandTimeoutMs = 75
/** Of a script: what it answers late still counts (core/rate-shares.ts). */
const scriptTimeoutMs = 1000

/**
 * A connection of its own for the way of a request. It queues nothing and resends
 * nothing: the default client was seen to carry a command out four seconds after it was issued (R0).
 */
export function requestRedis (source: Pick<RedisSource, 'duplicate'>, log: Logger): Redis {
  const redis = source.duplicate({
    lazyConnect: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    enableAutoPipelining: false,
    keyPrefix: '',
    commandTimeout: commandTimeoutMs,
    connectTimeout: 1000,
    // A connection that was cut without a word: given up after this much silence with a command under way.
    socketTimeout: 1000,
    retryStrategy
  })
  writeTogether(redis)
  let isAway = false
  redis.on('error', (error: Error & { code?: string }) => {
    // What Redis answers, the source tells of.
    if (!isAway && refusalOf(error) === undefined) {
      isAway = true
      log.warn({ failure: error.code ?? error.name }, 'Redis cannot be reached: keys are looked up in Postgres')
    }
  })
  redis.on('ready', () => {
    if (isAway) log.info({}, 'Redis can be reached again')
    isAway = false
    probe(redis)
  })
  const timer = setInterval(() => { probe(redis) }, probeEveryMs).unref()
  redis.once('end', () => { clearInterval(timer) })
  return redis
}

/** Asks for everything that is needed of Redis, so that what it refuses is noticed without a request, and also when it no longer does. */
function probe (redis: Redis): void {
  if (redis.status !== 'ready') return
  for (const asked of [redis.set(probeKey, '1', 'PX', 60_000), redis.getrange(probeKey, 0, 0), redis.unlink(probeKey), redis.publish(probeKey, '')]) asked.catch(() => {})
}

/**
 * Lets all commands of one turn of the event loop leave in one write: a write each costs more than all else that a lookup
 * in Redis does. Not by pipelining, which would make one command's failure that of all.
 */
function writeTogether (redis: Redis): void {
  const send = redis.sendCommand.bind(redis)
  let isGathering = false
  redis.sendCommand = (command, stream) => {
    if (command.name.startsWith('eval')) command.setTimeout(scriptTimeoutMs)
    const { stream: socket } = redis
    if (!isGathering && socket !== undefined) {
      isGathering = true
      socket.cork()
      setImmediate(() => {
        isGathering = false
        socket.uncork()
      })
    }
    return send(command, stream)
  }
}

function retryStrategy (times: number): number {
  return Math.min(1000, times * 50)
}
