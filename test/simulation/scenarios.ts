import type { ChangeTarget } from '../../src/core/lookup.ts'
import type { Guards } from '../../src/core/window/guards.ts'
import { digests, type ModelPostgres } from './model-postgres.ts'
import type { ModelReplica } from './model-replica.ts'
import { windowMs, type World, type WorldOptions } from './world.ts'

/** A short story in which one guard alone decides: told with it, the promise holds; without it, it breaks. */
export interface Scenario {
  readonly name: string
  /** The name of the mutant in the models, where they have it. */
  readonly model?: string
  /** The guard that is switched off, or the part of the database's side that is done wrongly. */
  readonly without: keyof Guards | Partial<WorldOptions>
  readonly world?: Partial<WorldOptions>
  play (world: World, a: ModelReplica, b: ModelReplica): void
}

const key: ChangeTarget = { kind: 'key', digest: digests[0] as typeof digests[number] }
const otherKey: ChangeTarget = { kind: 'key', digest: digests[1] as typeof digests[number] }
const waitOut = windowMs * 1.05 + 60

const untilMember = (world: World) => world.advance(250)

export const scenarios: readonly Scenario[] = [
  {
    name: 'answers of Postgres to one replica that are late by more than half a window, no hints, a revoke, a probe',
    model: 'M_FROMRECV',
    without: 'windowFromSend',
    world: { hints: false, rates: [1.01, 0.99], renewalTimeoutMs: windowMs },
    play (world, a, b) {
      b.holdsAnswers = true
      world.advance(150)
      world.change(a, key, 'revoke')
      world.advance(windowMs * 0.6)
      world.release(b)
      b.holdsRequests = true
      world.advance(windowMs)
    }
  },
  {
    name: 'warm connections to a replica that is stopped, a revoke by the slow path, requests queued, the replica goes on',
    model: 'M_NOWIN',
    without: 'windowChecked',
    play (world, a, b) {
      world.pause(b)
      world.change(a, key, 'revoke')
      world.advance(waitOut)
      world.resume(b)
    }
  },
  {
    name: 'a window flag kept by a timer, in a replica whose timers were stopped',
    model: 'M_TIMERFLAG',
    without: 'windowByClock',
    play (world, a, b) {
      world.pause(b)
      world.change(a, key, 'revoke')
      world.advance(waitOut)
      world.resume(b)
    }
  },
  {
    name: 'a revoke that waits for as long as its own fast clock shows beside a slow one',
    model: 'M_NOMARGIN',
    without: 'waitHasMargin',
    world: { rates: [1.01, 0.99] },
    play (world, a, b) {
      world.tell(b, { kind: 'wanted' })
      world.advance(5)
      b.holdsRequests = b.isDeaf = true
      world.change(a, key, 'revoke')
      world.advance(waitOut)
    }
  },
  {
    name: 'a hint of the second of two changes, before the replica knows the first',
    model: 'M_HINTACK',
    without: 'hintsNotAcked',
    play (world, a, b) {
      b.isDeaf = true
      b.holdsRequests = true
      world.change(a, key, 'revoke')
      world.advance(5)
      b.isDeaf = false
      world.change(a, otherKey, 'change')
      world.advance(5)
      world.release(b)
      world.advance(10)
    }
  },
  {
    name: 'two changes that draw their positions early and commit the other way round',
    model: 'M_SEQEARLY',
    without: { seqEarly: true },
    play (world, a, b) {
      b.isDeaf = true
      world.change(a, key, 'revoke')
      for (let i = 0; i < 100 && world.drawnEarly === 0; i++) world.advance(0.1)
      // Its position is drawn, its commit is on its way.
      a.holdsRequests = true
      world.change(b, otherKey, 'change')
      world.advance(120)
      world.release(a)
      world.advance(50)
    }
  },
  {
    name: 'a replica that joins and renews between the reading of the members and the commit',
    model: 'M_MEMBEFORE',
    without: 'membersReadAfterCommit',
    play (world, a, b) {
      world.advance(300)
      a.holdsRequests = true
      world.change(a, key, 'revoke')
      world.restart(b)
      world.advance(100)
      b.isDeaf = b.holdsRequests = true
      world.release(a)
      world.advance(30)
    }
  },
  {
    name: 'a change that commits while the joining transaction, which has read the log, has not',
    model: 'M_REG1SNAP',
    without: 'joinedFirst',
    play (world, a, b) {
      world.restart(b)
      const join = world.postgres.join.bind(world.postgres)
      world.postgres.join = (id, ms) => {
        world.postgres.join = join
        world.change(a, key, 'revoke')
        world.advance(60)
        b.isDeaf = b.holdsRequests = true
        join(id, ms)
      }
      world.advance(100)
      world.advance(5)
    }
  },
  {
    name: 'a member that renews between being seen silent and being counted out',
    model: 'M_REAPEARLY',
    without: 'reapedIfSilent',
    play (world, a, b) {
      b.holdsRequests = b.isDeaf = true
      const reap = world.postgres.reap.bind(world.postgres)
      const reaped: string[] = []
      world.postgres.reap = (id, renewals) => {
        b.holdsRequests = false
        for (const run of b.held.splice(0)) run()
        reap(id, renewals)
        b.holdsRequests = true
        reaped.push(id)
      }
      for (let i = 0; i < 300 && reaped.length === 0; i++) world.advance(10)
      world.advance(5)
      world.change(a, key, 'revoke')
      world.advance(50)
    }
  },
  {
    name: 'a primary that was replaced and does not know it, and a replica that still talks to it',
    model: 'M_ROREADS',
    without: { renewalsOnlyRead: true },
    play (world, a, b) {
      b.isDeaf = true
      world.failOver(b)
      world.change(a, key, 'revoke')
      world.advance(waitOut)
    }
  },
  {
    name: 'a revoke whose answer was lost, retried without a write of its own before a failover',
    model: 'M_RETRYNOSYNC',
    without: { retryOnlyReads: true },
    play (world, a, b) {
      a.holdsAnswers = true
      world.change(a, key, 'revoke')
      world.advance(5)
      world.change(b, key, 'revoke')
      world.advance(waitOut)
      world.failOver()
      world.advance(waitOut)
    }
  },
  {
    name: 'a failover that loses changes nobody was told of, and a revoke that takes the position of one of them',
    without: 'timelineResets',
    play (world, a, b) {
      const before = world.postgres.seq
      a.holdsAnswers = true
      world.change(a, otherKey, 'change')
      world.change(a, otherKey, 'change')
      world.advance(150)
      world.failOver()
      if (world.postgres.seq !== before) throw new Error('nothing was lost')
      b.isDeaf = true
      world.release(a)
      world.advance(5)
      world.change(a, key, 'revoke')
      world.advance(300)
    }
  }
]

/** Tells the story; throws a `Violation` where the promise breaks. */
export function tell (scenario: Scenario, world: World): ModelPostgres {
  untilMember(world)
  scenario.play(world, world.replica(0), world.replica(1))
  world.probeAll()
  world.heal()
  return world.postgres
}
