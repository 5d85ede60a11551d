import t from 'tap'
import type { Redis } from 'ioredis'
import type { Digest } from '../../src/core/key-record.ts'
import type { Lookup } from '../../src/core/lookup.ts'
import { AnswerRefused } from '../../src/core/window/store.ts'
import { CoalescingTier } from '../../src/tiers/coalescing.ts'
import { LineageKey } from '../../src/tiers/lineage-key.ts'
import { MemoryTier } from '../../src/tiers/memory.ts'
import { PostgresTier } from '../../src/tiers/postgres.ts'
import { RedisTier } from '../../src/tiers/redis.ts'
import { encodeRow, rowName, type RowSeal } from '../../src/tiers/redis-row.ts'
import { Uncached } from '../../src/tiers/uncached.ts'
import { digest, entry, lookupContract, ScriptedTier, turn } from '../contract-suites/lookup.ts'
import { until } from '../support/until.ts'

const key = new LineageKey(Buffer.alloc(32, 7), 'a lineage')
const seal: RowSeal = { key, label: 'a lineage/1/00000001/1' }
const at = { position: () => ({ applied: 1000, place: 'here' }), onElsewhere: async () => {} }

/** A Redis that holds what it is given, and lies as it is told to. */
function fakeRedis (rows = new Map<string, string>()) {
  const state = { rows, reads: 0, failWith: undefined as Error | undefined }
  const redis = {
    async getrange (name: string) {
      state.reads++
      if (state.failWith !== undefined) throw state.failWith
      return rows.get(name) ?? ''
    },
    async set (name: string, value: string) {
      if (state.failWith !== undefined) throw state.failWith
      rows.set(name, value)
      return 'OK'
    }
  }
  return { state, redis: redis as unknown as Pick<Redis, 'getrange' | 'set'> }
}

interface RedisTierSetup {
  redis?: Pick<Redis, 'getrange' | 'set'>
  now? (): number
  sealed? (): RowSeal | undefined
  applied? (): number
}

function redisTier (under: Lookup, { redis = fakeRedis().redis, now = () => 0, sealed = () => seal, applied = () => 1000 }: RedisTierSetup = {}) {
  return new RedisTier({ under, redis, clock: { monotonicMs: now }, seal: sealed, applied })
}

const compositions: Record<string, (under: Lookup) => Lookup> = {
  memory: (under) => new MemoryTier({ under, entriesMax: 10 }),
  coalescing: (under) => new CoalescingTier({ under }),
  redis: (under) => redisTier(under),
  'all of them': (under) => new MemoryTier({ under: new CoalescingTier({ under: redisTier(under) }), entriesMax: 10 })
}
for (const [name, tierOver] of Object.entries(compositions)) {
  t.test(`the contract of a lookup: ${name}`, (t) => lookupContract(t, tierOver))
}

/** The Postgres tier over a scripted one: each digest of a statement is asked for on its own. */
function postgresOver (under: Lookup) {
  return new PostgresTier({
    ...at,
    read: async (digests) => {
      const found = await Promise.all(digests.map((digest) => under.findFresh(digest)))
      const records = found.flatMap((entry, i) => entry === undefined ? [] : [[digests[i]!, entry.record] as const])
      return { seq: found.find((entry) => entry !== undefined)?.asof ?? 0, place: 'here', records: new Map(records) }
    }
  })
}

t.test('uncached reads the primary each time, however often it is asked', async (t) => {
  const under = new ScriptedTier()
  const tier = new Uncached({ under })
  const found = [tier.find(digest('a')), tier.find(digest('a'))]
  t.same(under.asked.map(({ isFresh }) => isFresh), [true, true])
  for (const asked of under.asked) asked.answer(undefined)
  t.same(await Promise.all(found), [undefined, undefined])
  t.equal(tier.peek(), undefined)
})

