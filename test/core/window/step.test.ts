import t from 'tap'
import type { Digest, KeyRecord } from '../../../src/core/key-record.ts'
import { allGuards } from '../../../src/core/window/guards.ts'
import { judge } from '../../../src/core/window/judge.ts'
import { initialState, type RenewalAnswer, type WindowEffect, type WindowEvent, type WindowState } from '../../../src/core/window/state.ts'
import { step } from '../../../src/core/window/step.ts'
import type { LoggedChange } from '../../../src/core/window/trust.ts'

const terms = { windowMs: 1000, renewEveryMs: 100, renewalTimeoutMs: 300, tailRowsMax: 4, guards: allGuards }

const keyOf = (name: string): KeyRecord => ({
  id: name, digest: name as Digest, workspaceId: 'acme', ownerId: null, name, scope: 'mcp:read', metadata: {}, createdAt: 0, expiresAt: null, revokedAt: null, limits: null
})
const change = (seq: number, key = 'k', action: 'revoke' | 'change' = 'revoke'): LoggedChange => ({ seq, action, target: { kind: 'key', digest: key as Digest } })
const workspaceChange = (seq: number): LoggedChange => ({ seq, action: 'revoke', target: { kind: 'workspace', workspaceId: 'acme' } })
const everything = (seq: number): LoggedChange => ({ seq, action: 'revoke', target: { kind: 'everything' } })
const answer = (values: Partial<RenewalAnswer> = {}): RenewalAnswer => ({ alive: true, seq: 0, timeline: 'A', rows: [], databaseTime: 5000, ...values })

/** A replica whose events are told one after another, each at its time. */
function replica () {
  let state: WindowState = initialState(terms)
  const effects: WindowEffect[] = []
  const self = {
    tell (at: number, event: WindowEvent) {
      const stepped = step(state, event, at)
      state = stepped[0]
      effects.splice(0, effects.length, ...stepped[1])
      return self
    },
    answered: (at: number, values?: Partial<RenewalAnswer>) => self.tell(at, { kind: 'renewed', number: state.renewing?.number ?? -1, answer: answer(values) }),
    kinds: () => effects.map((effect) => effect.kind).filter((kind) => kind !== 'wakeAt'),
    renewal: () => effects.find((effect) => effect.kind === 'renew'),
    judge: (asof: number, now: number, key = 'k') => judge(state, { record: keyOf(key), asof }, now),
    get state () { return state },
    effects
  }
  return self
}

/** Joined at 0, renewed from 0 to 10; knows the log up to `seq`, all of it or its newest rows. */
function member (values: Partial<RenewalAnswer> = {}) {
  return replica().tell(0, { kind: 'start' }).tell(0, { kind: 'joined', id: 'one' }).answered(10, values)
}

t.test('nothing is sent before the joining is committed, and then the first renewal at once', async (t) => {
  const r = replica().tell(0, { kind: 'start' })
  t.strictSame(r.kinds(), ['join'])
  t.strictSame(r.tell(5, { kind: 'joined', id: 'one' }).kinds(), ['renew'])
  t.match(r.renewal(), { id: 'one', applied: 0, timeline: undefined })
})

t.test('the window is open from the answer of a renewal until D after its sending, and not at that very moment', async (t) => {
  const r = member()
  t.equal(r.judge(0, 999), 'current')
  t.equal(r.judge(0, 1000), 'shut')
  t.equal(r.judge(0, NaN), 'shut')
})

t.test('before the first answer everything is shut', async (t) => {
  t.equal(replica().tell(0, { kind: 'start' }).tell(0, { kind: 'joined', id: 'one' }).judge(100, 1), 'shut')
})

