import t from 'tap'
import type { Digest } from '../../../src/core/key-record.ts'
import { silentLogger } from '../../../src/core/logger.ts'
import { Acknowledgements } from '../../../src/core/window/acknowledgements.ts'
import type { WindowStore } from '../../../src/core/window/store.ts'
import type { Member } from '../../../src/core/window/waits.ts'
import { HandClock } from './hand-clock.ts'

const change = { seq: 5, action: 'revoke', target: { kind: 'key', digests: ['k'.repeat(32) as Digest] }, committedAt: 0, windowMs: 1000 } as const

t.test('a wait that ends by the acknowledgement that its own second asking brings about asks for nothing more', async (t) => {
  const clock = new HandClock()
  const me: Member = { id: 'me', acked: 0, beat: 'beat', lineage: 'L', windowMs: 1000 }
  let [asked, read] = [0, 0]
  const store = { roll: async () => { read++; return { seq: 5, lineage: 'L', members: [me] } } } as unknown as WindowStore
  const acknowledgements: Acknowledgements = new Acknowledgements({
    store,
    clock: { monotonicMs: () => clock.monotonicMs(), now: () => 0 } as never,
    scheduler: clock,
    mode: 'all',
    log: silentLogger,
    pauseMaxMs: () => 100,
    ownRow: () => ({ id: 'me', beats: ['beat'], isOwnBeat: () => true }),
    slowUntil: () => -Infinity,
    // This replica takes the first announcement for one of another history, and acknowledges the second in the turn in which it is told.
    announce: ({ nonce, change: { seq } }) => { if (asked++ > 0) acknowledgements.acknowledged({ from: 'me', label: 'L', seq, nonce: nonce! }) },
    counted () {}
  })
  let path: string | undefined
  acknowledgements.inForce(change).then((ended) => { path = ended }, () => {})
  await clock.passTo(60)
  t.equal(path, 'fast')
  t.equal(clock.timers.size, 0, 'and keeps no process from ending')
  const before = { asked, read }
  await clock.passTo(900)
  t.strictSame({ asked, read }, before)
})

t.test('a wait that ends leaves the others to be waited out', async (t) => {
  const clock = new HandClock()
  const members: Member[] = [{ id: 'me', acked: 5, beat: 'beat', lineage: 'L', windowMs: 1000 }]
  const acknowledgements = new Acknowledgements({
    store: { roll: async () => ({ seq: 9, lineage: 'L', members }) } as unknown as WindowStore,
    clock,
    scheduler: clock,
    mode: 'postgres',
    log: silentLogger,
    pauseMaxMs: () => 100,
    ownRow: () => ({ id: 'me', beats: ['beat'], isOwnBeat: () => true }),
    slowUntil: () => -Infinity,
    announce () {},
    counted () {}
  })
  const ended: Record<number, string> = {}
  for (const seq of [5, 6]) acknowledgements.inForce({ ...change, seq, committedAt: 0.5 }).then((path) => { ended[seq] = `${path} at ${clock.now > 1000 ? 'the end' : 'once'}` }, () => {})
  await clock.passTo(500)
  t.strictSame(ended, { 5: 'fast at once' })
  await clock.passTo(1200)
  t.strictSame(ended, { 5: 'fast at once', 6: 'slow at the end' })
  t.equal(clock.timers.size, 0)
})

t.test('who has not acknowledged is asked again after 50 ms, or where acknowledgements take longer, after half as long again', async (t) => {
  const clock = new HandClock()
  const members = ['me', 'far'].map((id): Member => ({ id, acked: 0, beat: 'beat', lineage: 'L', windowMs: 10_000 }))
  const asked: Array<{ readonly at: number, readonly renew: unknown }> = []
  const acknowledgements: Acknowledgements = new Acknowledgements({
    store: { roll: async () => ({ seq: 9, lineage: 'L', members }) } as unknown as WindowStore,
    clock,
    scheduler: clock,
    mode: 'all',
    log: silentLogger,
    pauseMaxMs: () => 500,
    ownRow: () => ({ id: 'me', beats: ['beat'], isOwnBeat: () => true }),
    slowUntil: () => -Infinity,
    announce: ({ nonce, renew, change: { seq } }) => {
      asked.push({ at: clock.now, renew })
      acknowledgements.acknowledged({ from: 'me', label: 'L', seq, nonce: nonce! })
      // The way there and back takes 160 ms.
      if (renew === 'none') clock.after(160, () => { acknowledgements.acknowledged({ from: 'far', label: 'L', seq, nonce: nonce! }) })
    },
    counted () {}
  })
  const askedFor = async (seq: number): Promise<typeof asked> => {
    const from = clock.now
    asked.length = 0
    const ended = acknowledgements.inForce({ ...change, seq, committedAt: from - 0.5, windowMs: 10_000 })
    await clock.passTo(from + 450)
    t.equal(await ended, 'fast')
    return asked.map(({ at, renew }) => ({ at: at - from, renew }))
  }
  t.strictSame(await askedFor(5), [{ at: 0, renew: 'none' }, { at: 50, renew: ['far'] }, { at: 150, renew: ['far'] }])
  t.strictSame(await askedFor(6), [{ at: 0, renew: 'none' }], 'nobody renews for it once the way is known')
})
