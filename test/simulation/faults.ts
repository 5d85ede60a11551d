import type { ChangeTarget } from '../../src/core/lookup.ts'
import { digests, type Asked, type ModelPostgres } from './model-postgres.ts'
import { windowMs, type World } from './world.ts'

type Act = (world: World, which: number, how: number) => void

const tokensTarget = (how: number, tokens: number): ChangeTarget => ({ kind: 'key', digests: Array.from({ length: tokens }, (_, i) => digests[(how + i) % digests.length]!) })
const keyTarget = (how: number): ChangeTarget => tokensTarget(how, 1)
const workspaceTarget = (how: number): ChangeTarget => ({ kind: 'workspace', workspaceId: `workspace ${how % 3}` })

/** All keys of a workspace are revoked, or those of one owner, or a policy is applied to it. For the log the latter two are changes of the workspace. */
function ofWorkspace (world: World, how: number): Asked {
  if (how % 4 === 2) return { action: 'change', ownerId: `owner ${Math.floor(how / 4) % 2}` }
  if (how % 4 === 3) return { action: 'change', expiresAt: world.time + expiriesMs[Math.floor(how / 4) % 3]!, onlyShortens: true }
  return { action: 'revoke' }
}

const pausesMs = [0.5, 3, 10, 30, 100, 200, windowMs / 2, windowMs]
const expiriesMs = [20, 200, 1500]

/** A dump that may be restored later on, in the worlds where that happens. */
const dumps = new WeakMap<World, ModelPostgres>()

/** What may happen next, and how often. The first is nothing: a failing run shrinks towards it. */
const acts: ReadonlyArray<readonly [weight: number, act: Act]> = [
  [1, () => {}],
  [16, (world, _, how) => world.advance(pausesMs[how % pausesMs.length] as number)],
  // Just before and just after something ends.
  [10, (world, _, how) => {
    const edge = world.nextEdge()
    if (edge !== Infinity) world.advance(edge - world.time + [-0.5, 0.001, 0.5, 15][how % 4]!)
  }],
  [8, (world, which, how) => change(world, which, keyTarget(how), { action: 'revoke' })],
  // A rotation, which is a change of both tokens of a key; or other addresses for a key with one token.
  [3, (world, which, how) => change(world, which, tokensTarget(how, 1 + how % 2), { action: 'change' })],
  // An expiry is moved: to a time soon, or to never; often again, at the same or another replica.
  [4, (world, which, how) => change(world, which, keyTarget(how % 3), { action: 'change', expiresAt: how % 5 === 0 ? null : world.time + expiriesMs[how % 3]! })],
  [1, (world, which, how) => change(world, which, workspaceTarget(how), ofWorkspace(world, Math.floor(how / 3)))],
  [4, (world, which) => world.pause(world.replica(which))],
  [4, (world, which) => world.resume(world.replica(which))],
  [2, (world, which) => { world.replica(which).holdsRequests = true }],
  [3, (world, which) => { world.replica(which).holdsAnswers = true }],
  [4, (world, which) => world.release(world.replica(which))],
  // What was held is lost: carried out or not, nobody hears of it.
  [2, (world, which) => {
    world.replica(which).held.length = 0
    world.release(world.replica(which))
  }],
  [3, (world, which) => world.crash(world.replica(which))],
  [2, (world, which) => {
    world.tell(world.replica(which), { kind: 'leave' })
    world.crash(world.replica(which))
  }],
  [2, (world) => { world.announcementsCut = !world.announcementsCut }],
  [2, (world, which) => { world.replica(which).isDeaf = !world.replica(which).isDeaf }],
  // An old announcement once more.
  [2, (world, which, how) => {
    const old = world.published[how % Math.max(1, world.published.length)]
    if (old !== undefined) world.hear(world.replica(which), old.from, old.announcement)
  }],
  [1, (world, which) => world.tell(world.replica(which), { kind: 'wanted' })],
  [1, (world, _, how) => world.postgres.prune(how % 4)],
  [1, (world) => world.failOver()],
  // A driver that gives statements the answers of others.
  [1, (world, _, how) => { if (!world.swaps.delete(how % 2 === 0 ? 'roll' : 'renewal')) world.swaps.add(how % 2 === 0 ? 'roll' : 'renewal') }],
  [1, (world, _, how) => {
    if (how % 2 === 0) dumps.set(world, world.dump())
    else if (dumps.has(world)) world.restore(dumps.get(world) as ModelPostgres)
  }],
  // A standby that no commit waits for takes over: what it has is a dump of before, or what there is now.
  [1, (world, _, how) => {
    const standby = how % 2 === 0 ? dumps.get(world) ?? world.dump() : world.dump()
    // A standby that lags by more than a replica has lived does not know the replica: docs/failover.md says so.
    if (world.replicas.every(({ state }) => state.id === undefined || standby.members.has(state.id))) world.promote(standby)
  }],
  // Once in a world at most, and only in those that have replicas for it.
  [1, (world) => { world.clone() }]
]

const table = acts.flatMap(([weight, act]) => Array.from({ length: weight }, () => act))

/** Does one of the things that may happen; `choice` decides which, and to whom. */
export function doSomething (world: World, choice: number): void {
  const act = table[choice % table.length] as Act
  const rest = Math.floor(choice / table.length)
  act(world, rest % world.replicas.length, Math.floor(rest / world.replicas.length))
  world.probeAll()
}

/** Sometimes two at once, at two replicas. */
function change (world: World, which: number, target: ChangeTarget, asked: Asked): void {
  const replica = world.replica(which)
  if (replica.isPaused || replica.state.phase === 'left') return
  world.change(replica, target, asked)
  const other = world.replica(which + 1)
  if (!other.isPaused && other.state.phase !== 'left' && world.draw(4) === 0) world.change(other, target, asked)
}
