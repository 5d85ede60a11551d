import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { ask } from '../../support/sentinel.ts'
import { until } from '../../support/until.ts'
import { healMs, type Fleet } from '../fleet.ts'
import type { Fault } from './fault.ts'
import { Poisoner } from './poisoner.ts'

/** After a failover it is another server that has to be broken, and no link leads there. */
const linked = ['plain', 'pooler'] as const

export function redisKilled (): Fault {
  return {
    kind: 'Redis killed and started empty',
    holds: ['redis'],
    lasts: 'short',
    only: linked,
    async strike (fleet) {
      const end = fleet.troubles.begin({ kind: 'redis', name: 'Redis killed' })
      await fleet.redis.kill()
      return async () => {
        await fleet.redis.start()
        end(healMs)
      }
    }
  }
}

/** The master is killed; the Sentinels make the standby the master, and the one before comes back as its standby. */
export function redisFailedOver (): Fault {
  return {
    kind: 'the Redis master killed, a failover by its Sentinels',
    holds: ['redis'],
    lasts: 'long',
    only: ['sentinel'],
    async strike (fleet) {
      const servers = [fleet.redis, fleet.redisStandby].filter((server) => server !== undefined)
      const roles = await Promise.all(servers.map(async ({ port }) => String(await ask(port, 'role'))))
      const master = servers[roles.findIndex((role) => role.startsWith('master'))]
      const standby = servers.find((server) => server !== master)
      if (master === undefined || standby === undefined) throw new Error('There is no master of Redis.')
      const end = fleet.troubles.begin({ kind: 'redis', name: 'Redis master killed' })
      await master.kill()
      return async () => {
        await until(async () => String(await ask(standby.port, 'role')).startsWith('master'), { timeoutMs: 60_000 })
        await master.start()
        await until(async () => String(await ask(master.port, 'role')).startsWith('slave'), { timeoutMs: 60_000 })
        end(healMs)
      }
    }
  }
}

/** The dump is taken while keys live; they are revoked; then Redis comes back as it was before. */
export function redisFromOldDump (): Fault {
  return {
    kind: 'Redis started again from an old dump',
    holds: ['redis'],
    lasts: 'short',
    only: linked,
    async strike (fleet) {
      const dump = join(fleet.redis.dir, 'dump.rdb')
      await on(fleet, async (redis) => await redis.save())
      return async () => {
        const end = fleet.troubles.begin({ kind: 'redis', name: 'Redis back from an old dump' })
        await fleet.redis.kill()
        await fleet.redis.start()
        rmSync(dump, { force: true })
        end(healMs)
      }
    }
  }
}

export function redisFlushed (): Fault {
  return {
    kind: 'Redis emptied (FLUSHALL), over and over',
    holds: ['redis'],
    lasts: 'short',
    only: linked,
    async strike (fleet) {
      const end = fleet.troubles.begin({ kind: 'redis', name: 'FLUSHALL' })
      const stop = repeat(200, async () => { await on(fleet, async (redis) => await redis.flushall()) })
      return async () => {
        await stop()
        end(healMs)
      }
    }
  }
}

export function redisFrozen (): Fault {
  return {
    kind: 'Redis frozen',
    holds: ['redis'],
    lasts: 'short',
    only: linked,
    async strike (fleet) {
      const end = fleet.troubles.begin({ kind: 'redis', name: 'Redis frozen' })
      fleet.redis.pause()
      return async () => {
        fleet.redis.resume()
        end(healMs)
      }
    }
  }
}

export function redisPoisoned (): Fault {
  return {
    kind: 'Redis poisoned: old rows, rows of other keys, garbage, wrong HMACs, forged and repeated hints',
    holds: ['redis'],
    lasts: 'long',
    only: linked,
    async strike (fleet) {
      const end = fleet.troubles.begin({ kind: 'redis', name: 'Redis poisoned' })
      const poisoner = await Poisoner.start({ url: fleet.redis.url, random: fleet.random.fork() })
      const stop = repeat(40, async () => { await poisoner.poison() })
      return async () => {
        await stop()
        await poisoner.putBackAll()
        if (poisoner.poisoned === 0) fleet.faultsFound.push('there was nothing in Redis to poison')
        poisoner.close()
        end(healMs)
      }
    }
  }
}

async function on<Result> (fleet: Fleet, act: (redis: Redis) => Promise<Result>): Promise<Result> {
  const redis = new Redis(fleet.redis.url)
  redis.on('error', () => {})
  try {
    return await act(redis)
  } finally {
    redis.disconnect()
  }
}

/** The returned function stops it and resolves when the last has ended. */
function repeat (everyMs: number, act: () => Promise<void>): () => Promise<void> {
  const stop = new AbortController()
  const done = (async () => {
    while (!stop.signal.aborted) {
      await act()
      await sleep(everyMs)
    }
  })()
  return async () => {
    stop.abort()
    await done
  }
}
