import { stat } from 'node:fs/promises'
import { mock } from 'node:test'
import fc from 'fast-check'
import t from 'tap'
import type { RateLimit } from '../../src/core/key-record.ts'
import { RateLimiter } from '../../src/core/rate-limiter.ts'
import type { Settled, Settlement, SharedRates } from '../../src/core/rate-shares.ts'
import { turn } from '../contract-suites/lookup.ts'
import { standStill } from '../support/stand-still.ts'
import { until } from '../support/until.ts'
import { Random } from '../torture/random.ts'

const minute: RateLimit = { requests: 10, windowSeconds: 60 }

/** A shared bucket as the script in Redis keeps it, on a clock of the test's. */
class ModelRates implements SharedRates {
  readonly time: { now: number }
  fullAt = 0
  settled = 0
  listeners: Array<(backlogMs: number) => void> = []
  answer: (settled: readonly Settled[]) => Promise<readonly Settled[]> = async (settled) => settled

  constructor (time: { now: number }) {
    this.time = time
  }

  async settle (requests: readonly Settlement[]): Promise<readonly Settled[]> {
    this.settled += requests.length
    return await this.answer(requests.map(({ limit, debt, debtAgeMs, want, announces }) => {
      const { now } = this.time
      const intervalMs = limit.windowSeconds * 1000 / limit.requests
      let fullAt = Math.max(this.fullAt, now - debtAgeMs) + debt * intervalMs
      const room = Math.floor((now + limit.requests * intervalMs - fullAt) / intervalMs + 1e-6)
      const granted = want > 0 ? Math.max(0, Math.min(want, room)) : want
      fullAt = Math.max(now, fullAt + granted * intervalMs)
      this.fullAt = fullAt
      if (announces) for (const tell of this.listeners) tell(fullAt - now)
      return { granted, backlogMs: fullAt - now }
    }))
  }
}

/** Replicas that share a bucket, each told of the others' announcements. */
function replicas (count: number) {
  const time = { now: 0 }
  const shared = new ModelRates(time)
  const limiters: RateLimiter[] = []
  const more = () => {
    const limiter = new RateLimiter({ clock: { monotonicMs: () => time.now }, shared, replicas: () => limiters.length })
    limiters.push(limiter)
    shared.listeners.push((backlogMs) => { limiter.heard('k', backlogMs, time.now) })
  }
  for (let i = 0; i < count; i++) more()
  const take = (i: number, limit: RateLimit) => limiters[i]!.take('k', limit, time.now).isAllowed
  return { time, shared, limiters, take, more }
}

/** Replicas whose reports, answers and announcements are each on the way until `deliver` lets them go, in order on each connection, with this chance. */
function lateReplicas (count: number, { chance, seed }: { chance: number, seed: number }) {
  const random = new Random(seed)
  const time = { now: 0 }
  const shared = new ModelRates(time)
  let onTheWay: Array<{ connection: string, arrive: () => void }> = []
  const travel = async (connection: string) => { await new Promise<void>((resolve) => { onTheWay.push({ connection, arrive: resolve }) }) }
  const limiters = Array.from({ length: count }, (_, i) => new RateLimiter({
    clock: { monotonicMs: () => time.now },
    shared: {
      async settle (requests) {
        await travel(`to ${i}`)
        const settled = await shared.settle(requests)
        await travel(`from ${i}`)
        return settled
      }
    },
    replicas: () => count
  }))
  shared.listeners = limiters.map((limiter, i) => (backlogMs) => {
    onTheWay.push({ connection: `announcements to ${i}`, arrive: () => { limiter.heard('k', backlogMs, time.now) } })
  })
  return {
    time,
    take: (i: number, limit: RateLimit) => limiters[i]!.take('k', limit, time.now).isAllowed,
    deliver () {
      const [before, held] = [onTheWay, new Set<string>()]
      onTheWay = []
      for (const one of before) {
        if (held.has(one.connection) || !random.chance(chance)) {
          held.add(one.connection)
          onTheWay.push(one)
        } else {
          one.arrive()
        }
      }
    }
  }
}