t.test('postgres: the record of another key is never handed on, and an outage rejects as unavailable', async (t) => {
  const under = new ScriptedTier()
  const tier = postgresOver(under)
  const mixedUp = tier.find(digest('a'))
  await turn()
  under.asked[0]!.answer(entry('b'))
  await t.rejects(mixedUp)
  const away = tier.find(digest('a'))
  await turn()
  under.asked[1]!.fail(new Error('password=secret'))
  await t.rejects(away, { code: 'unavailable', message: /^(?!.*secret)/ })
})

t.test('postgres: all who ask in one turn share a statement; who asks after it was sent does not', async (t) => {
  const statements: Array<{ digests: readonly Digest[], answer (): void }> = []
  const tier = new PostgresTier({
    ...at,
    read: (digests) => new Promise((resolve) => { statements.push({ digests, answer: () => resolve({ seq: statements.length, place: 'here', records: new Map() }) }) })
  })
  const first = [tier.find(digest('a')), tier.find(digest('b')), tier.findFresh(digest('a'))]
  await turn()
  const late = tier.findFresh(digest('a'))
  await turn()
  t.same(statements.map(({ digests }) => digests), [[digest('a'), digest('b')], [digest('a')]])
  for (const { answer } of statements) answer()
  await Promise.all([...first, late])
})

t.test('postgres: statements under way, keys in one and keys waiting are bounded, and waiting ones follow', async (t) => {
  const answers: Array<() => void> = []
  const sizes: number[] = []
  const tier = new PostgresTier({
    ...at,
    statementsMax: 1,
    digestsPerStatementMax: 2,
    waitingMax: 3,
    read: (digests) => new Promise((resolve) => { sizes.push(digests.length); answers.push(() => resolve({ seq: 1, place: 'here', records: new Map() })) })
  })
  const running = tier.find(digest('0'))
  await turn()
  const waiting = ['1', '2', '3'].map((name) => tier.find(digest(name)))
  await t.rejects(tier.find(digest('4')), { code: 'unavailable' })
  await turn()
  t.same(sizes, [1])
  for (let i = 0; i < 3; i++) {
    answers[i]!()
    await turn()
  }
  t.same(sizes, [1, 2, 1])
  await Promise.all([running, ...waiting])
  t.match(tier.stats(), { digestsWaiting: 0, statementsUnderWay: 0, refused: 1 })
})

t.test('postgres: a statement that is not answered is given up, with those that wait behind it, and the tier heals', async (t) => {
  let stuck = 0
  let unstick = () => {}
  let isFrozen = true
  const tier = new PostgresTier({
    ...at,
    statementsMax: 1,
    timeoutMs: 30,
    onStuck: () => { stuck++; unstick() },
    read: (digests) => isFrozen
      ? new Promise((_resolve, reject) => { unstick = () => reject(new Error('ended')) })
      : Promise.resolve({ seq: 1, place: 'here', records: new Map(digests.map((digest) => [digest, entry(digest.replace(/\.+$/, '')).record])) })
  })
  const sent = tier.find(digest('a'))
  await turn()
  await Promise.all([t.rejects(sent, { code: 'unavailable' }), t.rejects(tier.find(digest('b')), { code: 'unavailable' })])
  t.ok(stuck >= 1)
  isFrozen = false
  await turn()
  t.match(await tier.find(digest('c')), { asof: 1 })
  t.match(tier.stats(), { digestsWaiting: 0, statementsUnderWay: 0 })
})

