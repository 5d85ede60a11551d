import t from 'tap'
import type { Digest, KeyRecord } from '../../../src/core/key-record.ts'
import { waitOutMs } from '../../../src/core/window/durations.ts'
import { admitsUntil, initialState, judge, labelOf, type History, type WindowState } from '../../../src/core/window/judge.ts'
import { step, type Announcement, type RenewalAnswer, type WindowEffect, type WindowEvent } from '../../../src/core/window/step.ts'
import type { LoggedChange } from '../../../src/core/window/trust.ts'

const terms = { windowMs: 1000, renewalTimeoutMs: 300, rowsMax: 4 }
const history: History = { lineage: 'L', former: undefined, timeline: 'A', serverStart: '1' }
const ours = 'L/A/1'

const keyOf = (name: string): KeyRecord => ({
  id: name, digest: name as Digest, workspaceId: 'acme', ownerId: null, name, scope: 'mcp:read', metadata: {}, createdAt: 0, expiresAt: null, revokedAt: null, limits: null
})
const change = (seq: number, key = 'k', action: 'revoke' | 'change' = 'revoke'): LoggedChange => ({ seq, action, target: { kind: 'key', digests: [key as Digest] } })
const workspaceChange = (seq: number): LoggedChange => ({ seq, action: 'revoke', target: { kind: 'workspace', workspaceId: 'acme' } })
const everything = (seq: number): LoggedChange => ({ seq, action: 'revoke', target: { kind: 'everything' } })
const answer = (values: Partial<RenewalAnswer> = {}): RenewalAnswer => ({
  row: 'alive', lineage: 'L', history, seq: 0, rows: [], databaseTime: 5000, windowMs: 1000, ...values
})

type Told<T> = T extends WindowEvent ? Omit<T, 'fresh'> : never

/** A replica whose events are told one after another, each at its time. */
function replica () {
  let state: WindowState = initialState(terms)
  let names = 0
  const effects: WindowEffect[] = []
  const self = {
    tell (at: number, event: Told<WindowEvent>) {
      const stepped = step(state, { ...event, fresh: `name ${++names}` } as WindowEvent, at)
      state = stepped[0]
      effects.splice(0, effects.length, ...stepped[1])
      return self
    },
    joined: (at: number) => self.tell(at, { kind: 'joined', id: state.id as string }),
    answered: (at: number, values?: Partial<RenewalAnswer>) => self.tell(at, { kind: 'renewed', number: state.renewing?.number ?? -1, answer: answer(values) }),
    announced: (at: number, values: Partial<Announcement> & { change: LoggedChange }) => self.tell(at, { kind: 'announced', announcement: { label: ours, from: 'another', nonce: 'a wait', renew: 'none', ...values } }),
    kinds: () => effects.map((effect) => effect.kind).filter((kind) => kind !== 'wakeAt'),
    renewal: () => effects.find((effect) => effect.kind === 'renew'),
    judge: (asof: number, now: number, key = 'k') => judge(state, { record: keyOf(key), asof }, now, false),
    judgeFresh: (asof: number, seq: number, now: number, key = 'k') => judge(state, { record: keyOf(key), asof, seq }, now, true),
    get state () { return state },
    effects
  }
  return self
}

/** Joined at 0, renewed from 0 to 10; knows the log up to `seq`, all of it or its newest rows. Its news is acknowledged. */
function member (values: Partial<RenewalAnswer> = {}) {
  const r = replica().tell(0, { kind: 'start' }).joined(0).answered(10, values)
  return r.state.renewing === undefined ? r : r.answered(11, { ...values, rows: [] })
}

