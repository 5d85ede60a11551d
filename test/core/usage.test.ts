import t from 'tap'
import { CallLog, type AgedCall } from '../../src/core/call-log.ts'
import { silentLogger } from '../../src/core/logger.ts'
import type { Digest } from '../../src/core/key-record.ts'
import { UsageBatcher, type UsageBatch, type UsageGap } from '../../src/core/usage.ts'

type Options = Partial<ConstructorParameters<typeof UsageBatcher>[0]>

/** A batcher whose writes end when the test says so. */
function setup (options: Options = {}) {
  const time = { now: 0 }
  const writes: Array<{ batch: UsageBatch, ages: Record<string, number | null>, succeed (): void, fail (): void }> = []
  const batcher = new UsageBatcher({
    clock: { monotonicMs: () => time.now },
    log: silentLogger,
    flushEveryMs: 3_600_000,
    record: (batch) => new Promise((resolve, reject) => {
      const ages = Object.fromEntries(batch.uses.map(({ keyId, ageMs }) => [keyId, ageMs]))
      writes.push({ batch, ages, succeed: resolve, fail: () => reject(new Error('away')) })
    }),
    ...options
  })
  return { time, writes, batcher }
}

t.test('many uses of few keys are one write: how often, how long ago, refusals by reason, tools and who', async (t) => {
  const { time, writes, batcher } = setup()
  for (let now = 0; now < 1000; now++) batcher.note(`k${now % 3}`, now, { ip: '203.0.113.9', headers: { 'user-agent': 'curl/8 (x)' } })
  batcher.noteRefused('k0', 'insufficient_scope')
  batcher.noteRefused('k9', 'revoked')
  batcher.noteRefused('k9', 'revoked')
  batcher.noteCall('k1', 'search', 'passed')
  batcher.noteCall('k1', 'search', 'denied')
  batcher.noteCall('k1', 'write', 'failed')
  time.now = 1000
  const flushed = batcher.flush()
  batcher.flush()
  t.equal(writes.length, 1)
  t.same(writes[0]!.ages, { k0: 1, k1: 3, k2: 2, k9: null })
  const byKey = Object.fromEntries(writes[0]!.batch.uses.map((use) => [use.keyId, use]))
  t.match(byKey['k0'], { accepted: 334, refused: { insufficient_scope: 1 }, user: { address: '203.0.113.9', client: 'curl/8' } })
  t.match(byKey['k9'], { accepted: 0, refused: { revoked: 2 }, user: undefined })
  t.same(byKey['k1']!.tools, [{ tool: 'search', calls: 2, denied: 1, failed: 0 }, { tool: 'write', calls: 1, denied: 0, failed: 1 }])
  writes[0]!.succeed()
  await flushed
  await batcher.flush()
  t.equal(writes.length, 1, 'nothing noted, nothing written')
  t.match(batcher.stats(), { flushed: 4, flushes: 1, dropped: 0, pending: 0 })
})

t.test('counters that were kept over a write are not counted on: each use is written once', async (t) => {
  const { writes, batcher } = setup()
  const first = batcher.note('a', 0)
  t.equal(batcher.note('a', 1, undefined, first), first)
  const flushed = batcher.flush()
  const second = batcher.note('a', 2, undefined, first)
  t.not(second, first)
  writes[0]!.succeed()
  await flushed
  batcher.note('a', 3, undefined, second)
  const again = batcher.flush()
  writes[1]!.succeed()
  await again
  t.same(writes.map(({ batch }) => batch.uses.map(({ keyId, accepted }) => [keyId, accepted])), [[['a', 2]], [['a', 2]]])
})

t.test('a write whose outcome is not known is sent again as it was, under the same id, and newer uses apart from it', async (t) => {
  const { writes, batcher } = setup()
  batcher.note('a', 0)
  const first = batcher.flush()
  batcher.note('a', 5)
  writes[0]!.fail()
  await first
  const second = batcher.flush()
  t.equal(writes[1]!.batch.id, writes[0]!.batch.id)
  t.match(writes[1]!.batch.uses, [{ keyId: 'a', accepted: 1 }])
  writes[1]!.succeed()
  await new Promise(setImmediate)
  t.not(writes[2]!.batch.id, writes[0]!.batch.id)
  t.match(writes[2]!.batch.uses, [{ keyId: 'a', accepted: 1 }])
  writes[2]!.succeed()
  await second
  t.match(batcher.stats(), { pending: 0, failures: 1 })
})