t.test('postgres: when connections are given up because of one statement, one that was sent later and ended with them is read again', async (t) => {
  // All connections of the pool end together.
  const ends: Array<() => void> = []
  let isFrozen = true
  const reads: string[] = []
  const tier = new PostgresTier({
    ...at,
    timeoutMs: 300,
    onStuck: () => {
      for (const end of ends.splice(0)) end()
    },
    read: (digests) => {
      reads.push(digests[0]!.replace(/\.+$/, ''))
      if (isFrozen) return new Promise((_resolve, reject) => { ends.push(() => { reject(new Error('ended')) }) })
      return Promise.resolve({ seq: 1, place: 'here', records: new Map(digests.map((digest) => [digest, entry(digest.replace(/\.+$/, '')).record])) })
    }
  })
  const first = tier.find(digest('a'))
  first.catch(() => {})
  await until(() => reads.length === 1)
  await new Promise((resolve) => { setTimeout(resolve, 100) })
  const later = tier.find(digest('b'))
  await until(() => reads.length === 2)
  // The database answers again from here on, but not over these connections.
  isFrozen = false
  await t.rejects(first, { code: 'unavailable' }, 'what was given up is not read again')
  t.match(await later, { asof: 1 })
  t.same(reads, ['a', 'b', 'b'])
  t.match(tier.stats(), { digestsWaiting: 0, statementsUnderWay: 0 })

  // Nor is anything that fails by itself: an outage is told at once.
  isFrozen = true
  const failed = tier.find(digest('c'))
  await until(() => reads.length === 4)
  for (const end of ends.splice(0)) end()
  await t.rejects(failed, { code: 'unavailable' })
  t.equal(reads.length, 4)
})

t.test('postgres: statements that are never answered, as over the client of an application, do not stop those after them', async (t) => {
  let isStuck = true
  const tier = new PostgresTier({
    ...at,
    statementsMax: 2,
    timeoutMs: 30,
    read: (digests) => isStuck
      ? new Promise(() => {})
      : Promise.resolve({ seq: 1, place: 'here', records: new Map(digests.map((digest) => [digest, entry(digest.replace(/\.+$/, '')).record])) })
  })
  for (const name of ['a', 'b', 'c']) await t.rejects(tier.find(digest(name)), { code: 'unavailable' })
  isStuck = false
  t.match(await tier.find(digest('d')), { asof: 1 })
  t.match(tier.stats(), { digestsWaiting: 0, statementsUnderWay: 0 })
})

t.test('memory: bounded by the longest unused', async (t) => {
  const under = new ScriptedTier()
  const tier = new MemoryTier({ under, entriesMax: 2 })
  const load = async (name: string, fields = {}) => {
    const found = tier.findFresh(digest(name))
    under.asked.at(-1)!.answer(entry(name, fields))
    await found
  }
  await load('a'); await load('b')
  tier.peek(digest('a'))
  await load('c')
  t.same(['a', 'b', 'c'].map((name) => tier.peek(digest(name))?.record.name), ['a', undefined, 'c'])
  t.equal(tier.stats().entries, 2)
})

t.test('memory: what is dropped is gone at once: a key, a workspace with all its keys and no other, everything', async (t) => {
  const under = new ScriptedTier()
  const tier = new MemoryTier({ under, entriesMax: 100 })
  const load = async (name: string, workspaceId: string, asof = 1) => {
    const found = tier.findFresh(digest(name))
    under.asked.at(-1)!.answer(entry(name, { workspaceId, asof }))
    await found
  }
  const held = () => ['a', 'b', 'c', 'd'].filter((name) => tier.peek(digest(name)) !== undefined).join('')
  const loadAll = async () => { await load('a', 'w1'); await load('b', 'w1'); await load('c', 'w2'); await load('d', 'w2') }
  await loadAll()
  tier.drop({ kind: 'key', digests: [digest('a'), digest('never heard of')] })
  t.equal(held(), 'bcd')
  tier.drop({ kind: 'workspace', workspaceId: 'w2' })
  t.equal(held(), 'b')
  t.equal(tier.stats().entries, 1)
  await load('c', 'w2')
  t.equal(held(), 'bc', 'a dropped workspace fills again')
  tier.drop({ kind: 'workspace', workspaceId: 'w2' })
  tier.drop({ kind: 'workspace', workspaceId: 'unheard of' })
  t.equal(held(), 'b')
  await loadAll()
  t.equal(held(), 'abcd')
  t.equal(tier.stats().entries, 4)
  tier.drop({ kind: 'everything' })
  t.equal(held(), '')
  t.equal(tier.stats().entries, 0)
})

t.test('memory: an answer asked for before everything was dropped does not come back afterwards', async (t) => {
  const under = new ScriptedTier()
  const tier = new MemoryTier({ under, entriesMax: 10 })
  const found = tier.find(digest('a'))
  tier.drop({ kind: 'everything' })
  under.asked[0]!.answer(entry('a'))
  t.match(await found, { record: { name: 'a' } })
  t.equal(tier.peek(digest('a')), undefined)
})