t.test('nothing is sent before the joining is committed, and then the first renewal at once, where the row bears its first beat', async (t) => {
  const r = replica().tell(0, { kind: 'start' })
  t.match(r.effects, [{ kind: 'join', id: 'name 1', formerId: undefined }, {}])
  r.tell(5, { kind: 'joined', id: 'somebody else' })
  t.strictSame(r.kinds(), [])
  t.strictSame(r.joined(5).kinds(), ['renew'])
  t.match(r.renewal(), { id: 'name 1', applied: 0, beats: ['name 1'], beat: 'name 3', givesUpLineage: false })
})

t.test('the window is open from the answer of a renewal until D after its sending, and not at that very moment', async (t) => {
  const r = member()
  t.equal(r.judge(0, 999), 'current')
  t.equal(r.judge(0, 1000), 'shut')
  t.equal(r.judge(0, NaN), 'shut')
})

t.test('before the first answer everything is shut', async (t) => {
  t.equal(replica().tell(0, { kind: 'start' }).joined(0).judge(100, 1), 'shut')
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

t.test('each token of a key that was revoked is refused', async (t) => {
  const r = member({ seq: 1, rows: [{ seq: 1, action: 'revoke', target: { kind: 'key', digests: ['old', 'new'] as Digest[] } }] })
  for (const key of ['old', 'new']) t.equal(r.judge(0, 20, key), 'revoked')
})

t.test('a row just read for the request is judged by what its statement showed, whatever a cache may keep of it', async (t) => {
  const r = member({ seq: 1, rows: [change(1, 'k', 'change')] }).announced(20, { change: change(2, 'k', 'change') })
  t.equal(r.judgeFresh(1, 2, 21), 'current')
  t.equal(r.judgeFresh(1, 1, 21), 'stale')
  t.equal(r.judge(1, 21), 'stale')
})

t.test('a workspace or everything that was revoked makes its keys stale: one that was just made may have been spared', async (t) => {
  t.equal(member({ seq: 1, rows: [workspaceChange(1)] }).judge(0, 20), 'stale')
  t.equal(member({ seq: 1, rows: [everything(1)] }).judge(0, 20), 'stale')
  t.equal(member({ seq: 1, rows: [everything(1)] }).judge(1, 20), 'current')
})

t.test('rows that nobody announced are dropped from the caches before their acknowledgement is sent, in one turn', async (t) => {
  const r = member().tell(100, { kind: 'tick' }).answered(101, { seq: 1, rows: [change(1)] })
  t.strictSame(r.kinds(), ['drop', 'renew'])
  t.match(r.renewal(), { applied: 1 })
  t.strictSame(r.answered(102, { seq: 1 }).kinds(), [], 'once acknowledged, the next renewal has time')
})

t.test('a renewal that tells only what was announced and acknowledged is not followed by another one at once', async (t) => {
  const r = member().announced(50, { change: change(1) }).tell(100, { kind: 'tick' }).answered(101, { seq: 1, rows: [change(1)] })
  t.strictSame(r.kinds(), ['drop'])
  const lost = member().announced(50, { change: change(1) })
  t.strictSame(lost.tell(55, { kind: 'acknowledgementLost', seq: 1 }).kinds(), ['renew'], 'one that could not be sent has to be brought by renewals')
  t.strictSame(lost.answered(56, { seq: 1, rows: [change(1)] }).kinds(), ['drop', 'renew'])
  t.match(lost.renewal(), { applied: 1 })
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

t.test('what is let go of raises the floor', async (t) => {
  const r = member({ seq: 4, rows: [change(1), change(2), change(3), change(4)] }).tell(200, { kind: 'tick' }).answered(201, { seq: 6, rows: [change(5), change(6)] })
  t.equal(r.state.floor, 2)
  t.equal(r.state.recent.size, 4)
})

t.test('an announcement of our history is remembered, then acknowledged to its maker, and asks for no renewal', async (t) => {
  const r = member().announced(50, { change: change(2) })
  t.match(r.effects, [{ kind: 'drop', action: 'revoke' }, { kind: 'acknowledge', to: 'another', label: ours, seq: 2, nonce: 'a wait' }, { kind: 'wakeAt' }])
  t.equal(r.judge(1, 51), 'revoked')
  t.equal(r.state.applied, 0, 'only the log moves what renewals acknowledge')
  t.strictSame(r.announced(52, { change: change(2) }).kinds(), ['acknowledge'], 'twice told is acknowledged twice')
  t.strictSame(r.announced(53, { change: change(2), nonce: undefined }).kinds(), [])
})

t.test('what the log has told already is acknowledged at once', async (t) => {
  t.strictSame(member({ seq: 1, rows: [change(1)] }).announced(50, { change: change(1) }).kinds(), ['acknowledge'])
})

t.test('who is called renews, at most every 20 ms however often it is called; who is not, does not', async (t) => {
  for (const renew of ['all', ['name 1']] as const) t.ok(member().announced(50, { change: change(2), renew }).kinds().includes('renew'))
  t.notOk(member().announced(50, { change: change(2), renew: ['another'] }).kinds().includes('renew'))
  const r = member()
  let renewals = 0
  for (let at = 50; at < 150; at++) {
    r.tell(at, { kind: 'called' })
    if (r.kinds().includes('renew')) renewals++
    if (r.state.renewing !== undefined) r.answered(at)
  }
  t.equal(renewals, 5)
})

t.test('an announcement of another history, or to one that has no lineage, changes no judgement and is not acknowledged: a renewal finds out', async (t) => {
  for (const label of ['L/B/1', 'other/A/1', undefined]) {
    const r = member({ seq: 1, rows: [change(1)] })
    t.strictSame(r.announced(40, { change: change(9, 'quiet'), label }).kinds(), ['renew'])
    t.equal(r.judge(1, 41, 'quiet'), 'current')
  }
  const outsider = member({ lineage: undefined })
  t.equal(labelOf(outsider.state), undefined)
  t.strictSame(outsider.announced(40, { change: change(9, 'quiet') }).kinds(), ['renew'])
  t.equal(outsider.judge(0, 41, 'quiet'), 'current')
})

t.test('announcements without number, in an outage, raise the floor instead of filling memory', async (t) => {
  const r = member()
  for (let seq = 1; seq <= 10; seq++) r.announced(20, { change: change(seq, `k${seq}`) })
  t.ok(r.state.ahead.size <= 4)
  t.ok(r.state.floor >= 6)
  t.equal(r.judge(0, 21, 'k1'), 'stale')
  t.equal(r.judgeFresh(0, 10, 21, 'quiet'), 'current', 'and rows that are read now are good')
})

t.test('what was announced is forgotten only when the log tells it, not by a failed renewal or by an older answer', async (t) => {
  const r = member().tell(100, { kind: 'tick' }).announced(101, { change: change(1) })
  r.tell(102, { kind: 'renewFailed', number: r.state.renewing!.number })
  t.equal(r.judge(0, 103), 'revoked')
  r.tell(200, { kind: 'tick' }).answered(201, { seq: 0 })
  t.equal(r.judge(0, 202), 'revoked')
  r.tell(400, { kind: 'tick' }).answered(401, { seq: 1, rows: [change(1)] })
  t.equal(r.state.ahead.size, 0)
  t.equal(r.judge(0, 402), 'revoked')
})

t.test('a log that has another change at the position of an announcement voids everything, and says so', async (t) => {
  const r = member().announced(50, { change: change(1) }).tell(100, { kind: 'tick' }).answered(101, { seq: 1, rows: [change(1, 'other')] })
  t.ok(r.kinds().includes('dropAll'))
  t.match(r.effects.find(({ kind }) => kind === 'contradicted'), { seq: 1 })
  t.match(r.state, { floor: 1, applied: 1, ahead: { size: 0 } })
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

t.test('until a renewal is answered the row may bear any beat that was sent since the last answer, and then only its own', async (t) => {
  const r = member().tell(100, { kind: 'tick' })
  const [first] = r.renewal()!.beats
  const second = r.renewal()!.beat
  r.tell(400, { kind: 'tick' })
  t.strictSame(r.renewal()!.beats, [first, second])
  const third = r.renewal()!.beat
  t.equal(new Set([first, second, third]).size, 3)
  r.answered(401).tell(600, { kind: 'tick' })
  t.strictSame(r.renewal()!.beats, [third])
})

t.test('in a long outage the beats that are remembered are bounded, the last answered one among them', async (t) => {
  const r = member()
  const [last] = r.state.beats
  let at = 100
  for (let i = 0; i < 500; i++) {
    r.tell(at, { kind: 'tick' })
    r.tell(at, { kind: 'renewFailed', number: r.state.renewing!.number })
    at = r.state.due
  }
  t.ok(r.state.beats.length <= 100)
  t.equal(r.state.beats[0], last)
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

t.test('in a large fleet renewals are rarer', async (t) => {
  const r = member().tell(20, { kind: 'counted', members: 20 }).tell(100, { kind: 'tick' }).answered(101)
  t.equal(r.state.due, 350)
})

t.test('after its window has ended a replica gives its lineage up with the next renewal, and takes nothing from Redis', async (t) => {
  const r = member().tell(999, { kind: 'tick' })
  t.equal(r.renewal()?.givesUpLineage, false)
  r.tell(1000, { kind: 'renewFailed', number: r.state.renewing!.number }).tell(1100, { kind: 'tick' })
  t.equal(r.renewal()?.givesUpLineage, true)
  t.equal(labelOf(r.answered(1101, { lineage: undefined }).state), undefined)
  t.equal(r.judge(0, 1102), 'current', 'memory is as good as it was')
})

t.test('a lineage is given to others while the window is open, and by the database\'s clock no longer than D after the renewal that proved it', async (t) => {
  t.equal(admitsUntil(member().state, 999), 6000)
  t.equal(admitsUntil(member().state, 1000), undefined, 'not with a window that has ended')
  t.equal(admitsUntil(member({ lineage: undefined }).state, 500), undefined, 'not by one who has none')
  t.equal(admitsUntil(replica().state, 0), undefined)
})

t.test('a fenced member shuts its window, drops everything and joins under a new id, with its former one', async (t) => {
  for (const { when, values, isSlow } of [
    { when: 'it was counted out', values: { row: 'dead' as const }, isSlow: false },
    { when: 'its row bears a beat that it never sent, or is gone', values: { row: 'missing' as const }, isSlow: true },
    { when: 'the clock has another lineage', values: { history: { ...history, lineage: 'M' } }, isSlow: true }
  ]) {
    const r = member({ seq: 1, rows: [workspaceChange(1)] }).tell(150, { kind: 'tick' }).answered(151, { seq: 1, ...values })
    t.strictSame(r.kinds(), ['dropAll', 'join'], when)
    t.match(r.effects[1], { formerId: 'name 1' }, when)
    t.not(r.state.id, 'name 1', when)
    t.equal(r.judge(1, 152), 'shut', when)
    t.match(r.state, { floor: Infinity, recent: { size: 0 }, slowUntil: isSlow ? 151 + waitOutMs(1000) : -Infinity }, when)
  }
})

t.test('a clock that went back under a row of ours is refused while the window is open, and then another history', async (t) => {
  const r = member({ seq: 3, rows: [change(1), change(2), change(3)] }).tell(150, { kind: 'tick' })
  t.ok(r.answered(151, { seq: 2 }).kinds().includes('refuse'))
  t.equal(r.state.applied, 3)
  r.tell(1100, { kind: 'tick' })
  t.ok(r.answered(1101, { seq: 2 }).kinds().includes('join'))
})

t.test('a joining that failed is repeated under the same id', async (t) => {
  const r = replica().tell(0, { kind: 'start' }).tell(10, { kind: 'joinFailed' })
  t.strictSame(r.kinds(), [])
  r.tell(r.state.due, { kind: 'tick' })
  t.match(r.effects[0], { kind: 'join', id: 'name 1' })
})

t.test('another timeline makes everything read before void, and for W only the slow path proves anything', async (t) => {
  const r = member({ seq: 3, rows: [workspaceChange(1), workspaceChange(2), workspaceChange(3)] }).tell(150, { kind: 'tick' }).answered(151, { seq: 5, history: { ...history, timeline: 'B' } })
  t.ok(r.kinds().includes('dropAll'))
  t.match(r.state, { floor: 5, applied: 5, recent: { size: 0 }, slowUntil: 151 + waitOutMs(1000) })
  t.equal(r.judge(4, 152, 'quiet'), 'stale')
  t.equal(r.judge(5, 152, 'quiet'), 'current')
  t.equal(r.judgeFresh(5, 5, 152, 'quiet'), 'current', 'one read is enough')
})

t.test('another server start on the same timeline changes the label and nothing else', async (t) => {
  const r = member({ seq: 1, rows: [change(1)] }).tell(150, { kind: 'tick' }).answered(151, { seq: 1, history: { ...history, serverStart: '2' } })
  t.notOk(r.kinds().includes('dropAll'))
  t.equal(labelOf(r.state), 'L/A/2')
  t.equal(r.judge(1, 152), 'current')
})

t.test('revocations are held when what is known is dropped, refused meanwhile, and put back where they were heard', async (t) => {
  const fenced = () => member({ seq: 2, rows: [change(1), change(2, 'changed', 'change')] }).announced(100, { change: change(3, 'announced') })
    .tell(150, { kind: 'tick' }).answered(151, { row: 'missing' }).joined(152)
  for (const { when, values } of [
    { when: 'the same lineage', values: {} },
    { when: 'the lineage that others founded after it', values: { history: { ...history, lineage: 'M', former: 'L' } } }
  ]) {
    const r = fenced().answered(153, { lineage: undefined, ...values })
    const asked = r.effects.find((effect) => effect.kind === 'putBack')!
    t.match(asked, { lineage: 'L', digests: ['k', 'announced'] }, when)
    for (const key of ['k', 'announced']) t.equal(r.judgeFresh(0, 9, 154, key), 'revoked', when)
    t.equal(r.judge(0, 154, 'changed'), 'current', when)
    r.tell(155, { kind: 'putBack', number: asked.number, isDone: false })
    t.equal(r.judge(0, 156), 'revoked', 'it is not known whether the database has them')
    r.tell(260, { kind: 'tick' }).answered(261, { lineage: undefined, ...values })
    const again = r.effects.find((effect) => effect.kind === 'putBack')!
    r.tell(262, { kind: 'putBack', number: again.number, isDone: true })
    t.equal(r.judge(0, 263), 'revoked', 'another replica may have put them back, at a position that was not applied here')
    r.tell(300, { kind: 'tick' }).answered(301, { lineage: undefined, ...values })
    t.strictSame(r.state.held, [], when)
    t.equal(r.judge(0, 302), 'current', 'the log tells of them from now on')
    r.tell(500, { kind: 'tick' }).answered(501, { ...values, lineage: values.history?.lineage ?? 'L' })
    r.tell(700, { kind: 'tick' }).answered(701, { row: 'missing' }).joined(702).answered(703, { lineage: undefined, history: { ...history, timeline: 'B' } })
    t.match(r.effects.find((effect) => effect.kind === 'putBack') ?? r.state, { lineage: 'L', heardBy: undefined, digests: ['k', 'announced'] }, 'a second failover may have lost them again')
    t.equal(r.judgeFresh(0, 9, 704), 'revoked')
  }
  const elsewhere = fenced().answered(153, { lineage: undefined, history: { ...history, lineage: 'N', former: 'M' } })
  t.notOk(elsewhere.kinds().includes('putBack'), 'in another lineage they are no business of ours')
  t.equal(elsewhere.judge(0, 154), 'current')
})

t.test('revocations that were heard without a lineage are held too, and are put back only where the id that heard them is known', async (t) => {
  const heard = () => member({ seq: 2, rows: [change(1), change(2, 'changed', 'change')], lineage: undefined }).tell(150, { kind: 'tick' })
  const { id } = heard().state
  for (const { when, r } of [
    { when: 'fenced', r: heard().answered(151, { row: 'missing' }).joined(152).answered(153, { lineage: undefined }) },
    { when: 'of another timeline', r: heard().answered(151, { seq: 2, lineage: undefined, history: { ...history, timeline: 'B' } }) }
  ]) {
    t.match(r.effects.find((effect) => effect.kind === 'putBack') ?? r.state, { lineage: 'L', heardBy: id, digests: ['k'] }, when)
    t.equal(r.judgeFresh(0, 9, 154), 'revoked', when)
  }
  const admitted = heard().answered(151, { seq: 3, rows: [change(3, 'later')] }).tell(200, { kind: 'tick' }).answered(201, { row: 'missing' }).joined(202).answered(203, { lineage: undefined })
  t.match(admitted.effects.find((effect) => effect.kind === 'putBack'), { lineage: 'L', heardBy: undefined, digests: ['k', 'later'] }, 'who has been given the lineage since needs no more proof')
  const elsewhere = heard().answered(151, { row: 'missing' }).joined(152).answered(153, { lineage: undefined, history: { ...history, lineage: 'N' } })
  t.notOk(elsewhere.kinds().includes('putBack'), 'in another lineage they are no business of ours')
})

t.test('revocations whose lineage the database has lost too are put back by the id that heard them', async (t) => {
  const born = { ...history, lineage: 'M', former: 'L' }
  const heard = (values: Partial<RenewalAnswer> = {}) => member({ seq: 1, rows: [change(1)], lineage: 'M', history: born, ...values }).tell(150, { kind: 'tick' }).answered(151, { row: 'missing', history: born })
  const { id } = member().state
  for (const { when, values } of [
    { when: 'set back to before the lineage', values: { history } },
    { when: 'and another one was founded since', values: { history: { ...history, lineage: 'N', former: 'L' } } }
  ]) {
    const r = heard().joined(152).answered(153, { lineage: undefined, ...values })
    t.match(r.effects.find((effect) => effect.kind === 'putBack') ?? r.state, { lineage: 'L', heardBy: id, digests: ['k'] }, when)
    t.equal(r.judgeFresh(0, 9, 154), 'revoked', when)
  }
  const later = member({ seq: 1, rows: [change(1)], lineage: undefined }).tell(150, { kind: 'tick' }).answered(151, { seq: 1, lineage: 'N', history: { ...history, lineage: 'N', former: 'M' } })
    .tell(250, { kind: 'tick' }).answered(251, { row: 'missing' }).joined(252).answered(253, { lineage: undefined, history })
  t.match(later.effects.find((effect) => effect.kind === 'putBack') ?? later.state, { lineage: 'L', heardBy: id, digests: ['k'] }, 'two lineages were founded since')
  const unborne = heard({ lineage: undefined }).joined(152).answered(153, { lineage: undefined, history })
  t.match(unborne.effects.find((effect) => effect.kind === 'putBack') ?? unborne.state, { lineage: 'L', heardBy: id, digests: ['k'] }, 'heard without a lineage')
  const elsewhere = heard().joined(152).answered(153, { lineage: undefined, history: { ...history, lineage: 'O', former: 'N' } })
  t.notOk(elsewhere.kinds().includes('putBack'), 'in another lineage they are no business of ours')
})

t.test('what was heard with a lineage and what was heard after it without one are put back one after the other, each by its own proof', async (t) => {
  const r = member({ seq: 1, rows: [change(1)] }).tell(150, { kind: 'tick' }).answered(151, { row: 'missing' }).joined(152)
  const done = (now: number): void => {
    const asked = r.effects.find((effect) => effect.kind === 'putBack')!
    r.tell(now, { kind: 'putBack', number: asked.number, isDone: true })
  }
  r.answered(153, { lineage: undefined })
  done(154)
  r.tell(250, { kind: 'tick' }).answered(251, { seq: 2, rows: [change(2, 'later')], lineage: undefined })
  const { id } = r.state
  r.tell(450, { kind: 'tick' }).answered(451, { row: 'missing' }).joined(452).answered(453, { lineage: undefined })
  t.match(r.effects.find((effect) => effect.kind === 'putBack') ?? r.state, { lineage: 'L', heardBy: undefined, digests: ['k'] })
  for (const key of ['k', 'later']) t.equal(r.judgeFresh(0, 9, 454, key), 'revoked')
  done(455)
  r.tell(650, { kind: 'tick' }).answered(651, { lineage: undefined })
  t.match(r.effects.find((effect) => effect.kind === 'putBack') ?? r.state, { lineage: 'L', heardBy: id, digests: ['later'] })
  done(655)
  r.tell(850, { kind: 'tick' }).answered(851, { lineage: 'L' })
  t.strictSame(r.state.held, [])
})

t.test('with its lineage, which is given up after an outage, a replica loses the proof of what it heard: the database is told of it under its id as well', async (t) => {
  const r = member({ seq: 1, rows: [change(1)] }).tell(150, { kind: 'tick' }).answered(151, { seq: 1, lineage: undefined })
  t.match(r.effects.find((effect) => effect.kind === 'putBack') ?? r.state, { lineage: 'L', heardBy: undefined, digests: ['k'] })
  t.equal(r.judgeFresh(0, 9, 152), 'revoked')
  t.notOk(r.kinds().includes('dropAll'), 'what is cached goes on')
})

t.test('few proofs are held: the newest', async (t) => {
  const r = member({ seq: 1, rows: [change(1, 'first')] })
  for (let i = 1; i <= 20; i++) {
    const now = 1000 * i
    r.tell(now, { kind: 'tick' }).answered(now + 1, { row: 'missing' }).joined(now + 2).answered(now + 3, { lineage: undefined, seq: 1, rows: [change(1, `of ${i}`)] })
  }
  t.equal(r.state.held.length + r.state.kept.length, 12)
  t.equal(r.judgeFresh(0, 9, 20_004, 'of 19'), 'revoked')
})

t.test('of one proof, ten thousand revocations are held: the newest', async (t) => {
  const digests = Array.from({ length: 10_001 }, (_, i) => `key ${i}` as Digest)
  const r = member({ seq: 1, rows: [{ seq: 1, action: 'revoke', target: { kind: 'key', digests } }] }).tell(150, { kind: 'tick' }).answered(151, { row: 'missing' })
  t.strictSame(r.state.held.map((one) => one.digests.size), [10_000])
  r.joined(152).answered(153, { lineage: undefined })
  t.strictSame(['key 0', 'key 1', 'key 10000'].map((key) => r.judgeFresh(0, 9, 154, key)), ['current', 'revoked', 'revoked'])
})

t.test('an answer about held revocations from before they were held again does not let them go', async (t) => {
  const r = member({ seq: 1, rows: [change(1)] }).tell(150, { kind: 'tick' }).answered(151, { seq: 1, history: { ...history, timeline: 'B' } })
  const asked = r.effects.find((effect) => effect.kind === 'putBack')!
  r.answered(152, { seq: 1, history: { ...history, timeline: 'C' } })
  r.tell(153, { kind: 'putBack', number: asked.number, isDone: true })
  t.equal(r.judgeFresh(0, 9, 154), 'revoked')
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
