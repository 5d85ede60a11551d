import t from 'tap'
import { silentLogger } from '../../../src/core/logger.ts'
import { waitOutMs } from '../../../src/core/window/durations.ts'
import type { WindowStore } from '../../../src/core/window/store.ts'
import { Upkeep } from '../../../src/core/window/upkeep.ts'
import type { Member, Roll } from '../../../src/core/window/waits.ts'
import { HandClock } from './hand-clock.ts'

const windowMs = 10_000
const wait = waitOutMs(windowMs)
/** How often a member that watches the others reads the list of members in so large a fleet. */
const oftenMs = wait / 2
const silent = 'member 120'

/** The upkeep of one of 200 members, which is not among the ten that watch the others; one of the others renews no more. */
function fleet ({ own = 'member 150', reading = async () => {} } = {}) {
  const clock = new HandClock()
  const ids = Array.from({ length: 200 }, (_, i) => `member ${String(i).padStart(3, '0')}`)
  const gone = new Set<string>()
  const reads: number[] = []
  const member = (id: string): Member => ({ id, acked: 0, beat: id === silent ? 'the last' : `beat ${reads.length}`, lineage: 'L', windowMs })
  const roll = (): Roll => ({ sentAt: clock.now, answeredAt: clock.now, seq: 0, lineage: 'L', members: ids.filter((id) => !gone.has(id)).map(member) })
  const store = {
    countOut: async (id: string) => { gone.add(id); return true },
    prune: async () => 0
  } as unknown as WindowStore
  const upkeep = new Upkeep({
    store,
    clock,
    scheduler: clock,
    windowMs,
    log: silentLogger,
    logRowsKept: 1000,
    readRoll: async () => {
      reads.push(clock.now)
      await reading()
      return roll()
    },
    ownRow: () => ({ id: own, beats: ['beat'], isOwnBeat: () => true }),
    lineage: () => 'L',
    admitsUntil: () => undefined,
    onLineageChanged () {}
  })
  upkeep.start()
  return { clock, upkeep, reads, gone }
}

t.test('a member of a large fleet that does not watch the others does so when one has not acknowledged: it reads the list at once and removes the silent member', async (t) => {
  const { clock, upkeep, reads, gone } = fleet()
  await clock.passTo(50_000)
  t.equal(reads.length, 1, 'only at its own start')
  t.strictSame([...gone], [], 'it does not notice the silent member by itself')
  upkeep.watch()
  await clock.passTo(50_000)
  t.strictSame(reads.slice(1), [50_000])
  await clock.passTo(50_000 + wait - 1)
  t.strictSame([...gone], [], 'a member that was seen once may have renewed just before')
  await clock.passTo(50_000 + wait + oftenMs + 1)
  t.strictSame([...gone], [silent], 'and nobody else')
})

t.test('it stops watching three waits after the last change that was not acknowledged', async (t) => {
  const { clock, upkeep, reads } = fleet()
  await clock.passTo(20_000)
  upkeep.watch()
  await clock.passTo(40_000)
  upkeep.watch()
  const end = 40_000 + 3 * wait
  await clock.passTo(end + 50_000)
  const gaps = reads.slice(2).map((at, i) => at - reads[i + 1]!)
  t.ok(gaps.every((gap) => gap <= oftenMs + 1), `${gaps.map(Math.round).join(', ')}`)
  t.ok(reads.at(-1)! > end - oftenMs && reads.at(-1)! <= end + oftenMs, 'watched until then, and read no more after it')
})

t.test('many changes that are not acknowledged cost one reading, not one each', async (t) => {
  const { clock, upkeep, reads } = fleet()
  await clock.passTo(20_000)
  for (let change = 0; change < 100; change++) {
    upkeep.watch()
    await clock.passTo(20_000 + change)
  }
  t.strictSame(reads.slice(1), [20_000])
})

t.test('one that is not acknowledged during a reading starts no second one beside it, and is watched for after it', async (t) => {
  let answer = () => {}
  let isHeld = false
  const { clock, upkeep, reads } = fleet({ reading: async () => { if (isHeld) await new Promise<void>((resolve) => { answer = resolve }) } })
  await clock.passTo(20_000)
  isHeld = true
  upkeep.soon()
  await clock.passTo(20_100)
  upkeep.watch()
  await clock.passTo(20_500)
  t.strictSame(reads.slice(1), [20_000])
  isHeld = false
  answer()
  await clock.passTo(20_500 + oftenMs + 1)
  t.equal(reads.length, 3)
})

t.test('a replica that has left watches nobody', async (t) => {
  const { clock, upkeep, reads } = fleet()
  await clock.passTo(20_000)
  upkeep.stop()
  upkeep.watch()
  await clock.passTo(100_000)
  t.equal(reads.length, 1)
  t.equal(clock.timers.size, 0)
})

t.test('one of the ten members that watch the others reads as often without being told', async (t) => {
  const { clock, reads, gone } = fleet({ own: 'member 003' })
  await clock.passTo(50_000)
  t.ok(reads.length >= Math.floor(49_000 / oftenMs), `${reads.length} readings`)
  t.strictSame([...gone], [silent])
})