t.test('one replica: exactly the limit at once, then one use for each part of the window, and it says when', async (t) => {
  const time = { now: 0 }
  const limiter = new RateLimiter({ clock: { monotonicMs: () => time.now } })
  const take = () => limiter.take('k', minute, time.now)
  for (let left = 9; left >= 0; left--) t.match(take(), { isAllowed: true, remaining: left })
  t.match(take(), { isAllowed: false, remaining: 0, retryAfterS: 6, resetS: 60 })
  time.now = 5999
  t.match(take(), { isAllowed: false, retryAfterS: 1 })
  time.now = 6000
  t.match(take(), { isAllowed: true, remaining: 0 })
  t.match(take(), { isAllowed: false, retryAfterS: 6 })
  time.now = 1_000_000
  for (let i = 0; i < 10; i++) t.ok(take().isAllowed)
  t.notOk(take().isAllowed)
})

t.test('the seconds that it says are not one more by the rounding of parts of seconds', (t) => {
  for (let requests = 1; requests <= 60; requests++) {
    for (let windowSeconds = 1; windowSeconds <= 60; windowSeconds++) {
      const now = 12_345.678
      const limiter = new RateLimiter({ clock: { monotonicMs: () => now } })
      const decisions = Array.from({ length: requests + 1 }, () => limiter.take('k', { requests, windowSeconds }, now))
      const [last, refused] = decisions.slice(-2)
      if (last?.resetS !== windowSeconds || last.remaining !== 0 || refused?.isAllowed !== false || refused.retryAfterS !== Math.ceil(windowSeconds / requests)) t.fail(`${requests} in ${windowSeconds} s`, { last, refused })
    }
  }
  t.pass('3,600 limits')
  t.end()
})

t.test('in any stretch of time no more passes than the limit of that stretch and a bucket', (t) => {
  fc.assert(fc.property(
    fc.record({ requests: fc.integer({ min: 1, max: 50 }), windowSeconds: fc.integer({ min: 1, max: 100 }) }),
    fc.array(fc.integer({ min: 0, max: 3000 }), { maxLength: 300 }),
    (limit, waits) => {
      const limiter = new RateLimiter({ clock: { monotonicMs: () => 0 } })
      let now = 0
      const passed: number[] = []
      for (const wait of waits) {
        now += wait
        if (limiter.take('k', limit, now).isAllowed) passed.push(now)
      }
      const perMs = limit.requests / (limit.windowSeconds * 1000)
      for (let i = 0; i < passed.length; i++) {
        for (let j = i; j < passed.length; j++) {
          if (j - i + 1 > limit.requests + (passed[j]! - passed[i]!) * perMs + 1e-6) return false
        }
      }
      return true
    }
  ))
  t.end()
})

t.test('a limit that is changed counts from then on, and what was used before is not forgiven', async (t) => {
  const limiter = new RateLimiter({ clock: { monotonicMs: () => 0 } })
  for (let i = 0; i < 10; i++) limiter.take('k', minute, 0)
  t.notOk(limiter.take('k', { requests: 20, windowSeconds: 60 }, 0).isAllowed, 'the bucket is empty for a minute')
  t.match(limiter.take('k', { requests: 5, windowSeconds: 1 }, 0), { isAllowed: false, retryAfterS: 1 }, 'and never for longer than the new window')
  t.ok(limiter.take('k', { requests: 5, windowSeconds: 1 }, 200).isAllowed)
})

