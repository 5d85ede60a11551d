import type { KeysStats } from '../../src/engine/open-keys.ts'
import type { Contender } from './contender.ts'
import { keysStats } from './keys-stats.ts'

/** What a process did in all of its measurements, by its own counts. */
export interface Deeds {
  accepted: number
  memoryHits: number
  redisHits: number
  /** Redis did not answer in time, or was passed by because it had not. */
  redisAway: number
  statements: number
  digests: number
}

/** The contender, a process of `contenders/plugin.ts`, and what it has done from its first measurement on: what it did, not what it was meant to do. */
export function watched (contender: Contender): { readonly contender: Contender, readonly deeds: Deeds } {
  const deeds: Deeds = { accepted: 0, memoryHits: 0, redisHits: 0, redisAway: 0, statements: 0, digests: 0 }
  return {
    deeds,
    contender: {
      ...contender,
      async start (t) {
        const running = await contender.start(t)
        let first: Deeds | undefined
        t.teardown(async () => {
          // One that has failed by now has nothing to say, and fails the run elsewhere.
          const last = await keysStats(running.url).then(deedsOf, () => undefined)
          if (first === undefined || last === undefined) return
          for (const name of Object.keys(deeds) as Array<keyof Deeds>) deeds[name] += last[name] - first[name]
        })
        return {
          ...running,
          async before () {
            await running.before?.()
            first ??= deedsOf(await keysStats(running.url))
          }
        }
      }
    }
  }
}

function deedsOf ({ verifier, memory, redis, postgres }: KeysStats): Deeds {
  return {
    accepted: verifier.accepted,
    memoryHits: memory?.hits ?? 0,
    redisHits: redis?.hits ?? 0,
    redisAway: redis === undefined ? 0 : redis.errors + redis.passedBy,
    statements: postgres.statements,
    digests: postgres.digests
  }
}
