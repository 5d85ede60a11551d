import t from 'tap'
import { MissBudget } from '../../src/core/miss-budget.ts'
import { RefusalMemory } from '../../src/core/refusal-memory.ts'
import { TokenFormat } from '../../src/core/token.ts'
import type { Digest, KeyRecord } from '../../src/core/key-record.ts'
import type { Entry } from '../../src/core/lookup.ts'
import { OverBudgetQueue } from '../../src/core/over-budget-queue.ts'
import { Verifier } from '../../src/core/verifier.ts'
import type { Standing } from '../../src/core/window/trust.ts'
import { unavailable } from '../../src/core/errors.ts'
import { MemoryTier } from '../../src/tiers/memory.ts'
import { ScriptedTier, turn } from '../contract-suites/lookup.ts'
import { until } from '../support/until.ts'

const format = new TokenFormat()

/** A verifier over a scripted tier, with a window that says of entries what the test tells it to. */
function setup ({ perMinute = 100, perNetworkMax = 0, behindPerNetworkMax = 0, timeoutMs = 900 }: { perMinute?: number, perNetworkMax?: number, behindPerNetworkMax?: number, timeoutMs?: number } = {}) {
  const time = { now: 0, database: 1_000_000 }
  const under = new ScriptedTier()
  const memory = new MemoryTier({ under, entriesMax: 10 })
  const uses: string[] = []
  const window = {
    judge: (_entry: Entry, _isFresh: boolean): Standing => 'current',
    opened: async (): Promise<void> => {},
    epoch: 0,
    databaseTime: () => time.database
  }
  const clock = { monotonicMs: () => time.now }
  const refusals = new RefusalMemory({ ttlMs: 1000, entriesMax: 2 })
  const verifier = new Verifier({
    format,
    lookup: memory,
    trust: { judge: (entry, _now, isFresh) => window.judge(entry, isFresh), opened: () => window.opened(), databaseTime: () => window.databaseTime(), get epoch () { return window.epoch } },
    clock,
    refusals,
    budget: new MissBudget({ clock, perMinute }),
    overBudget: new OverBudgetQueue({ everyMs: 1, perNetworkMax, behindPerNetworkMax }),
    usage: { note: (id) => { uses.push(id); return undefined } },
    timeoutMs
  })
  const { token, digest } = format.mint()
  const answer = async (entry: Entry | undefined) => {
    await turn()
    under.asked.at(-1)!.answer(entry)
  }
  return { time, under, memory, uses, window, verifier, token, digest, answer, refusals }
}

function rowOf (digest: Digest, fields: Partial<KeyRecord> = {}, asof = 1): Entry {
  return { asof, record: { id: 'k1', digest, workspaceId: 'w1', ownerId: null, name: 'n', scope: 'mcp:read', metadata: {}, createdAt: 0, expiresAt: null, revokedAt: null, limits: null, ...fields } }
}

t.test('a hit is answered in the same turn, and noted as a use', async (t) => {
  const { verifier, token, digest, answer, uses, under } = setup()
  const miss = verifier.verify(token)
  t.ok(miss instanceof Promise)
  await answer(rowOf(digest))
  await miss
  t.match(verifier.verify(token), { valid: true, key: { id: 'k1' } })
  t.equal(under.asked.length, 1)
  t.same(uses, ['k1', 'k1'])
})

t.test('a token of a wrong shape or checksum reaches no store and no budget', async (t) => {
  const { verifier, token, under } = setup({ perMinute: 0 })
  const last = token.endsWith('0') ? '1' : '0'
  for (const wrong of ['', 'nops_', token.slice(0, -1), token + 'a', token.slice(0, -1) + last, token.replace('nops_', 'nopx_'), token.replace(/.{3}$/, 'é€😀')]) {
    t.same(verifier.verify(wrong, { client: { ip: '192.0.2.1' } }), { valid: false, reason: 'malformed' })
  }
  t.equal(under.asked.length, 0)
})

t.test('a stale entry is read anew and judged anew; four times at most', async (t) => {
  const { verifier, token, digest, answer, window, under } = setup()
  const warm = verifier.verify(token)
  await answer(rowOf(digest, {}, 1))
  await warm
  window.judge = ({ asof }) => asof < 5 ? 'stale' : 'current'
  const verdict = verifier.verify(token)
  await turn()
  t.equal(under.asked.at(-1)?.isFresh, true)
  await answer(rowOf(digest, { revokedAt: 1 }, 5))
  t.same(await verdict, { valid: false, reason: 'revoked' })
  t.equal(verifier.stats().staleCaught, 1)
  window.judge = () => 'stale'
  verifier.forget({ kind: 'everything' })
  const endless = verifier.verify(token)
  for (let i = 0; i < 4; i++) await answer(rowOf(digest, {}, 5))
  await t.rejects(endless as Promise<unknown>, { code: 'unavailable' })
})

t.test('a revocation that overtakes a lookup is not undone by its answer', async (t) => {
  const { verifier, token, digest, answer, window } = setup()
  const verdict = verifier.verify(token)
  await turn()
  window.judge = () => 'revoked'
  await answer(rowOf(digest))
  t.same(await verdict, { valid: false, reason: 'revoked' })
})

