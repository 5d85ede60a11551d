import { setTimeout as sleep } from 'node:timers/promises'
import { healMs, type Fleet } from '../fleet.ts'
import type { Fault } from './fault.ts'

/** Redis' writes arrive this late at most; by contract of the issue 30 s, shorter windows shorter. */
function writeDelayMs (fleet: Fleet): number {
  return Math.min(30_000, 3 * fleet.windowMs)
}

/** Half of it each way, for both stores: a replica in another region. It goes on as the others do. */
export function farAway (place: number): Fault {
  return {
    kind: '80 ms between one replica and its stores',
    holds: [`postgres link ${place}`, `redis link ${place}`],
    lasts: 'long',
    only: ['plain', 'pooler'],
    async strike (fleet) {
      const end = fleet.troubles.begin({ kind: 'replica', name: `replica ${place} far from its stores`, place })
      const { postgres, redis } = fleet.place(place)
      for (const link of [postgres, redis]) await link.delay({ toClientMs: 40, toServerMs: 40 })
      return async () => {
        for (const link of [postgres, redis]) await link.heal()
        end(healMs)
      }
    }
  }
}

/** As TCP does: nobody is told of the partition, and what was sent arrives when it is over. */
export function postgresHeld (place: number): Fault {
  return {
    kind: 'one replica cut from Postgres, silently',
    holds: [`postgres link ${place}`],
    lasts: 'long',
    async strike (fleet) {
      const end = fleet.troubles.begin({ kind: 'replica', name: `replica ${place} cut from Postgres`, place, mayBeUnavailable: true })
      await fleet.place(place).postgres.hold()
      return async () => {
        await fleet.place(place).postgres.heal()
        end(healMs)
      }
    }
  }
}

export function postgresRefused (place: number): Fault {
  return {
    kind: 'one replica cut from Postgres, connections reset',
    holds: [`postgres link ${place}`],
    lasts: 'long',
    async strike (fleet) {
      const end = fleet.troubles.begin({ kind: 'replica', name: `replica ${place} cut from Postgres`, place, mayBeUnavailable: true })
      await fleet.place(place).postgres.refuse()
      return async () => {
        await fleet.place(place).postgres.heal()
        end(healMs)
      }
    }
  }
}

/** WINDOW.md's directed case: a window that is counted from the answer instead of from the sending would be open too long. */
export function postgresAnswersDelayed (place: number): Fault {
  return {
    kind: "Postgres's answers to one replica delayed by 0.6 D, no hints",
    holds: [`postgres link ${place}`, `redis link ${place}`],
    lasts: 'long',
    only: ['plain', 'pooler'],
    async strike (fleet) {
      const { postgres, redis } = fleet.place(place)
      const end = fleet.troubles.begin({ kind: 'replica', name: `Postgres's answers to replica ${place} delayed`, place, mayBeUnavailable: true })
      await redis.refuse()
      await postgres.delay({ toClientMs: 0.6 * fleet.windowMs })
      return async () => {
        await Promise.all([postgres.heal(), redis.heal()])
        end(0.6 * fleet.windowMs + healMs)
      }
    }
  }
}

/** Delays in which renewals still arrive, up to and around their timeout: windows open late, if at all. */
export function postgresAnswersSlow (place: number): Fault {
  return {
    kind: "Postgres's answers to one replica delayed by 0.2 to 1.2 s, no hints",
    holds: [`postgres link ${place}`, `redis link ${place}`],
    lasts: 'long',
    only: ['plain', 'pooler'],
    async strike (fleet) {
      const { postgres, redis } = fleet.place(place)
      const delayMs = fleet.random.between(200, 1200)
      const end = fleet.troubles.begin({ kind: 'replica', name: `Postgres's answers to replica ${place} slow`, place, mayBeUnavailable: true })
      await redis.refuse()
      await postgres.delay({ toClientMs: delayMs })
      return async () => {
        await Promise.all([postgres.heal(), redis.heal()])
        end(delayMs + healMs)
      }
    }
  }
}

/** A renewal waits for its answer for a second; this much later it still counts. */
const lateAnswerMs = 850

/**
 * The last answer that arrives was sent long before it, and after it nothing comes: a window counted from the arrival
 * would outlive the wait of every revoke that was committed in between.
 */
export function postgresAnswersLateThenCut (place: number): Fault {
  return {
    kind: "Postgres's answers to one replica late, then none at all, no hints",
    holds: [`postgres link ${place}`, `redis link ${place}`],
    lasts: 'long',
    only: ['plain', 'pooler'],
    async strike (fleet) {
      const { postgres, redis } = fleet.place(place)
      const end = fleet.troubles.begin({ kind: 'replica', name: `Postgres's answers to replica ${place} late, then none`, place, mayBeUnavailable: true })
      await redis.refuse()
      await postgres.delay({ toClientMs: lateAnswerMs })
      await sleep(fleet.random.between(3, 4) * lateAnswerMs)
      await postgres.hold()
      return async () => {
        await Promise.all([postgres.heal(), redis.heal()])
        end(lateAnswerMs + healMs)
      }
    }
  }
}

export function redisHeld (place: number): Fault {
  return {
    kind: 'one replica cut from Redis, silently',
    holds: [`redis link ${place}`],
    lasts: 'short',
    only: ['plain', 'pooler'],
    async strike (fleet) {
      const end = fleet.troubles.begin({ kind: 'redis', name: `replica ${place} cut from Redis` })
      await fleet.place(place).redis.hold()
      return async () => {
        await fleet.place(place).redis.heal()
        end(healMs)
      }
    }
  }
}

/** The connection stays open on both sides and carries nothing any more; no close is ever seen. */
export function subscriberHeld (place: number): Fault {
  return {
    kind: "one replica's subscriber connection cut, silently",
    holds: [`redis link ${place}`],
    lasts: 'long',
    only: ['plain', 'pooler'],
    async strike (fleet) {
      const { redis } = fleet.place(place)
      const late = fleet.random.chance(0.5)
      const end = fleet.troubles.begin({ kind: 'redis', name: `replica ${place} hears no hints` })
      const subscribers = await redis.holdSubscribers()
      if (subscribers === 0) fleet.faultsFound.push(`replica ${place} has no subscriber connection to cut`)
      return async () => {
        // Either every message arrives late, or the connection breaks at last.
        await (late ? redis.heal() : redis.reset())
        end(healMs)
      }
    }
  }
}

export function redisWritesDelayed (place: number): Fault {
  return {
    kind: "one replica's writes to Redis delayed by 30 s (3 D if that is less)",
    holds: [`redis link ${place}`],
    lasts: 'short',
    only: ['plain', 'pooler'],
    async strike (fleet) {
      const end = fleet.troubles.begin({ kind: 'redis', name: `replica ${place} writes to Redis late` })
      await fleet.place(place).redis.delay({ toServerMs: writeDelayMs(fleet) })
      return async () => {
        // What is on its way arrives in its own time, long after.
        await fleet.place(place).redis.delay({})
        end(writeDelayMs(fleet) + healMs)
      }
    }
  }
}
