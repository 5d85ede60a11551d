import t from 'tap'
import { renewalPeriodMs, waitOutMs } from '../../../src/core/window/durations.ts'
import { allGuards } from '../../../src/core/window/guards.ts'
import { noSightings, sight } from '../../../src/core/window/reaper.ts'
import { settled, type Member } from '../../../src/core/window/waits.ts'

const member = (values: Partial<Member> = {}): Member => ({ id: 'one', acked: 7, renewals: 1, windowMs: 1000, ...values })
const wait = {
  change: { seq: 7, action: 'revoke' as const, target: { kind: 'everything' as const }, committedAt: 100, windowMs: 1000 },
  known: new Set<string>()
}
const W = waitOutMs(1000)

t.test('W waits the slowest allowed clock out on the fastest, and P is a twentieth of D between 100 and 500 ms', async (t) => {
  t.equal(waitOutMs(10_000), 10_000 * 1.01 / 0.99 + 50)
  t.strictSame([1000, 4000, 10_000, 60_000].map(renewalPeriodMs), [100, 200, 500, 500])
})

t.test('a wait ends when every living member has acknowledged, as read after the commit, or when W is over', async (t) => {
  const roll = (members: Member[], sentAt = 101) => ({ sentAt, answeredAt: sentAt + 1, members })
  for (const { when, now, read, path } of [
    { when: 'nothing has been read', now: 101, read: undefined, path: undefined },
    { when: 'the only member has acknowledged', now: 102, read: roll([member()]), path: 'fast' },
    { when: 'there is no member at all', now: 102, read: roll([]), path: 'fast' },
    { when: 'one of two has not', now: 102, read: roll([member(), member({ id: 'two', acked: 6 })]), path: undefined },
    { when: 'the members were read before the commit', now: 102, read: roll([], 99), path: undefined },
    { when: 'the members were read at the very moment of the commit', now: 102, read: roll([], 100), path: undefined },
    { when: 'W is nearly over', now: 100 + W - 0.001, read: undefined, path: undefined },
    { when: 'W is over, whoever has acknowledged', now: 100 + W, read: roll([member({ acked: 0 })]), path: 'slow' }
  ]) t.equal(settled(wait, now, read, allGuards), path, when)
})

t.test('a member is silent when it was not seen to renew for W of its own window, counted from the answer', async (t) => {
  const see = (before: typeof noSightings, sentAt: number, renewals: number) => sight(before, { sentAt, answeredAt: sentAt + 40, members: [member({ renewals })] }, { guards: allGuards, gapMaxMs: Infinity })
  const first = see(noSightings, 0, 1)
  t.strictSame(first.silent, [])
  t.strictSame(see(first.sightings, W + 39, 1).silent, [], 'the last renewal may be as young as the answer')
  t.strictSame(see(first.sightings, W + 40, 1).silent.map(({ id, renewals }) => [id, renewals]), [['one', 1]])
  const renewed = see(first.sightings, W + 40, 2)
  t.strictSame(renewed.silent, [])
  t.strictSame(see(renewed.sightings, W + 100, 2).silent, [], 'counted anew from the last change')
})

t.test('after an outage that is longer than W nobody is silent for not having renewed in it', async (t) => {
  const see = (before: typeof noSightings, sentAt: number) => sight(before, { sentAt, answeredAt: sentAt + 40, members: [member()] }, { guards: allGuards, gapMaxMs: 1250 })
  const first = see(noSightings, 0)
  const back = see(first.sightings, 10_000)
  t.strictSame(back.silent, [], 'nobody could renew')
  t.strictSame(see(back.sightings, 11_000).silent, [], 'W has begun anew')
  t.strictSame(see(see(back.sightings, 11_000).sightings, 10_040 + W).silent.map(({ id }) => id), ['one'], 'who does not come back is counted out')
  t.strictSame(see(first.sightings, 40 + 1250).silent.map(({ id }) => id), ['one'], 'a slow answer is no outage')
})
