import type { ChangeTarget } from '../../src/core/lookup.ts'
import { digests, type KeyVersion, type ModelPostgres } from './model-postgres.ts'
import type { ModelReplica } from './model-replica.ts'
import { Violation, windowMs, type World, type WorldOptions } from './world.ts'

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

/** Until a renewal of the replica has been answered, and none is under way. */
function untilRenewed (world: World, replica: ModelReplica): void {
  const { sent } = replica.state
  for (let i = 0; i < 2000 && (replica.state.sent === sent || replica.state.renewing !== undefined); i++) world.advance(0.1)
}

/** Both join anew, without a lineage, until their rows of before are counted out and they have founded one. Returns a standby from before that. */
function untilFounded (world: World): ModelPostgres {
  const before = world.dump()
  world.advance(600)
  world.promote(before)
  world.advance(100)
  const standby = world.dump()
  world.advance(3 * windowMs)
  if (world.postgres.lineage === standby.lineage) throw new Error('No lineage has been founded.')
  return standby
}

/** Its requests are held until it has been counted out; then it joins anew. */
function admitAgain (world: World, replica: ModelReplica): void {
  replica.holdsRequests = true
  world.advance(2.2 * windowMs)
  world.release(replica)
  world.advance(1.2 * windowMs)
}

const newestOf = ({ versions }: ModelPostgres, i: number) => (versions[i] as readonly KeyVersion[]).at(-1) as KeyVersion

/** For two windows: what was revoked, and is not any more in the database, must not be accepted, also when it has just been read there. */
function assertRefused (world: World, i: number): void {
  for (let ms = 0; ms < 2 * windowMs; ms++) {
    world.advance(1)
    for (const replica of world.replicas) {
      const { seq } = replica.postgres
      const { record } = newestOf(replica.postgres, i)
      if (record.revokedAt !== null) continue
      const standing = world.protocol.judge(replica.state, { record, asof: Math.min(seq, replica.state.applied), seq }, replica.clock(world.time), true)
      if (standing === 'current') throw new Violation(`replica ${replica.index} accepted key ${i}, whose revocation was lost`)
    }
  }
  assertStillRevoked(world, i)
}

function assertStillRevoked ({ postgres }: World, i: number): void {
  if (newestOf(postgres, i).record.revokedAt === null) throw new Violation(`the revocation of key ${i} is lost`)
}

function assertRevoked ({ postgres }: World, i: number): void {
  if (newestOf(postgres, i).record.revokedAt === null) throw new Error(`Key ${i} is not revoked.`)
}