t.test('a key that invents names of tools does not use up the places of other keys', async (t) => {
  const { batcher, writes } = setup({ toolsMax: 600 })
  for (let i = 0; i < 2000; i++) batcher.noteCall('inventor', `tool-${i}`, 'denied')
  batcher.noteCall('honest', 'search', 'passed')
  const flushed = batcher.flush()
  const byKey = Object.fromEntries(writes[0]!.batch.uses.map((use) => [use.keyId, use]))
  writes[0]!.succeed()
  await flushed
  t.same(byKey['honest']!.tools, [{ tool: 'search', calls: 1, denied: 0, failed: 0 }])
  t.equal(byKey['inventor']!.tools.length, 501)
  t.same(byKey['inventor']!.tools.find(({ tool }) => tool === 'other'), { tool: 'other', calls: 1500, denied: 1500, failed: 0 })
  t.equal(batcher.stats().dropped, 0)
})

t.test('beyond the bounds uses and tools are dropped and counted', async (t) => {
  const { batcher, writes } = setup({ keysMax: 3, toolsMax: 2 })
  for (const key of ['a', 'b', 'c', 'd', 'e']) batcher.note(key, 0)
  for (const tool of ['one', 'two', 'three']) batcher.noteCall('c', tool, 'passed')
  t.equal(batcher.stats().dropped, 3)
  t.equal(writes.length, 1, 'half of the bound does not wait for the timer')
  writes[0]!.succeed()
})

t.test('while uses cannot be written the database is told so, and afterwards whether any were lost', async (t) => {
  const gaps: UsageGap[] = []
  let isAway = true
  const batcher = new UsageBatcher({
    clock: { monotonicMs: () => 0 },
    log: silentLogger,
    flushEveryMs: 3_600_000,
    keysMax: 2,
    record: async () => { if (isAway) throw new Error('away') },
    recordGap: async (gap) => { gaps.push(gap) }
  })
  t.teardown(() => batcher.close())
  batcher.note('a', 0)
  await batcher.flush()
  isAway = false
  await batcher.flush()
  t.strictSame(gaps.map(({ state }) => state), ['open', 'closed'], 'nothing was lost')
  isAway = true
  for (const key of ['a', 'b', 'c']) batcher.note(key, 0)
  await batcher.flush()
  await batcher.flush()
  isAway = false
  await batcher.flush()
  t.strictSame(gaps.map(({ state }) => state).slice(2), ['open', 'open', 'lost'])
  t.equal(new Set(gaps.map(({ id }) => id)).size, 1)
  isAway = true
  batcher.note('a', 0)
  await batcher.flush()
  t.match(gaps.at(-1), { state: 'open' })
  t.not(gaps.at(-1)!.id, gaps[0]!.id, 'what was lost stays written down')
  isAway = false
})

t.test('an ended token is written down once, however often it is used, and again an hour later', async (t) => {
  let now = 0
  const written: string[][] = []
  let isAway = true
  const batcher = new UsageBatcher({
    clock: { monotonicMs: () => now },
    log: silentLogger,
    flushEveryMs: 3_600_000,
    record: async () => {},
    recordEnded: async (digests) => {
      if (isAway) throw new Error('away')
      written.push([...digests])
    }
  })
  t.teardown(() => batcher.close())
  const use = async () => {
    batcher.noteEnded('d' as Digest, now)
    await batcher.flush()
  }
  await use()
  isAway = false
  await use()
  await use()
  t.strictSame(written, [['d']])
  now = 3_600_001
  await use()
  await use()
  t.strictSame(written, [['d'], ['d']])
})

t.test('who uses a key is looked at once a second, and nothing is kept that may be a secret or is not a plain text', async (t) => {
  const { batcher, writes } = setup({ holdsToken: (text) => text.includes('nops_') })
  let looks = 0
  const sender = (client: string) => ({ get ip () { looks++; return '198.51.100.7' }, headers: { 'user-agent': client } })
  for (let now = 0; now < 2000; now += 100) batcher.note('a', now, sender('curl/8'))
  t.equal(looks, 2)
  batcher.note('b', 0, sender('nops_secret'))
  batcher.note('c', 0, sender('a\nb'))
  batcher.note('d', 0, sender('x'.repeat(10_000)))
  batcher.flush()
  const clients = Object.fromEntries(writes[0]!.batch.uses.map(({ keyId, user }) => [keyId, user?.client]))
  t.match(clients, { a: 'curl/8', b: undefined, c: undefined })
  t.equal(clients['d']!.length, 100)
  writes[0]!.succeed()
})