t.test('what a cache says against a key is spoken only once the primary has said it too', async (t) => {
  for (const [fields, reason] of [[{ revokedAt: 1 }, 'revoked'], [{ expiresAt: 1_000_000 }, 'expired']] as const) {
    const { verifier, token, digest, answer } = setup()
    const confirmed = verifier.verify(token)
    await answer(rowOf(digest, fields))
    await answer(rowOf(digest, fields))
    t.same(await confirmed, { valid: false, reason })
    const denied = setup()
    const found = denied.verifier.verify(denied.token)
    await denied.answer(rowOf(denied.digest, fields))
    await denied.answer(rowOf(denied.digest))
    t.match(await found, { valid: true })
  }
})

t.test('expiry: the millisecond before, and this very one', async (t) => {
  const { verifier, token, digest, answer, time } = setup()
  const first = verifier.verify(token)
  await answer(rowOf(digest, { expiresAt: 1_000_001 }))
  t.match(await first, { valid: true })
  t.match(verifier.verify(token), { valid: true })
  time.database = 1_000_001
  const second = verifier.verify(token)
  await answer(rowOf(digest, { expiresAt: 1_000_001 }))
  t.same(await second, { valid: false, reason: 'expired' })
})

t.test('a refusal is remembered for a second at most, for few tokens, and not past a change', async (t) => {
  const { verifier, token, digest, answer, time, under, refusals } = setup()
  const unknown = verifier.verify(token)
  await answer(undefined)
  t.same(await unknown, { valid: false, reason: 'unknown' })
  time.now = 999
  t.same(verifier.verify(token), { valid: false, reason: 'unknown' })
  t.equal(under.asked.length, 1)
  time.now = 1000
  const again = verifier.verify(token)
  await answer(undefined)
  await again
  t.equal(under.asked.length, 2)
  for (const target of [{ kind: 'key', digests: [digest] }, { kind: 'workspace', workspaceId: 'w1' }, { kind: 'everything' }] as const) {
    verifier.forget(target)
    const asked = verifier.verify(token)
    await answer(undefined)
    await asked
  }
  t.equal(under.asked.length, 5)
  for (let i = 0; i < 5; i++) {
    const other = verifier.verify(format.mint().token)
    await answer(undefined)
    await other
  }
  t.equal(refusals.size, 2)
})

t.test('an answer that was asked for before everything became void, and comes after it, decides nothing: neither for a key nor against one', async (t) => {
  for (const answered of ['a key', 'no key'] as const) {
    const { verifier, token, digest, answer, window, memory } = setup()
    const verdict = verifier.verify(token)
    await turn()
    window.epoch++
    memory.drop({ kind: 'everything' })
    await answer(answered === 'a key' ? rowOf(digest, {}, 100) : undefined)
    await turn()
    t.equal(memory.peek(digest), undefined)
    await answer(answered === 'a key' ? rowOf(digest, { revokedAt: 1 }, 90) : rowOf(digest))
    t.match(await verdict, answered === 'a key' ? { valid: false, reason: 'revoked' } : { valid: true })
  }
})

t.test('everything becomes void again and again, as for a replica that was counted out and joins again: it is read again until it stays, or the time is up', async (t) => {
  const { verifier, token, digest, answer, window, time, under } = setup()
  const verdict = verifier.verify(token)
  for (let i = 0; i < 6; i++) {
    await turn()
    window.epoch++
    await answer(rowOf(digest))
    await turn()
  }
  await answer(rowOf(digest))
  t.match(await verdict, { valid: true })
  t.equal(under.asked.length, 7)

  const late = t.rejects(verifier.verify(format.mint().token) as Promise<unknown>, { code: 'unavailable' })
  for (let i = 0; i < 6; i++) {
    await turn()
    window.epoch++
    time.now += 200
    await answer(undefined)
    await turn()
  }
  await late
  const asked = under.asked.length
  await turn()
  t.equal(under.asked.length, asked, 'nobody waits for it any more: nothing is read')
  t.equal(asked, 7 + 5)
})

t.test('everything becomes void while the window is waited for: what was read before is read again', async (t) => {
  const { verifier, token, digest, answer, window } = setup()
  let open = () => {}
  window.judge = () => 'shut'
  window.opened = () => new Promise((resolve) => { open = resolve })
  const verdict = verifier.verify(token)
  await answer(rowOf(digest, {}, 100))
  await turn()
  window.epoch++
  window.judge = () => 'current'
  open()
  await answer(rowOf(digest, { revokedAt: 1 }, 90))
  t.match(await verdict, { valid: false, reason: 'revoked' })
})

t.test('while the window is shut nothing is accepted nor called unknown: it is waited for, then judged again', async (t) => {
  const { verifier, token, digest, answer, window } = setup()
  let open = () => {}
  window.judge = () => 'shut'
  window.opened = () => new Promise((resolve) => { open = resolve })
  const late = verifier.verify(token)
  await answer(rowOf(digest))
  await turn()
  window.judge = () => 'current'
  open()
  t.match(await late, { valid: true })
  const other = format.mint()
  window.opened = async () => { throw unavailable('shut') }
  const unknown = verifier.verify(other.token)
  await answer(undefined)
  await t.rejects(unknown as Promise<unknown>, { code: 'unavailable' })
})

