import { setTimeout as sleep } from 'node:timers/promises'
import { healMs, type Fleet } from '../fleet.ts'
import { waitOf } from '../latencies.ts'
import type { Fault } from './fault.ts'

/** A frozen replica has so many requests waiting on warm connections when it wakes, about keys that were taken away meanwhile. */
const queueDepth = 64
/** After an answer to SIGTERM, by contract. */
const exitMs = 10_000

/** A replica that was killed is waited for until another has seen it silent for W. */
function lingerMs (fleet: Fleet): number {
  return waitOf(fleet.windowMs) + healMs
}

/** Frozen with connections open, its window passing; when it wakes, requests are queued. */
export function frozen (place: number): Fault {
  return {
    kind: 'replica frozen (SIGSTOP), woken with requests queued',
    holds: [`replica ${place}`],
    lasts: 'long',
    async strike (fleet) {
      const end = fleet.troubles.begin({ kind: 'replica', name: `replica ${place} frozen`, place, mayBeUnavailable: true })
      const replica = fleet.replica(place)
      const client = fleet.client(place)
      replica.freeze()
      return async () => {
        for (const key of [...fleet.pool.recent, ...fleet.pool.live.slice(0, 20)]) client.verify(key, queueDepth)
        // Written by this process is not yet arrived; a wake-up in between would find nothing queued.
        await sleep(20)
        replica.thaw()
        end(healMs)
      }
    }
  }
}

export function killed (place: number): Fault {
  return {
    kind: 'replica killed (SIGKILL) and started again',
    holds: [`replica ${place}`],
    lasts: 'short',
    async strike (fleet) {
      const end = fleet.troubles.begin({ kind: 'replica', name: `replica ${place} killed` })
      await fleet.release(place).kill()
      end(lingerMs(fleet))
      return async () => { await fleet.startReplica(place) }
    }
  }
}

export function terminated (place: number): Fault {
  return {
    kind: 'replica ended in order (SIGTERM) under load and started again',
    holds: [`replica ${place}`],
    lasts: 'short',
    async strike (fleet) {
      const endOfOrder = fleet.troubles.begin({ kind: 'replica', name: `replica ${place} terminated`, place, mayBeUnavailable: true })
      const replica = fleet.replica(place)
      const { process } = fleet.client(place)
      const orderedAt = performance.now()
      const { code, signal, ms } = await replica.terminate({ timeoutMs: exitMs + 1000 })
      fleet.release(place)
      endOfOrder(healMs)
      const lost = lostBefore(fleet, process, orderedAt)
      if (lost > 0) fleet.faultsFound.push(`after SIGTERM replica ${place} left ${lost} requests unanswered that had been sent before`)
      if (code !== 0 || ms > exitMs) fleet.faultsFound.push(`after SIGTERM replica ${place} ended with ${code ?? signal} after ${ms.toFixed(0)} ms`)
      return async () => { await fleet.startReplica(place) }
    }
  }
}

/** A fourth replica joins, again and again in the middle of revokes, and leaves without a word. */
export function joining (place: number): Fault {
  return {
    kind: 'replica joins during revokes',
    holds: [`replica ${place}`],
    lasts: 'short',
    async strike (fleet) {
      const random = fleet.random.fork()
      const joined = new AbortController()
      const revokes: Array<Promise<void>> = []
      const revoking = (async () => {
        while (!joined.signal.aborted) {
          for (const key of await fleet.churn.keys(2)) revokes.push(fleet.changes.revoke(key))
          await sleep(random.between(10, 60))
        }
      })()
      await fleet.startReplica(place)
      await sleep(200)
      joined.abort()
      await revoking
      return async () => {
        const end = fleet.troubles.begin({ kind: 'replica', name: `replica ${place} killed` })
        await fleet.release(place).kill()
        end(lingerMs(fleet))
        await Promise.all(revokes)
      }
    }
  }
}

/** The replica that was asked to revoke dies on the way; the client tries again at another. */
export function revokerKilled (place: number): Fault {
  return {
    kind: 'revoker killed in the middle of revokes, tried again elsewhere',
    holds: [`replica ${place}`],
    lasts: 'short',
    async strike (fleet) {
      const random = fleet.random.fork()
      const keys = await fleet.churn.keys(4)
      await sleep(100)
      const end = fleet.troubles.begin({ kind: 'replica', name: `revoker ${place} killed` })
      const client = fleet.client(place)
      const revokes = keys.map(async (key) => {
        await sleep(random.between(0, 15))
        await fleet.changes.revoke(key, client)
      })
      await sleep(random.between(2, 20))
      await fleet.release(place).kill()
      end(lingerMs(fleet))
      return async () => {
        await fleet.startReplica(place)
        await Promise.all(revokes)
      }
    }
  }
}

export function twoRevokers (place: number, other: number): Fault {
  return {
    kind: 'two revokes of one key at two replicas at once',
    holds: [`replica ${place}`, `replica ${other}`],
    lasts: 'short',
    async strike (fleet) {
      const keys = await fleet.churn.keys(8)
      await sleep(100)
      const revokes = keys.map(async (key) => { await fleet.changes.revokeTwice(key, [fleet.client(place), fleet.client(other)]) })
      return async () => await Promise.all(revokes)
    }
  }
}

/** Requests to this process that were under way at that time and never answered. */
function lostBefore ({ recorder }: Fleet, process: number, at: number): number {
  let lost = 0
  for (let index = recorder.size - 1; index >= 0; index--) {
    const seen = recorder.at(index)
    if (seen.answeredAt < at) break
    if (seen.process === process && seen.status === 0 && seen.sentAt < at) lost++
  }
  return lost
}
