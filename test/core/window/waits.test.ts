import t from 'tap'
import { isWatcher, renewalPeriodMs, rollEveryMs, waitOutMs } from '../../../src/core/window/durations.ts'
import { noSightings, sight } from '../../../src/core/window/silent-members.ts'
import { acknowledgedBy, settled, takesAway, type Member, type Roll } from '../../../src/core/window/waits.ts'

const member = (values: Partial<Member> = {}): Member => ({ id: 'one', acked: 7, beat: 'beat 1', lineage: undefined, windowMs: 1000, ...values })
const wait = {
  nonce: 'this wait',
  change: { seq: 7, action: 'revoke' as const, target: { kind: 'everything' as const }, committedAt: 100, windowMs: 1000 },
  acknowledgedBy: new Set<string>()
}
const newWait = () => ({ ...wait, acknowledgedBy: new Set<string>() })
const W = waitOutMs(1000)

t.test('W waits the slowest allowed clock out on the fastest', async (t) => {
  t.equal(waitOutMs(10_000), 10_000 * 1.01 / 0.99 + 50)
})

t.test('P is a twentieth of D between 100 and 500 ms in a small fleet, and grows with the fleet to a quarter of D', async (t) => {
  t.strictSame([1000, 4000, 10_000, 60_000].map((windowMs) => renewalPeriodMs(windowMs)), [100, 200, 500, 500])
  t.strictSame([3, 50, 100, 250, 1000].map((members) => renewalPeriodMs(10_000, members)), [500, 1000, 2000, 2500, 2500])
})

t.test('ten members of a fleet watch the others; at any size up to 128 renewals and readings of the list are at most 60 statements a second', async (t) => {
  const fleet = Array.from({ length: 128 }, (_, i) => ({ id: String(i).padStart(3, '0') }))
  t.strictSame(fleet.filter(({ id }) => isWatcher(id, fleet.toReversed())).map(({ id }) => id), fleet.slice(0, 10).map(({ id }) => id))
  for (let members = 1; members <= 128; members++) {
    const each = (watches: boolean) => 1000 / rollEveryMs(10_000, members, watches)
    const readings = Math.min(members, 10) * each(true) + Math.max(0, members - 10) * each(false)
    const renewals = members * 1000 / renewalPeriodMs(10_000, members)
    t.ok(renewals + readings <= 60, `${members}: ${renewals} and ${readings}`)
    t.ok(readings >= 1, `${members}: silence is noticed`)
  }
  t.ok(rollEveryMs(10_000, 128, true) <= waitOutMs(10_000) / 2, 'who watches sees a silent member twice within W')
})

t.test('a wait ends when every living member has acknowledged, as read after the commit, or when W is over', async (t) => {
  const roll = (members: Member[], sentAt = 101, seq = 7): Roll => ({ sentAt, answeredAt: sentAt + 1, seq, lineage: 'L', members })
  for (const { when, now, read, path } of [
    { when: 'nothing has been read', now: 101, read: undefined, path: undefined },
    { when: 'the only member has acknowledged', now: 102, read: roll([member()]), path: 'fast' },
    { when: 'there is no member at all', now: 102, read: roll([]), path: 'fast' },
    { when: 'one of two has not', now: 102, read: roll([member(), member({ id: 'two', acked: 6 })]), path: undefined },
    { when: 'the members were read before the commit', now: 102, read: roll([], 99), path: undefined },
    { when: 'the members were read at the very moment of the commit', now: 102, read: roll([], 100), path: undefined },
    { when: 'the clock had not come to the change in it', now: 102, read: roll([], 101, 6), path: undefined },
    { when: 'one of two has acknowledged to us alone', now: 102, read: roll([member(), member({ id: 'told us', acked: 6 })]), path: 'fast' },
    { when: 'one of two has, under another id', now: 102, read: roll([member({ id: 'told us', acked: 6 }), member({ id: 'two', acked: 6 })]), path: undefined },
    { when: 'W is nearly over', now: 100 + W - 0.001, read: undefined, path: undefined },
    { when: 'W is over, whoever has acknowledged', now: 100 + W, read: roll([member({ acked: 0 })]), path: 'slow' }
  ]) t.equal(settled({ ...wait, acknowledgedBy: new Set(['told us']) }, now, read, -Infinity), path, when)
})

t.test('an acknowledgement counts for the wait that it names, and for who sent it', async (t) => {
  const told = { from: 'two', label: 'L', seq: 7, nonce: 'this wait' }
  t.strictSame([...acknowledgedBy(newWait(), told).acknowledgedBy], ['two'])
  t.strictSame([...acknowledgedBy(newWait(), { ...told, nonce: 'another wait' }).acknowledgedBy], [])
  t.strictSame([...acknowledgedBy(newWait(), { ...told, seq: 8 }).acknowledgedBy], [], 'a later change says nothing of an earlier one')
})

t.test('who waits is decided by what is asked for: any expiry that is not null', async (t) => {
  t.strictSame([{ expiresAt: 5 }, { expiresAt: null }, {}].map(takesAway), [true, false, false])
})

t.test('after a change of history only the slow path counts, until its windows have ended', async (t) => {
  const roll: Roll = { sentAt: 101, answeredAt: 102, seq: 7, lineage: 'L', members: [member()] }
  t.equal(settled(wait, 102, roll, 103), undefined)
  t.equal(settled(wait, 103, roll, 103), 'fast')
  t.equal(settled(wait, 100 + W, roll, Infinity), 'slow')
})

t.test('a member is silent when it was not seen to renew for W of its own window, counted from the answer', async (t) => {
  const see = (before: typeof noSightings, sentAt: number, beat: string) => sight(before, { sentAt, answeredAt: sentAt + 40, seq: 0, lineage: 'L', members: [member({ beat })] }, Infinity)
  const first = see(noSightings, 0, 'beat 1')
  t.strictSame(first.silent, [])
  t.strictSame(see(first.sightings, W + 39, 'beat 1').silent, [], 'the last renewal may be as young as the answer')
  t.strictSame(see(first.sightings, W + 40, 'beat 1').silent.map(({ id, beat }) => [id, beat]), [['one', 'beat 1']])
  const renewed = see(first.sightings, W + 40, 'beat 2')
  t.strictSame(renewed.silent, [])
  t.strictSame(see(renewed.sightings, W + 100, 'beat 2').silent, [], 'counted anew from the last change')
})

t.test('after an outage that is longer than W nobody is silent for not having renewed in it', async (t) => {
  const see = (before: typeof noSightings, sentAt: number) => sight(before, { sentAt, answeredAt: sentAt + 40, seq: 0, lineage: 'L', members: [member()] }, 1250)
  const first = see(noSightings, 0)
  const back = see(first.sightings, 10_000)
  t.strictSame(back.silent, [], 'nobody could renew')
  t.strictSame(see(back.sightings, 11_000).silent, [], 'W has begun anew')
  t.strictSame(see(see(back.sightings, 11_000).sightings, 10_040 + W).silent.map(({ id }) => id), ['one'], 'who does not come back is counted out')
  t.strictSame(see(first.sightings, 40 + 1250).silent.map(({ id }) => id), ['one'], 'a slow answer is no outage')
})