t.test('an outage, whatever it says of itself, is unavailable and no refusal; nothing is remembered of it', async (t) => {
  const { verifier, token, digest, answer, under } = setup()
  const failed = verifier.verify(token)
  await turn()
  under.asked[0]!.fail(new Error('connection to 10.0.0.1 refused'))
  await t.rejects(failed as Promise<unknown>, { code: 'unavailable', retryAfterS: 1, message: /^(?!.*10\.0)/ })
  const healed = verifier.verify(token)
  await answer(rowOf(digest))
  t.match(await healed, { valid: true })
})

t.test('a lookup that never ends is given up in time', async (t) => {
  const { verifier, token } = setup({ timeoutMs: 20 })
  await t.rejects(verifier.verify(token) as Promise<unknown>, { code: 'unavailable' })
  t.equal(verifier.stats().unavailable, 1)
})

t.test('the budget counts unknown tokens alone, refuses the rest without a lookup, and comes back with time', async (t) => {
  const { verifier, token, digest, answer, time, under } = setup({ perMinute: 2 })
  const client = { ip: '2001:db8::1' }
  const unknown = async (from = client) => {
    const verdict = verifier.verify(format.mint().token, { client: from })
    await answer(undefined)
    return await verdict
  }
  const known = verifier.verify(token, { client })
  await answer(rowOf(digest))
  await known
  await unknown(); await unknown({ ip: '2001:db8:0:0:ffff::2' })
  const asked = under.asked.length
  await t.rejects(verifier.verify(format.mint().token, { client }) as Promise<unknown>, { code: 'too_many_unknown_tokens', retryAfterS: 30 })
  t.equal(under.asked.length, asked)
  t.match(verifier.verify(token, { client }), { valid: true })
  t.match(await unknown({ ip: '2001:db8:0:1::1' }), { reason: 'unknown' })
  time.now = 30_000
  t.match(await unknown(), { reason: 'unknown' })
})

t.test('behind an address whose budget is spent, keys that exist get through, as many as there are places', async (t) => {
  const { verifier, token, digest, under } = setup({ perMinute: 0, perNetworkMax: 2 })
  const client = { ip: '192.0.2.1' }
  const [good, invented, late] = [token, format.mint().token, format.mint().token].map((one) => verifier.verify(one, { client }) as Promise<unknown>)
  const refusal = { code: 'too_many_unknown_tokens' }
  await t.rejects(late!, refusal)
  await until(() => under.asked.length === 2)
  under.asked[0]!.answer(rowOf(digest))
  under.asked[1]!.answer(undefined)
  t.match(await good, { valid: true })
  await t.rejects(invented!, refusal)
  t.match(verifier.verify(token, { client }), { valid: true })
  t.equal(under.asked.length, 2)
})

t.test('a key that exists is told 429 once at most, however many tokens its neighbours invent: it is looked up behind that answer', async (t) => {
  const { verifier, token, digest, under, memory } = setup({ perMinute: 0, perNetworkMax: 1, behindPerNetworkMax: 10 })
  const client = { ip: '192.0.2.1' }
  const flood = () => { (verifier.verify(format.mint().token, { client }) as Promise<unknown>).catch(() => {}) }
  flood()
  await t.rejects(verifier.verify(token, { client }) as Promise<unknown>, { code: 'too_many_unknown_tokens' })
  await until(() => under.asked.length === 2)
  for (const asked of under.asked) asked.answer(asked.digest === digest ? rowOf(digest) : undefined)
  await until(() => memory.stats().entries === 1)
  flood()
  t.match(verifier.verify(token, { client }), { valid: true }, 'from memory, with no place at all')
})

t.test('the entry and everything else are judged in the same turn as the accept, and a miss is judged once', async (t) => {
  const { verifier, token, digest, answer, window, memory } = setup()
  const judged: boolean[] = []
  window.judge = (_entry, isFresh) => { judged.push(isFresh); return 'current' }
  const miss = verifier.verify(token)
  await answer(rowOf(digest))
  await miss
  t.strictSame(judged, [false])
  t.not(verifier.verify(token) instanceof Promise, true)
  t.strictSame(judged, [false, false])
  t.match(memory.stats(), { hits: 1, misses: 1 }, 'and memory is asked once each time')
})

t.test('only a row that was read from the primary for this very request is judged as fresh', async (t) => {
  const { verifier, token, digest, answer, window } = setup()
  const judged: boolean[] = []
  window.judge = (_entry, isFresh) => { judged.push(isFresh); return isFresh ? 'current' : 'stale' }
  const verdict = verifier.verify(token)
  await answer(rowOf(digest))
  await answer(rowOf(digest))
  t.match(await verdict, { valid: true })
  t.strictSame(judged, [false, true])
})