t.test('what the log says decides about an entry', async (t) => {
  const rows = [change(1), change(2, 'changed', 'change'), change(3, 'other')]
  const r = member({ seq: 3, rows })
  for (const { when, key, asof, standing } of [
    { when: 'the key was revoked after the entry was read', key: 'k', asof: 0, standing: 'revoked' },
    { when: 'the entry was read when it was revoked already', key: 'k', asof: 1, standing: 'current' },
    { when: 'the key was changed after the entry was read', key: 'changed', asof: 1, standing: 'stale' },
    { when: 'only other keys were revoked since', key: 'quiet', asof: 0, standing: 'current' },
    { when: 'the position of the entry is no number', key: 'k', asof: NaN, standing: 'stale' }
  ]) t.equal(r.judge(asof, 20, key), standing, when)
})

t.test('a workspace or everything that was revoked makes its keys stale: one that was just made may have been spared', async (t) => {
  t.equal(member({ seq: 1, rows: [workspaceChange(1)] }).judge(0, 20), 'stale')
  t.equal(member({ seq: 1, rows: [everything(1)] }).judge(0, 20), 'stale')
  t.equal(member({ seq: 1, rows: [everything(1)] }).judge(1, 20), 'current')
})

t.test('rows are dropped from the caches before their acknowledgement is sent, in one turn', async (t) => {
  const r = member().tell(100, { kind: 'tick' }).answered(101, { seq: 1, rows: [change(1)] })
  t.strictSame(r.kinds(), ['drop', 'renew'])
  t.match(r.renewal(), { applied: 1, acked: 1 })
  t.strictSame(r.answered(102, { seq: 1 }).kinds(), [], 'once acknowledged, the next renewal has time')
})

t.test('a gap in the log raises the floor, whatever made it', async (t) => {
  for (const { when, rows, floor } of [
    { when: 'the first renewal knows the whole log', rows: [change(1), change(2), change(3)], floor: 0 },
    { when: 'older rows were not asked for, or are pruned', rows: [change(3)], floor: 2 },
    { when: 'there is a hole', rows: [change(1), change(3)], floor: 2 },
    { when: 'no row is left', rows: [], floor: 3 }
  ]) {
    const r = member({ seq: 3, rows })
    t.equal(r.state.floor, floor, when)
    if (floor > 0) t.equal(r.judge(floor - 1, 20, 'quiet'), 'stale', when)
  }
})

t.test('what the tail lets go of raises the floor', async (t) => {
  const r = member({ seq: 4, rows: [change(1), change(2), change(3), change(4)] }).tell(100, { kind: 'tick' }).answered(101, { seq: 6, rows: [change(5), change(6)] })
  t.equal(r.state.floor, 2)
  t.equal(r.state.tail.size, 4)
})

t.test('a hint is judged by at once, asks for a renewal, and is never acknowledged', async (t) => {
  const r = member().tell(50, { kind: 'hint', change: change(2), timeline: 'A' })
  t.strictSame(r.kinds(), ['drop', 'renew'])
  t.match(r.renewal(), { applied: 0, acked: 0 })
  t.equal(r.judge(1, 51), 'revoked')
  t.strictSame(r.tell(52, { kind: 'hint', change: change(2), timeline: 'A' }).kinds(), [], 'twice told is told once')
})

t.test('hints during a renewal make one more renewal, not one each', async (t) => {
  const r = member().tell(50, { kind: 'hint', change: change(1), timeline: 'A' }).tell(51, { kind: 'hint', change: change(2), timeline: 'A' }).tell(52, { kind: 'hint', change: change(3), timeline: 'A' })
  t.strictSame(r.kinds(), ['drop'])
  t.strictSame(r.answered(53, { seq: 3, rows: [change(1), change(2), change(3)] }).kinds(), ['drop', 'drop', 'drop', 'renew'])
  t.strictSame(r.answered(54, { seq: 3 }).kinds(), [])
})

t.test('a hint of what is known, or of another history, changes no judgement', async (t) => {
  const r = member({ seq: 1, rows: [change(1)] }).answered(11, { seq: 1 })
  t.strictSame(r.tell(20, { kind: 'hint', change: change(1), timeline: 'A' }).kinds(), [])
  t.strictSame(r.tell(21, { kind: 'hint', change: change(9, 'quiet'), timeline: 'B' }).kinds(), ['renew'])
  t.equal(r.judge(1, 22, 'quiet'), 'current')
})