t.test('address and client are those of one use, at most a second older than the last: what is not known of it is not taken from an older one', async (t) => {
  const { batcher, writes } = setup()
  const sender = (ip: string, client?: string) => ({ ip, headers: { 'user-agent': client } })
  batcher.note('other sender', 0, sender('192.0.2.1', 'curl/8'))
  batcher.note('other sender', 1000, sender('192.0.2.2'))
  batcher.note('no sender', 0, sender('192.0.2.1', 'curl/8'))
  batcher.note('no sender', 1000)
  batcher.note('same second', 0, sender('192.0.2.1', 'curl/8'))
  batcher.note('same second', 999)
  batcher.note('never a sender', 0)
  batcher.flush()
  t.strictSame(Object.fromEntries(writes[0]!.batch.uses.map(({ keyId, user }) => [keyId, user])), {
    'other sender': { address: '192.0.2.2', client: undefined },
    'no sender': undefined,
    'same second': { address: '192.0.2.1', client: 'curl/8' },
    'never a sender': undefined
  })
  writes[0]!.succeed()
})

t.test('the name that an MCP client gives itself wins over its user agent, with the address of its own use, unless the key was used by others since', async (t) => {
  const { batcher, writes } = setup({ addresses: 'prefix', holdsToken: (text) => text.includes('nops_') })
  const agent = (ip: string) => ({ ip, headers: { 'user-agent': 'node' } })
  for (const key of ['named', 'long call', 'secret name']) batcher.note(key, 0, agent('192.0.2.1'))
  batcher.noteClient('named', { address: '192.0.2.1', client: 'claude-code/2.1' }, 0)
  batcher.note('named', 500, agent('192.0.2.1'))
  batcher.note('long call', 2000, agent('198.51.100.7'))
  batcher.noteClient('long call', { address: '192.0.2.1', client: 'claude-code/2.1' }, 0)
  batcher.noteClient('secret name', { address: '192.0.2.1', client: 'nops_secret' }, 0)
  batcher.noteRefused('refused', 'expired')
  batcher.noteClient('refused', { address: '192.0.2.1', client: 'claude-code/2.1' }, 0)
  batcher.flush()
  t.strictSame(Object.fromEntries(writes[0]!.batch.uses.map(({ keyId, user }) => [keyId, user])), {
    named: { address: '192.0.2.0/24', client: 'claude-code/2.1' },
    'long call': { address: '198.51.100.0/24', client: 'node' },
    'secret name': { address: '192.0.2.0/24', client: 'node' },
    refused: undefined
  })
  writes[0]!.succeed()
})

for (const { addresses, given, kept } of [
  { addresses: 'full', given: '203.0.113.9', kept: '203.0.113.9' },
  { addresses: 'prefix', given: '203.0.113.9', kept: '203.0.113.0/24' },
  { addresses: 'prefix', given: '2001:db8:1:2:3:4:5:6', kept: '2001:db8:1::/48' },
  { addresses: 'prefix', given: '::ffff:203.0.113.9', kept: '203.0.113.0/24' },
  { addresses: 'off', given: '203.0.113.9', kept: undefined }
] as const) {
  t.test(`of the address ${given}, ${addresses} keeps ${kept ?? 'nothing'}`, async (t) => {
    const { batcher, writes } = setup({ addresses })
    batcher.note('a', 0, { ip: given })
    batcher.flush()
    t.equal(writes[0]!.batch.uses[0]!.user!.address, kept)
    writes[0]!.succeed()
  })
}

t.test('close writes what is left, and a database that does not answer does not hold it up', async (t) => {
  const { writes, batcher } = setup({ closeTimeoutMs: 20 })
  batcher.note('a', 0)
  const flushing = batcher.flush()
  batcher.note('b', 0)
  const closing = batcher.close()
  writes[0]!.succeed()
  await flushing
  await closing
  t.equal(writes.length, 2)
  t.equal(batcher.stats().pending, 1)
})

t.test('calls are written in batches, repeated as they were, and dropped beyond the bound', async (t) => {
  const written: Array<readonly AgedCall[]> = []
  let fails = true
  const calls = new CallLog({
    clock: { monotonicMs: () => 100 },
    log: silentLogger,
    flushEveryMs: 3_600_000,
    callsMax: 2,
    record: async (batch) => {
      written.push(batch)
      if (fails) throw new Error('away')
    }
  })
  const call = { workspaceId: 'w', keyId: 'k', upstream: 'u', method: 'tools/call', tool: 'search', decision: 'passed' as const, status: 200, ms: 3 }
  for (const id of ['1', '2', '3']) calls.note({ ...call, id }, 90)
  await calls.flush()
  fails = false
  await calls.close()
  t.same(written.map((batch) => batch.map(({ id, ageMs }) => [id, ageMs])), [[['1', 10], ['2', 10]], [['1', 10], ['2', 10]]])
  t.same(calls.stats(), { pending: 0, written: 2, dropped: 1, failures: 1 })
})
