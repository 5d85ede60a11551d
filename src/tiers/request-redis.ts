import type { Redis } from 'ioredis'
import type { Logger } from '../core/logger.ts'

/**
 * A connection of our own for the way of a request, made from a client's settings. It queues nothing and resends
 * nothing: the default client was seen to carry a command out four seconds after it was issued (R0).
 */
export function requestRedis (redis: Redis, log: Logger): Redis {
  const hot = redis.duplicate({
    lazyConnect: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    enableAutoPipelining: false,
    keyPrefix: '',
    commandTimeout: 75,
    connectTimeout: 2000,
    // A connection that was cut without a word: given up after this much silence with a command under way.
    socketTimeout: 1000,
    retryStrategy
  })
  writeTogether(hot)
  let isAway = false
  hot.on('error', (error: Error & { code?: string }) => {
    if (!isAway) log.warn({ failure: error.code ?? error.name }, 'Redis is away: keys are looked up in Postgres')
    isAway = true
  })
  hot.on('ready', () => {
    if (isAway) log.info({}, 'Redis is back')
    isAway = false
  })
  return hot
}

/**
 * Lets all commands of one turn of the event loop leave in one write: a write each costs more than all else that a lookup
 * in Redis does. Not by pipelining, which would make one command's failure that of all.
 */
function writeTogether (redis: Redis): void {
  const send = redis.sendCommand.bind(redis)
  let isGathering = false
  redis.sendCommand = (command, stream) => {
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
