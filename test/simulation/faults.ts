import type { ChangeTarget } from '../../src/core/lookup.ts'
import { digests } from './model-postgres.ts'
import { windowMs, type World } from './world.ts'

type Act = (world: World, which: number, how: number) => void

const keyTarget = (how: number): ChangeTarget => ({ kind: 'key', digest: digests[how % digests.length] as typeof digests[number] })
const workspaceTarget = (how: number): ChangeTarget => ({ kind: 'workspace', workspaceId: `workspace ${how % 3}` })

const pausesMs = [0.5, 3, 10, 30, 100, 200, windowMs / 2, windowMs]

/** What may happen next, and how often. The first is nothing: a failing run shrinks towards it. */
const acts: ReadonlyArray<readonly [weight: number, act: Act]> = [
  [1, () => {}],
  [16, (world, _, how) => world.advance(pausesMs[how % pausesMs.length] as number)],
  // Just before and just after something ends.
  [10, (world, _, how) => {
    const edge = world.nextEdge()
    if (edge !== Infinity) world.advance(edge - world.time + [-0.5, 0.001, 0.5, 15][how % 4]!)
  }],
  [10, (world, which, how) => revoke(world, which, keyTarget(how))],
  [4, (world, which, how) => world.change(world.replica(which), keyTarget(how), 'change')],
  [1, (world, which, how) => revoke(world, which, workspaceTarget(how))],
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
  [2, (world) => { world.hintsCut = !world.hintsCut }],
  [2, (world, which) => { world.replica(which).isDeaf = !world.replica(which).isDeaf }],
  // An old hint once more.
  [2, (world, which, how) => {
    const hint = world.published[how % Math.max(1, world.published.length)]
    if (hint !== undefined) world.hint(world.replica(which), hint.event)
  }],
  [1, (world, which) => world.tell(world.replica(which), { kind: 'wanted' })],
  [1, (world, _, how) => world.postgres.prune(how % 4)],
  [1, (world) => world.failOver()]
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
function revoke (world: World, which: number, target: ChangeTarget): void {
  const { replicas } = world
  const replica = world.replica(which)
  if (replica.isPaused) return
  world.change(replica, target, 'revoke')
  const other = world.replica(which + 1)
  if (replicas.length > 1 && !other.isPaused && world.draw(4) === 0) world.change(other, target, 'revoke')
}