t.test('memory: an older answer that comes late does not replace a newer one', async (t) => {
  const under = new ScriptedTier()
  const tier = new MemoryTier({ under, entriesMax: 10 })
  const [early, late] = [tier.find(digest('a')), tier.findFresh(digest('a'))]
  under.asked[1]!.answer(entry('a', { asof: 5 }))
  await late
  under.asked[0]!.answer(entry('a', { asof: 4 }))
  await early
  t.equal(tier.peek(digest('a'))?.asof, 5)
})

t.test('coalescing: one read for all who ask at the same time, and a new one afterwards', async (t) => {
  const under = new ScriptedTier()
  const tier = new CoalescingTier({ under })
  const found = [tier.find(digest('a')), tier.find(digest('a')), tier.find(digest('b'))]
  t.equal(under.asked.length, 2)
  under.asked[0]!.answer(entry('a'))
  under.asked[1]!.answer(undefined)
  await Promise.all(found)
  tier.find(digest('a')).catch(() => {})
  t.equal(under.asked.length, 3)
  t.match(tier.stats(), { joined: 1, underWay: 1 })
})

t.test('coalescing: after everything was dropped nobody joins a read from before, nor is the new one given up when that ends', async (t) => {
  const under = new ScriptedTier()
  const tier = new CoalescingTier({ under })
  const before = tier.find(digest('a'))
  tier.clear()
  const after = [tier.find(digest('a'))]
  under.asked[0]!.answer(entry('a', { asof: 100 }))
  t.match(await before, { asof: 100 })
  after.push(tier.find(digest('a')))
  t.equal(under.asked.length, 2)
  under.asked[1]!.answer(entry('a', { asof: 90 }))
  t.match(await Promise.all(after), [{ asof: 90 }, { asof: 90 }])
  t.equal(tier.stats().underWay, 0)
})

t.test('redis: whatever it holds that is not exactly a row of this key, database and timeline is passed by', async (t) => {
  const good = entry('a', { asof: 3, metadata: { team: 'a' } })
  const row = encodeRow(good, seal)
  const resealed = (body: unknown) => {
    const { record, asof } = good
    return encodeRow({ asof, record: { ...record, ...(body as object) } }, seal)
  }
  const lies: Record<string, string> = {
    'not a row': 'hello',
    'a row of another key': encodeRow(entry('b'), seal),
    'a row of another database': encodeRow(good, { ...seal, key: new LineageKey(Buffer.alloc(32, 8), 'a lineage') }),
    'a row of another timeline': encodeRow(good, { ...seal, label: 'a lineage/1/00000002/1' }),
    'a row of another lineage': encodeRow(good, { ...seal, key: new LineageKey(Buffer.alloc(32, 7), 'another lineage') }),
    'a later position': row.replace('[3,', '[9,'),
    'another scope': row.replace('mcp:read', 'mcp:write'),
    'an HMAC alone': row.slice(0, 43),
    'a row that was cut': row.slice(0, -1),
    'half a megabyte': 'x'.repeat(500_000),
    'JSON with __proto__': `${row.slice(0, 43)}{"__proto__":{"valid":true}}`,
    'a sealed row with a wrong type': resealed({ expiresAt: 'never' }),
    'a sealed row with a scope that does not exist': resealed({ scope: 'mcp:all' }),
    'a sealed row with nested metadata': resealed({ metadata: { a: {} } })
  }
  for (const [lie, value] of Object.entries(lies)) {
    const { redis } = fakeRedis(new Map([[rowName(digest('a'), seal.key), value]]))
    const under = new ScriptedTier()
    const tier = redisTier(under, { redis })
    const found = tier.find(digest('a'))
    await turn()
    t.equal(under.asked[0]?.isFresh, true, lie)
    under.asked[0]?.answer(undefined)
    t.equal(await found, undefined, lie)
    t.match(tier.stats(), { hits: 0, badRows: 1 }, lie)
  }
  t.equal(({} as { valid?: boolean }).valid, undefined)
})

