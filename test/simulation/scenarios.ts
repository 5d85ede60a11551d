import type { ChangeTarget } from '../../src/core/lookup.ts'
import { digests, type ModelPostgres } from './model-postgres.ts'
import type { ModelReplica } from './model-replica.ts'
import { windowMs, type World, type WorldOptions } from './world.ts'

/** A short story in which one guard alone decides: told with it, the promise holds; without it, it breaks. */
export interface Scenario {
  readonly name: string
  /** The guard that is taken away. */
  readonly without: string
  readonly world?: Partial<WorldOptions>
  play (world: World, a: ModelReplica, b: ModelReplica): void
}

const keyOf = (i: number): ChangeTarget => ({ kind: 'key', digests: [digests[i] as typeof digests[number]] })
const key = keyOf(0)
const revoke = { action: 'revoke' } as const

/** Both are members with a lineage. */
const untilMembers = (world: World) => world.advance(windowMs)

export const scenarios: readonly Scenario[] = [
  {
    name: 'a member that renews between being seen silent and being counted out',
    without: 'countedOutIfSilent',
    play (world, a, b) {
      b.holdsRequests = b.isDeaf = true
      const countOut = world.postgres.countOut.bind(world.postgres)
      const gone: string[] = []
      world.postgres.countOut = (id, beat) => {
        b.holdsRequests = false
        for (const run of b.held.splice(0)) run()
        countOut(id, beat)
        b.holdsRequests = true
        gone.push(id)
      }
      for (let i = 0; i < 300 && gone.length === 0; i++) world.advance(10)
      world.advance(5)
      world.change(a, key, revoke)
      world.advance(50)
    }
  },
  {
    name: 'a member that gives its lineage away in a statement that is held up until the database has been set back',
    without: 'admissionInTime',
    world: { replicas: 3 },
    play (world, a, b) {
      const { postgres } = world
      const roll = postgres.roll.bind(postgres)
      world.pause(a)
      world.crash(world.replica(2))
      world.advance(30)
      world.pause(world.replica(2))
      // From its next reading of the members on, b is heard no more: what it sends then is that c has the lineage too.
      postgres.roll = () => {
        b.holdsRequests = true
        return roll()
      }
      for (let i = 0; i < 50 && !b.holdsRequests; i++) world.advance(10)
      postgres.roll = roll
      world.advance(10)
      const dump = world.dump()
      world.resume(a)
      for (const other of [keyOf(1), keyOf(2)]) world.change(a, other, { action: 'change' })
      world.advance(2 * windowMs)
      world.restore(dump)
      // a learns that it is of another history, and becomes somebody without a lineage.
      const { id } = a.state
      for (let i = 0; i < 100 && (a.state.id === id || a.state.phase !== 'member'); i++) world.advance(2)
      for (const run of b.held.splice(0)) run()
      world.advance(100)
      for (const other of [key, keyOf(3)]) world.change(a, other, revoke)
      world.advance(1.5 * windowMs)
    }
  },
  {
    name: 'a connection that remembers a key from a part of the log that a promoted standby never had',
    without: 'memoOfGeneration',
    play (world, a) {
      const standby = world.dump()
      for (const other of [keyOf(1), keyOf(2)]) world.change(a, other, { action: 'change' })
      world.advance(2 * windowMs)
      world.promote(standby)
      world.advance(windowMs)
      // At a position that the log of before has reached, with another change.
      world.change(a, key, revoke)
      world.advance(2 * windowMs)
    }
  }
]

/** Tells the story; throws a `Violation` where the promise breaks. */
export function tell (scenario: Scenario, world: World): ModelPostgres {
  untilMembers(world)
  scenario.play(world, world.replica(0), world.replica(1))
  world.probeAll()
  world.heal()
  return world.postgres
}