t.test('an even load on replicas that know nothing of the key passes whole, in one turn or in many', async (t) => {
  for (const count of [2, 3, 5]) {
    for (const awaits of [false, true]) {
      const { take, time } = replicas(count)
      time.now = 10_000
      let passed = 0
      for (let i = 0; i < 30; i++) {
        if (take(i % count, { requests: 30, windowSeconds: 60 })) passed++
        if (awaits) await turn()
      }
      t.equal(passed, 30, `${count} replicas, ${awaits ? 'many turns' : 'one turn'}`)
      for (let round = 0; round < 3; round++) {
        await turn()
        for (let i = 0; i < count; i++) if (take(i, { requests: 30, windowSeconds: 60 })) passed++
      }
      t.ok(passed <= 30 + count, `${passed - 30} beyond it, at most a chunk of one for each`)
    }
  }
})

t.test('an uneven load passes up to the limit and at most a chunk for each replica beyond it', async (t) => {
  const limit = { requests: 100, windowSeconds: 60 }
  const { take } = replicas(3)
  let passed = 0
  for (let i = 0; i < 95; i++) {
    if (take(0, limit)) passed++
    await turn()
  }
  t.ok(passed >= 90, `${passed} of 95 by one replica`)
  for (let i = 0; i < 200; i++) {
    if (take(i % 3, limit)) passed++
    await turn()
  }
  t.ok(passed >= 97 && passed <= 110 + 3, `${passed} of 295 against a limit of 100`)
})

t.test('a load with long pauses passes no more than one without, however it is spread over the replicas', async (t) => {
  const limit = { requests: 100, windowSeconds: 86_400 }
  const spreads: ReadonlyArray<readonly number[]> = [[0, 1, 2], [0, 0, 0, 0, 1], [...Array<number>(150).fill(0), ...Array<number>(150).fill(1)]]
  for (const pauseMs of [900, 1100, 5000]) {
    for (const turns of spreads) {
      const { take, time } = replicas(3)
      let passed = 0
      for (let i = 0; i < 450; i++) {
        if (take(turns[i % turns.length]!, limit)) passed++
        await turn()
        time.now += pauseMs
      }
      const flowedIn = 450 * pauseMs * limit.requests / (limit.windowSeconds * 1000)
      t.ok(passed >= 95 && passed <= 110 + 3 + flowedIn, `${passed} with pauses of ${pauseMs} ms, ${turns.slice(0, 5).join(' ')} …`)
    }
  }
})