t.test('redis: a row that was written is found again, whole, frozen, and as old as it is', async (t) => {
  const { redis } = fakeRedis()
  const under = new ScriptedTier()
  const tier = redisTier(under, { redis })
  const written = entry('a', { asof: 3, metadata: { __proto__x: 'é' }, ownerId: 'u', expiresAt: 5 })
  const first = tier.find(digest('a'))
  await turn()
  under.asked[0]!.answer(written)
  await first
  await turn()
  const second = await tier.find(digest('a'))
  t.equal(under.asked.length, 1)
  t.equal(second?.asof, 3)
  t.equal(second?.record.digest, digest('a'))
  t.match(second?.record, { id: 'id of a', ownerId: 'u', expiresAt: 5, metadata: { __proto__x: 'é' } })
  t.ok(Object.isFrozen(second?.record) && Object.isFrozen(second?.record.metadata))
  t.notMatch(JSON.stringify(second), digest('a'))
})

t.test('redis: a row that is newer than what this replica has applied is a miss', async (t) => {
  const { redis } = fakeRedis(new Map([[rowName(digest('a'), seal.key), encodeRow(entry('a', { asof: 8 }), seal)]]))
  for (const { applied, isFound } of [{ applied: 8, isFound: true }, { applied: 7, isFound: false }]) {
    const under = new ScriptedTier()
    const tier = redisTier(under, { redis, applied: () => applied })
    const found = tier.find(digest('a'))
    await turn()
    t.equal(under.asked.length, isFound ? 0 : 1)
    under.asked[0]?.answer(undefined)
    t.equal(await found !== undefined, isFound)
    t.match(tier.stats(), { hits: isFound ? 1 : 0, misses: isFound ? 0 : 1 })
  }
})

t.test('redis: names say nothing of the secret, and differ between lineages of one database', async (t) => {
  const other = new LineageKey(Buffer.alloc(32, 7), 'another lineage')
  t.not(rowName(digest('a'), key), rowName(digest('a'), other))
  t.not(key.bytes.equals(other.bytes), true)
})

t.test('postgres: an entry is as old as what this replica had applied when the read was sent, and says what the row showed', async (t) => {
  let applied = 5
  const answers: Array<() => void> = []
  const tier = new PostgresTier({
    ...at,
    position: () => ({ applied, place: 'here' }),
    read: (digests) => new Promise((resolve) => { answers.push(() => resolve({ seq: 9, place: 'here', records: new Map([[digests[0]!, entry('a').record]]) })) })
  })
  const found = tier.find(digest('a'))
  await turn()
  applied = 9
  answers[0]!()
  t.match(await found, { asof: 5, seq: 9 })
})

t.test('postgres: what another server says decides nothing: a renewal finds out, and the key is read once more', async (t) => {
  let place = 'here'
  let renewals = 0
  const reads: string[] = []
  const stuck: unknown[] = []
  const tier = new PostgresTier({
    onStuck: (error) => { stuck.push(error) },
    position: () => ({ applied: 9, place }),
    onElsewhere: async () => { renewals++; if (renewals === 1) place = 'there' },
    read: async () => { reads.push(place); return { seq: 9, place: 'there', records: new Map() } }
  })
  t.equal(await tier.find(digest('a')), undefined)
  t.strictSame(reads, ['here', 'there'])
  t.equal(stuck.length, 0)
  place = 'elsewhere'
  await t.rejects(tier.find(digest('a')), { code: 'unavailable' }, 'and never "no such key" from a place that nobody knows')
  t.equal(renewals, 3)
  t.equal(stuck.length, 1, 'and the connections that lead there are given up')
})