/** Nobody has revoked the key in that database. */
function assertNotRevoked (postgres: ModelPostgres, i: number): void {
  if (newestOf(postgres, i).record.revokedAt !== null) throw new Violation(`key ${i} was revoked there`)
}

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
  },
  {
    name: 'the answer to a renewal of before the commit comes after the acknowledgement',
    without: 'aheadOutlivesOlderAnswer',
    play (world, a, b) {
      untilRenewed(world, b)
      b.holdsAnswers = true
      for (let i = 0; i < 2000 && b.state.renewing === undefined; i++) world.advance(0.1)
      world.advance(4)
      world.change(a, key, revoke)
      world.advance(70)
      world.release(b)
      world.advance(5)
    }
  },
  {
    name: 'a replica that was stopped while the database was set back, and continues when as much has been changed there as it knew',
    without: 'beatChecked',
    play (world, a, b) {
      const dump = world.dump()
      for (const other of [keyOf(1), keyOf(2)]) world.change(a, other, { action: 'change' })
      world.advance(100)
      world.pause(b)
      world.restore(dump)
      world.advance(100)
      for (const other of [key, keyOf(3)]) world.change(a, other, revoke)
      world.advance(20)
      world.resume(b)
      world.advance(100)
    }
  },
  {
    name: 'a key that was read before the renewal that would have told its position, which the database then loses',
    without: 'positionProven',
    play (world, a, b) {
      world.announcementsCut = true
      untilRenewed(world, b)
      const dump = world.dump()
      for (const other of [keyOf(1), keyOf(2)]) world.change(a, other, { action: 'change' })
      world.advance(5)
      world.read(b)
      world.restore(dump)
      world.advance(200)
      for (const other of [key, keyOf(3)]) world.change(a, other, revoke)
      world.advance(1.5 * windowMs)
    }
  },
  {
    name: 'a row in Redis of the timeline before, whose position another change has on the new one',
    without: 'timelineInLabel',
    play (world, a, b) {
      untilRenewed(world, b)
      b.holdsRequests = true
      const standby = world.dump()
      for (const other of [keyOf(1), keyOf(2)]) world.change(a, other, { action: 'change' })
      world.advance(150)
      world.read(a)
      world.promote(standby)
      world.release(b)
      world.advance(600)
      for (const other of [key, keyOf(3)]) world.change(a, other, revoke)
      world.advance(600)
    }
  },
  {
    name: 'a replica that goes on asking the primary that has been replaced',
    without: 'renewalIsAWrite',
    play (world, a, b) {
      world.failOver(b)
      world.advance(50)
      world.change(a, key, revoke)
      world.advance(1.5 * windowMs)
    }
  },
  {
    name: 'a repeat that finds what the standby does not have yet, before the standby takes over',
    without: 'repeatIsAWrite',
    play (world, a, b) {
      untilRenewed(world, b)
      a.holdsAnswers = true
      world.change(a, key, revoke)
      world.advance(3)
      // No renewal is answered in these milliseconds, which would show that the standby has what was committed before it.
      world.change(b, key, revoke)
      for (let i = 0; i < 700 && world.returns.fast === 0; i++) world.advance(0.1)
      world.failOver()
      world.probeAll()
    }
  },
  {
    name: 'a revocation that a failover lost',
    without: 'revocationsHeld',
    play: (world, a) => { loseRevocation(world, a) }
  },
  {
    name: 'a revocation that a failover lost, and the statement that puts it back is under way',
    without: 'heldUntilAnswered',
    play: (world, a) => { loseRevocation(world, a) }
  },
  {
    name: 'a revocation that a failover lost while the only replica that has heard of it had no lineage any more',
    without: 'keptWhenThere',
    play (world, a, b) {
      b.holdsRequests = true
      const standby = world.dump()
      world.change(a, key, revoke)
      world.advance(1.5 * windowMs)
      world.pause(a)
      world.release(b)
      world.advance(200)
      world.promote(standby)
      assertRefused(world, 0)
    }
  },
  {
    name: 'a revocation that was put back, and lost again by a second failover',
    without: 'keptWhenThere',
    play (world, a) {
      const standby = world.dump()
      const { lineage } = standby
      world.change(a, key, revoke)
      world.advance(200)
      world.promote(standby)
      world.advance(200)
      assertRevoked(world, 0)
      // Another lineage is founded, and whoever has heard of it bears that one.
      world.advance(3 * windowMs)
      if (world.postgres.lineage === lineage) throw new Error('No lineage has been founded.')
      world.promote(standby)
      assertRefused(world, 0)
    }
  },
  {
    name: 'a revocation that was heard and put back without any lineage, and lost again by a second failover',
    without: 'keptWhenThere',
    world: { replicas: 3 },
    play (world, a) {
      // The row of the third looks alive, so that nobody founds a lineage meanwhile.
      world.pause(world.replicas[2] as ModelReplica)
      const before = world.dump()
      world.advance(600)
      world.promote(before)
      world.advance(150)
      const standby = world.dump()
      if (a.state.lineage !== undefined) throw new Error('It has a lineage.')
      world.change(a, key, revoke)
      world.advance(150)
      world.promote(standby)
      world.advance(200)
      assertRevoked(world, 0)
      world.promote(standby)
      world.advance(100)
      assertRefused(world, 0)
    }
  },
  {
    name: 'a revocation that the first failover kept, and the second one, to a standby that lagged since before, lost',
    without: 'keptWhenThere',
    play (world, a) {
      const standby = world.dump()
      world.change(a, key, revoke)
      world.advance(200)
      world.failOver()
      world.advance(300)
      assertRevoked(world, 0)
      world.promote(standby)
      assertRefused(world, 0)
    }
  },
  {
    name: 'a revocation that a failover lost after those who heard it had been counted out and admitted again, and the lineage in which they heard it with it',
    without: 'keptWhenThere',
    play (world, a, b) {
      const standby = untilFounded(world)
      world.change(a, key, revoke)
      world.advance(200)
      for (const replica of [a, b]) admitAgain(world, replica)
      world.promote(standby)
      assertRefused(world, 0)
    }
  },
  {
    name: 'a revocation that a failover lost after those who heard it had been counted out and admitted again, and had heard of another one',
    without: 'proofsOfOneId',
    play (world, a, b) {
      const standby = untilFounded(world)
      world.change(a, key, revoke)
      world.advance(200)
      for (const replica of [a, b]) admitAgain(world, replica)
      // Heard under an id that the standby does not know: it says nothing of where the first one belongs.
      world.change(a, keyOf(1), revoke)
      world.advance(200)
      world.promote(standby)
      assertRefused(world, 0)
    }
  },
  {
    name: 'a revocation that a failover lost after those who heard it had given their lineage up',
    without: 'heldWhenGivenUp',
    play (world, a, b) {
      // Both take ids that the standby has never known, and are admitted to the lineage that it has.
      const standby = world.dump()
      for (const replica of [a, b]) {
        world.crash(replica)
        world.advance(800)
      }
      if (a.state.lineage === undefined || b.state.lineage === undefined) throw new Error('They were not admitted.')
      world.change(a, key, revoke)
      world.advance(200)
      world.isDown = true
      world.advance(1.3 * windowMs)
      world.isDown = false
      for (let i = 0; i < 1000 && (a.state.lineage !== undefined || b.state.lineage !== undefined); i++) world.advance(0.5)
      world.promote(standby)
      world.advance(100)
      assertRefused(world, 0)
    }
  },
  {
    name: 'a revocation that a failover lost before two lineages were founded',
    without: 'proofsGrow',
    play (world, a, b) {
      untilRenewed(world, a)
      const standby = world.dump()
      // What it sends from here on is carried out by nobody: the standby knows its newest beat.
      a.holdsRequests = true
      world.change(b, key, revoke)
      world.advance(50)
      world.crash(b)
      world.promote(standby)
      // Others are counted out, found a lineage, and another one after the next failover; its row there has given up the one that it bore.
      for (const [id, row] of world.postgres.members) if (id === a.state.id) world.postgres.members.set(id, { ...row, lineage: undefined })
      Object.assign(world.postgres, { lineage: 'the third', former: 'the second' })
      world.release(a)
      // The one that has just begun has never heard of it.
      world.advance(2 * windowMs)
      assertStillRevoked(world, 0)
    }
  },
  {
    name: 'a revocation that a failover lost, and the lineage in which it was heard with it',
    without: 'putBackBeforeLineage',
    play (world, a) {
      const standby = untilFounded(world)
      world.change(a, key, revoke)
      world.advance(200)
      world.promote(standby)
      assertRefused(world, 0)
    }
  },
  {
    name: 'a replica that heard a revocation in a copy with a lineage of its own, and is led to the original',
    without: 'putBackBeforeLineageWhereKnown',
    world: { clones: 1 },
    play (world) {
      const copy = world.clone()
      const copied = world.replicas.at(-1) as ModelReplica
      world.advance(3 * windowMs)
      if (copy.former !== world.postgres.lineage) throw new Error('The copy has founded no lineage.')
      world.change(copied, key, revoke)
      world.advance(200)
      copied.postgres = world.postgres
      world.advance(2 * windowMs)
      assertNotRevoked(world.postgres, 0)
    }
  },
  {
    name: 'a replica that is led to a database of another lineage',
    without: 'putBackInLineage',
    play (world, a, b) {
      const other = world.clone()
      Object.assign(other, { lineage: 'another', former: 'the one before' })
      world.change(a, key, revoke)
      world.advance(200)
      b.postgres = other
      world.advance(2 * windowMs)
      assertNotRevoked(other, 0)
    }
  },
  {
    name: 'a replica that heard a revocation in a copy without a lineage, and is led to the original',
    without: 'putBackWhereKnown',
    world: { clones: 1 },
    play (world) {
      world.clone()
      const copied = world.replicas.at(-1) as ModelReplica
      world.advance(100)
      world.change(copied, key, revoke)
      world.advance(200)
      copied.postgres = world.postgres
      world.advance(2 * windowMs)
      assertNotRevoked(world.postgres, 0)
    }
  }
]

/** Both have heard of it, and the standby that takes over has not. */
function loseRevocation (world: World, a: ModelReplica): void {
  const standby = world.dump()
  world.change(a, key, revoke)
  world.advance(200)
  world.promote(standby)
  assertRefused(world, 0)
}

/** Tells the story; throws a `Violation` where the promise breaks. */
export function tell (scenario: Scenario, world: World): ModelPostgres {
  untilMembers(world)
  scenario.play(world, world.replica(0), world.replica(1))
  world.probeAll()
  world.heal()
  return world.postgres
}