t.test('hints without number, in an outage, raise the floor instead of filling memory', async (t) => {
  const r = member()
  for (let seq = 1; seq <= 10; seq++) r.tell(20, { kind: 'hint', change: change(seq, `k${seq}`), timeline: 'A' })
  t.ok(r.state.ahead.size <= 4)
  t.ok(r.state.floor >= 6)
  t.equal(r.judge(0, 21, 'k1'), 'stale')
})

t.test('a renewal that takes too long is given up and repeated, and its late answer changes nothing', async (t) => {
  const r = member().tell(100, { kind: 'tick' })
  const late = r.state.renewing?.number as number
  t.strictSame(r.tell(399, { kind: 'tick' }).kinds(), [])
  t.strictSame(r.tell(400, { kind: 'tick' }).kinds(), ['abandon', 'renew'])
  const before = r.state
  r.tell(401, { kind: 'renewed', number: late, answer: answer({ seq: 9, rows: [change(9)] }) })
  t.strictSame(r.state, before)
})

t.test('a failed renewal is repeated soon, then ever later, up to a period', async (t) => {
  const r = member().tell(100, { kind: 'tick' })
  const pauses: number[] = []
  let now = 100
  for (let i = 0; i < 4; i++) {
    r.tell(now, { kind: 'renewFailed', number: r.state.renewing?.number as number })
    pauses.push(r.state.due - now)
    now = r.state.due
    r.tell(now, { kind: 'tick' })
  }
  t.strictSame(pauses, [25, 50, 100, 100])
})

t.test('a fenced member shuts its window, drops everything and joins under a new id', async (t) => {
  const r = member({ seq: 1, rows: [change(1)] })
  t.strictSame(r.answered(20, { alive: false, seq: 1 }).kinds(), ['dropAll', 'join'])
  t.match(r.effects, [{}, { kind: 'join', fresh: true }])
  t.equal(r.judge(1, 21), 'shut')
  t.equal(r.state.tail.size, 0)
  t.equal(r.state.floor, Infinity)
})

t.test('a joining that failed is repeated under the same id', async (t) => {
  const r = replica().tell(0, { kind: 'start' }).tell(10, { kind: 'joinFailed' })
  t.strictSame(r.kinds(), [])
  r.tell(r.state.due, { kind: 'tick' })
  t.match(r.effects[0], { kind: 'join', fresh: false })
})

t.test('another timeline, or a clock that went back, makes everything read before void', async (t) => {
  for (const values of [{ seq: 5, timeline: 'B' }, { seq: 2 }]) {
    const r = member({ seq: 3, rows: [change(1), change(2), change(3)] }).answered(20, values)
    t.ok(r.kinds().includes('dropAll'))
    t.match(r.state, { floor: values.seq, applied: values.seq, tail: { size: 0 } })
    t.equal(r.judge(values.seq - 1, 21, 'quiet'), 'stale')
    t.equal(r.judge(values.seq, 21, 'quiet'), 'current')
  }
})

t.test('leaving shuts the window, drops everything, and nothing brings the replica back', async (t) => {
  const r = member().tell(20, { kind: 'leave' })
  t.strictSame(r.kinds(), ['dropAll', 'leave'])
  t.equal(r.judge(0, 21), 'shut')
  for (const event of [{ kind: 'tick' }, { kind: 'wanted' }, { kind: 'start' }, { kind: 'joined', id: 'two' }] as const) {
    t.strictSame(r.tell(30, event).kinds(), [], event.kind)
  }
})

t.test('who waits for the window starts a renewal, and only one', async (t) => {
  const r = member()
  t.strictSame(r.tell(20, { kind: 'wanted' }).kinds(), ['renew'])
  t.strictSame(r.tell(20, { kind: 'wanted' }).kinds(), [])
})