t.test('postgres: an answer that does not prove itself is not known, its connection is given up, and it is counted', async (t) => {
  let isRefused = true
  const stuck: unknown[] = []
  const tier = new PostgresTier({
    ...at,
    onStuck: (error) => { stuck.push(error) },
    read: async () => {
      if (isRefused) throw new AnswerRefused('it is the answer to another statement')
      return { seq: 1, place: 'here', records: new Map() }
    }
  })
  await t.rejects(tier.find(digest('a')), { code: 'unavailable' })
  t.equal(stuck.length, 1)
  t.equal(tier.stats().answersRefused, 1)
  isRefused = false
  t.equal(await tier.find(digest('a')), undefined)
})

t.test('redis: away, it is passed by for a second, then asked again; a reply that says no concerns its row alone', async (t) => {
  let now = 0
  const { redis, state } = fakeRedis()
  const under: Lookup = { find: async () => entry('a'), findFresh: async () => entry('a') }
  const tier = redisTier(under, { redis, now: () => now })
  state.failWith = Object.assign(new Error('WRONGTYPE'), { name: 'ReplyError' })
  await tier.find(digest('a')); await tier.find(digest('a'))
  t.equal(state.reads, 2)
  state.failWith = new Error('Command timed out')
  for (let i = 0; i < 5; i++) t.match(await tier.find(digest('a')), { record: { name: 'a' } })
  t.equal(state.reads, 3)
  now = 1001
  state.failWith = undefined
  await tier.find(digest('a'))
  t.equal(state.reads, 4)
})

t.test('redis: nothing is read or written until the database has been reached, nor under a timeline learnt after the read', async (t) => {
  const { redis, state } = fakeRedis()
  const under = new ScriptedTier()
  const known: { seal?: RowSeal } = {}
  const tier = redisTier(under, { redis, sealed: () => known.seal })
  const found = tier.find(digest('a'))
  await turn()
  known.seal = { ...seal, label: 'a lineage/1/00000002/1' }
  under.asked[0]!.answer(entry('a'))
  await found
  await turn()
  t.equal(state.reads + state.rows.size, 0)
})

t.test('redis: one that has none of the keys is asked for one in sixteen, until it has one; tokens that do not exist say nothing of it', async (t) => {
  const { redis, state } = fakeRedis()
  let known = false
  const under: Lookup = { find: async (digest) => known ? { ...entry('a'), record: { ...entry('a').record, digest } } : undefined, findFresh: async (digest) => await under.find(digest) }
  // Nothing is written, so that what Redis has is decided here.
  const tier = redisTier(under, { redis: { ...redis, set: async () => 'OK' } as typeof redis })
  const askFor = async (count: number) => {
    const before = state.reads
    for (let i = 0; i < count; i++) await tier.find(digest('a'))
    return state.reads - before
  }
  t.equal(await askFor(200), 200, 'strangers')
  known = true
  t.equal(await askFor(64), 64)
  t.equal(await askFor(160), 10)
  t.match(tier.stats(), { unasked: 150, hits: 0 })
  state.rows.set(rowName(digest('a'), seal.key), encodeRow(entry('a'), seal))
  t.ok(await askFor(16) >= 1, 'it is found out that others have filled it')
  t.equal(await askFor(20), 20)
})

t.test('redis: rows are sealed and written after the answers, some at a time, and a thousand wait at most', async (t) => {
  const { redis, state } = fakeRedis()
  const under: Lookup = { find: async (digest) => ({ ...entry('a'), record: { ...entry('a').record, digest } }), findFresh: async (digest) => await under.find(digest) }
  const tier = redisTier(under, { redis })
  const digests = Array.from({ length: 1200 }, (_, i) => digest(String(i)))
  t.equal(new Set(digests).size, 1200)
  await Promise.all(digests.map(async (digest) => await tier.findFresh(digest)))
  t.equal(state.rows.size, 0, 'everybody has been answered')
  t.match(tier.stats(), { writesUnderWay: 1000, writesSkipped: 200 })
  await turn()
  t.ok(state.rows.size > 0 && state.rows.size <= 64, `${state.rows.size} of them in a turn`)
  await until(() => tier.stats().written === 1000)
  t.equal(state.rows.size, 1000)
  t.match(tier.stats(), { writesUnderWay: 0 })
})