t.test('however late reports, answers and announcements arrive, no more than a chunk for each replica passes above the limit', async (t) => {
  // Time passes only in the model. On a busy machine a real timer would take an answer for one that does not come, and then each replica decides alone.
  mock.timers.enable({ apis: ['setTimeout', 'setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  const spreads = { 'by turns': [0, 1, 2], 'nine of ten at one': [...Array<number>(9).fill(0), 1], 'one after another': [1, 0, 1].flatMap((at) => Array<number>(120).fill(at)) }
  for (const [spread, turns] of Object.entries(spreads)) {
    for (const [requests, most, chance] of [120, 60].flatMap((requests) => [1, 0.5, 0.2].map((chance) => [requests, Math.floor(1.1 * requests) + requests / 30, chance] as const))) {
      const limit = { requests, windowSeconds: 86_400 }
      // The last two were one beyond it while a whole chunk was given on credit.
      for (const seed of [1, 2, 3, 4, 5, 6, 7, 8, 66, 86]) {
        const { take, deliver, time } = lateReplicas(3, { chance, seed })
        let passed = 0
        for (let i = 0; i < 360; i++) {
          if (take(turns[i % turns.length]!, limit)) passed++
          time.now += 2
          deliver()
          await turn()
        }
        if (passed < 0.9 * requests || passed > most) t.fail(`${passed} of 360 passed of ${requests}, ${spread}, delivered with a chance of ${chance}, seed ${seed}`)
      }
    }
    t.pass(spread)
  }
})

t.test('once one replica is beyond its share, the others let no whole share through at once', async (t) => {
  const limit = { requests: 120, windowSeconds: 86_400 }
  const { take } = replicas(3)
  let passed = 0
  for (let i = 0; i < 75; i++) {
    if (take(0, limit)) passed++
    await turn()
  }
  for (let i = 0; i < 40; i++) for (const at of [1, 2]) if (take(at, limit)) passed++
  for (let i = 0; i < 200; i++) {
    if (take(i % 3, limit)) passed++
    await turn()
  }
  t.ok(passed >= 120 - 3 * 4 && passed <= 120 + 3 * 4, `${passed} passed`)
})

t.test('an announcement that overtakes the answer to a report counts', async (t) => {
  const limit = { requests: 100, windowSeconds: 86_400 }
  const { take, shared, limiters, time } = replicas(2)
  let answer = () => {}
  shared.answer = async (settled) => { await new Promise<void>((resolve) => { answer = resolve }); return settled }
  for (let i = 0; i < 5; i++) t.ok(take(0, limit))
  await turn()
  limiters[0]!.heard('k', limit.windowSeconds * 1000, time.now)
  answer()
  await turn()
  t.notOk(take(0, limit), 'the other replica has announced that nothing is left')
})

t.test('a replica that is alone refuses nothing that the limit allows, whenever it reports', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  await fc.assert(fc.asyncProperty(
    fc.record({ requests: fc.integer({ min: 1, max: 50 }), windowSeconds: fc.integer({ min: 1, max: 60 }) }),
    fc.array(fc.record({ uses: fc.integer({ min: 1, max: 30 }), stepsMs: fc.array(fc.integer({ min: 1, max: 18 }), { maxLength: 60 }), pausesMs: fc.array(fc.integer({ min: 1, max: 500 }), { maxLength: 8 }) }), { maxLength: 12 }),
    async (limit, bursts) => {
      const { take, deliver, time } = lateReplicas(1, { chance: 1, seed: 1 })
      const alone = new RateLimiter({ clock: { monotonicMs: () => time.now } })
      for (const { uses, stepsMs, pausesMs } of bursts) {
        for (let i = 0; i < uses; i++) if (take(0, limit) !== alone.take('k', limit, time.now).isAllowed) return false
        for (const ms of [3, ...stepsMs, 3, 3, ...pausesMs.flatMap((ms) => [ms, 3, 3])]) {
          time.now += ms
          mock.timers.tick(ms)
          deliver()
          await turn()
        }
      }
      return true
    }
  ), {
    numRuns: 60,
    // A use that waits for its report has become free again before the whole limit is used at once.
    examples: [[{ requests: 20, windowSeconds: 1 }, [{ uses: 1, stepsMs: [], pausesMs: [] }, { uses: 1, stepsMs: [], pausesMs: [1, 69] }, { uses: 20, stepsMs: [], pausesMs: [] }]]]
  })
})

t.test('uses count from when they were let through, not from when they were reported', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  const limit = { requests: 40, windowSeconds: 4 }
  const { take, time } = replicas(1)
  t.ok(take(0, limit), 'reported at once')
  await turn()
  time.now = 5000
  for (let i = 0; i < 3; i++) t.ok(take(0, limit), 'less than a chunk: reported with the timer')
  time.now = 5500
  mock.timers.tick(500)
  await turn()
  for (let i = 0; i < 40; i++) t.ok(take(0, limit), 'the bucket is full again')
  t.notOk(take(0, limit))
})

t.test('a clock of Redis that a slow way made differ refuses nothing that the limit allows', async (t) => {
  const limit = { requests: 10, windowSeconds: 10 }
  const { take, deliver, time } = lateReplicas(1, { chance: 1, seed: 1 })
  const arrive = async () => { deliver(); await turn() }
  t.ok(take(0, limit))
  await turn()
  time.now = 20
  await arrive()
  await arrive()
  time.now = 500
  for (let i = 0; i < 9; i++) t.ok(take(0, limit))
  await turn()
  await arrive()
  await arrive()
  t.notOk(take(0, limit))
  time.now = 1000
  t.ok(take(0, limit))
})

t.test('what a replica let through while it was alone counts for those that come after it', async (t) => {
  const limit = { requests: 100, windowSeconds: 86_400 }
  const { take, more } = replicas(1)
  for (let i = 0; i < 100; i++) {
    t.ok(take(0, limit))
    await turn()
  }
  more()
  let passed = 0
  for (let i = 0; i < 100; i++) {
    if (take(1, limit)) passed++
    await turn()
  }
  t.ok(passed <= 10, `${passed} more passed: those of a chunk that the first one had not reported`)
})

t.test('a use that another replica has given back is had by the second try at the latest', async (t) => {
  const limit = { requests: 100, windowSeconds: 86_400 }
  const { take, limiters, time } = replicas(2)
  let passed = 0
  for (; passed < 97; passed++) { t.ok(take(0, limit)); await turn() }
  t.notOk(take(1, limit), 'the other one holds what is left')
  await turn()
  await limiters[0]!.close()
  time.now += 2000
  t.notOk(take(1, limit), 'it has not heard of that')
  await turn()
  t.ok(take(1, limit))
})

t.test('what a replica took in advance and does not use is given back', async (t) => {
  const limit = { requests: 100, windowSeconds: 60 }
  const { take, limiters, shared, time } = replicas(2)
  for (let i = 0; i < 60; i++) { take(0, limit); await turn() }
  const before = shared.fullAt
  await limiters[0]!.close()
  t.ok(shared.fullAt < before, 'the shared bucket is fuller than before')
  t.equal(Math.round((shared.fullAt - time.now) / 600), 60, 'and holds all but what was used')
  await limiters[1]!.close()
})

t.test('within its share a replica reports what it let through a chunk at a time, and the rest within a moment', async (t) => {
  const limit = { requests: 1000, windowSeconds: 60 }
  const { take, shared, time } = replicas(2)
  for (let i = 0; i < 120; i++) {
    t.ok(take(0, limit))
    await turn()
  }
  t.equal(shared.settled, 3, 'the first use, and a tenth of its share each time')
  t.equal(Math.round((shared.fullAt - time.now) / 60), 101)
  await until(() => Math.round((shared.fullAt - time.now) / 60) === 120)
})

t.test('what was let through while a report was under way is reported after it', async (t) => {
  const limit = { requests: 1000, windowSeconds: 60 }
  const { take, shared, time, limiters } = replicas(2)
  let answer = () => {}
  shared.answer = async (settled) => { await new Promise<void>((resolve) => { answer = resolve }); return settled }
  for (let i = 0; i < 50; i++) take(0, limit)
  await turn()
  for (let i = 0; i < 7; i++) take(0, limit)
  shared.answer = async (settled) => settled
  answer()
  await turn()
  await limiters[0]!.close()
  t.equal(Math.round((shared.fullAt - time.now) / 60), 57)
})

t.test('a store that does not answer, or fails, costs nobody a wait and refuses nothing that the limit allows', async (t) => {
  const { take, shared, time, limiters } = replicas(2)
  shared.answer = async () => { throw new Error('away') }
  let passed = 0
  for (let i = 0; i < 20; i++) {
    if (take(0, minute)) passed++
    await turn()
  }
  t.equal(passed, 10, 'the whole limit, by this replica alone')
  t.ok(limiters[0]!.stats().failures > 0)
  shared.answer = async (settled) => settled
  time.now += 60_000
  for (let i = 0; i < 4; i++) t.ok(take(0, minute))
  await turn()
  t.ok(shared.fullAt > time.now, 'once it is back, it is settled with again')
})

/** Replicas of which one settles with a store that answers late, when `answer` is called. */
function oneLateReplica () {
  const { shared, ...others } = replicas(2)
  const late = { answer: () => {} }
  shared.answer = async (settled) => {
    await new Promise<void>((resolve) => { late.answer = resolve })
    return settled
  }
  return { ...others, shared, late }
}

t.test('an answer that is late counts, and from then on the limit is shared again', async (t) => {
  const limit = { requests: 100, windowSeconds: 86_400 }
  const { take, shared, limiters, late } = oneLateReplica()
  t.ok(take(0, limit), 'reported at once')
  await turn()
  const passed = { before: 1, late: 0, after: 0 }
  for (let i = 0; i < 80; i++) if (take(0, limit)) passed.before++
  t.equal(passed.before, 50, 'its share')
  await until(() => limiters[0]!.stats().failures > 0)
  for (let i = 0; i < 20; i++) if (take(0, limit)) passed.late++
  t.equal(passed.late, 20, 'beyond its share too: it decides alone')
  shared.answer = async (settled) => settled
  late.answer()
  await turn()
  t.equal(limiters[0]!.stats().failures, 1)
  t.equal(Math.round(shared.fullAt / 864_000), 50, 'what it had let through within its share is reported at once')
  for (let i = 0; i < 200; i++) {
    if (take(i % 2, limit)) passed.after++
    await turn()
  }
  const { before, after } = passed
  t.ok(before + after >= 95 && before + after <= 110, `${before} and ${after} passed of 100, beside those while it was alone`)
})

t.test('uses that were let through long ago, while the store was away, are not reported', async (t) => {
  const limit = { requests: 100, windowSeconds: 86_400 }
  const { take, time, limiters, shared, late } = oneLateReplica()
  t.ok(take(0, limit))
  await turn()
  await until(() => limiters[0]!.stats().failures > 0)
  for (let i = 0; i < 20; i++) t.ok(take(0, limit))
  time.now += 1001
  // It looks again twice a second.
  await new Promise((resolve) => { setTimeout(resolve, 600) })
  shared.answer = async (settled) => settled
  late.answer()
  await turn()
  t.equal(Math.round(shared.fullAt / 864_000), 1, 'only the first one')
})

t.test('what has arrived while the event loop stood still is not late', async (t) => {
  const { take, shared, limiters } = replicas(1)
  // It arrives as what a socket brings does.
  shared.answer = async (settled) => { await stat(import.meta.filename); return settled }
  t.ok(take(0, minute))
  await turn()
  standStill(150)
  await new Promise((resolve) => { setTimeout(resolve, 100) })
  t.match(limiters[0]!.stats(), { settlements: 1, failures: 0 })
})

t.test('a replica whose store failed once finds out by itself that it is back, before its keys are used again', async (t) => {
  const { take, shared, time } = replicas(2)
  shared.answer = async () => { throw new Error('late') }
  t.ok(take(0, minute))
  await turn()
  shared.answer = async (settled) => settled
  time.now += 1000
  const before = shared.settled
  await until(() => shared.settled > before)
  for (let i = 0; i < 30; i++) {
    take(1, minute)
    await turn()
  }
  t.notOk(take(0, minute), 'nothing is left, and it knows')
})

t.test('however many keys there are, no more are remembered than the bound, and those in use stay', async (t) => {
  const limiter = new RateLimiter({ clock: { monotonicMs: () => 0 }, keysMax: 100 })
  const hour = { requests: 10, windowSeconds: 3600 }
  for (let i = 0; i < 10; i++) limiter.take('busy', hour, 0)
  for (let i = 0; i < 1000; i++) limiter.take(`key ${i}`, { requests: 10, windowSeconds: 1 }, i * 200)
  t.equal(limiter.stats().keys, 100)
  t.notOk(limiter.take('busy', hour, 0).isAllowed)
})

t.test('nonsense from the shared store never shuts a key out for longer than two windows', async (t) => {
  const { take, shared, time } = replicas(2)
  shared.answer = async (settled) => settled.map(() => ({ granted: 1e9, backlogMs: 1e15 }))
  take(0, minute)
  await turn()
  shared.answer = async (settled) => settled
  time.now += 120_001
  t.ok(take(0, minute))
})
