import t from 'tap'
import { LastUsedBatcher } from '../../src/core/last-used.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { turn } from '../contract-suites/lookup.ts'

/** A batcher whose writes end when the test says so. */
function setup ({ keysMax = 100, closeTimeoutMs = 2000 } = {}) {
  const time = { now: 0 }
  const writes: Array<{ ages: Record<string, number>, succeed (): void, fail (): void }> = []
  const batcher = new LastUsedBatcher({
    clock: { monotonicMs: () => time.now },
    log: silentLogger,
    flushEveryMs: 3_600_000,
    keysMax,
    closeTimeoutMs,
    record: (ages) => new Promise((resolve, reject) => {
      writes.push({ ages: Object.fromEntries(ages), succeed: resolve, fail: () => reject(new Error('away')) })
    })
  })
  return { time, writes, batcher }
}

t.test('many uses of few keys are one write of the last of each, as ages', async (t) => {
  const { time, writes, batcher } = setup()
  for (let now = 0; now < 1000; now++) batcher.note(`k${now % 3}`, now)
  time.now = 1000
  const flushed = batcher.flush()
  batcher.flush()
  t.same(writes.map(({ ages }) => ages), [{ k0: 1, k1: 3, k2: 2 }])
  writes[0]!.succeed()
  await flushed
  await batcher.flush()
  t.equal(writes.length, 1, 'nothing noted, nothing written')
  t.match(batcher.stats(), { flushed: 3, flushes: 1, dropped: 0, pending: 0 })
})

t.test('what failed is written again, older uses never over newer ones, and beyond the bound it is dropped and counted', async (t) => {
  const { time, writes, batcher } = setup({ keysMax: 3 })
  batcher.note('a', 0); batcher.note('b', 0)
  const first = batcher.flush()
  batcher.note('a', 5); batcher.note('c', 5); batcher.note('d', 5); batcher.note('e', 5)
  writes[0]!.fail()
  await first
  t.match(batcher.stats(), { pending: 3, dropped: 2, failures: 1 })
  time.now = 10
  const second = batcher.flush()
  t.same(writes[1]!.ages, { a: 5, c: 5, d: 5 })
  writes[1]!.succeed()
  await second
})

t.test('close writes what is left, and a database that does not answer does not hold it up', async (t) => {
  const { writes, batcher } = setup({ closeTimeoutMs: 20 })
  batcher.note('a', 0)
  const flushing = batcher.flush()
  batcher.note('b', 0)
  const closing = batcher.close()
  writes[0]!.succeed()
  await flushing
  await closing
  t.same(writes.map(({ ages }) => Object.keys(ages)), [['a'], ['b']])
})

t.test('many keys do not wait for the timer, and are written part by part', async (t) => {
  const { writes, batcher } = setup({ keysMax: 50_000 })
  for (let i = 0; i < 24_999; i++) batcher.note(`k${i}`, 0)
  t.equal(writes.length, 0)
  batcher.note('k0', 1)
  t.equal(writes.length, 0, 'a key more counts, not a use more')
  batcher.note('k24999', 0)
  for (const [i, keys] of [10_000, 10_000, 5000].entries()) {
    t.equal(writes.length, i + 1)
    t.equal(Object.keys(writes[i]!.ages).length, keys)
    writes[i]!.succeed()
    await turn()
  }
  t.match(batcher.stats(), { pending: 0, flushed: 25_000, flushes: 3, dropped: 0 })
})

t.test('when a part of them is not written, none is given up', async (t) => {
  const { writes, batcher } = setup({ keysMax: 50_000 })
  for (let i = 0; i < 15_000; i++) batcher.note(`k${i}`, 0)
  const flushed = batcher.flush()
  writes[0]!.succeed()
  await turn()
  writes[1]!.fail()
  await flushed
  t.equal(batcher.stats().pending, 15_000)
})
