import fc from 'fast-check'
import t from 'tap'
import type { KeyLimits, KeyRecord } from '../../src/core/key-record.ts'
import type { Entry } from '../../src/core/lookup.ts'
import { KeyTable } from '../../src/tiers/key-table.ts'
import { digest } from '../contract-suites/lookup.ts'
import { isLong } from '../support/long.ts'

/** As a driver makes them: what is written is packed, what is read back must be this again. */
function entryOf (name: string, { asof = 1, ...fields }: Partial<KeyRecord> & { asof?: number } = {}): Entry {
  const record: KeyRecord = {
    id: '0190f0b4-7c8a-7c8a-8c8a-0190f0b47c8a',
    digest: digest(name),
    workspaceId: 'w1',
    ownerId: 'o1',
    name,
    scope: 'mcp:read',
    metadata: {},
    createdAt: 1_763_856_000_123,
    expiresAt: null,
    revokedAt: null,
    limits: null,
    ...fields
  }
  return { record, asof }
}

function plain ({ asof, record: { digest, id, workspaceId, ownerId, name, scope, metadata, createdAt, expiresAt, revokedAt, limits } }: Entry) {
  return { asof, digest, id, workspaceId, ownerId, name, scope, metadata: { ...metadata }, createdAt, expiresAt, revokedAt, limits: limits && { ...limits, rateLimit: limits.rateLimit && { ...limits.rateLimit } } }
}

const noLimits: KeyLimits = { tokenEndsAt: null, allowedCidrs: null, rateLimit: null, awaitsFirstUse: false }
const rateLimit = { requests: 1_000_000, windowSeconds: 86_400 }

for (const { when, fields } of [
  { when: 'it is an ordinary one', fields: {} },
  { when: 'it may write', fields: { scope: 'mcp:write' } },
  { when: 'it expires', fields: { expiresAt: 1_800_000_000_001 } },
  { when: 'it expired at the epoch', fields: { expiresAt: 0 } },
  { when: 'nobody owns it', fields: { ownerId: null } },
  { when: 'its owner is an empty text', fields: { ownerId: '' } },
  { when: 'its name just fits', fields: { name: 'é'.repeat(40) } },
  { when: 'its name is longer than a row has room for', fields: { name: 'n'.repeat(41) } },
  { when: 'its name is not Latin-1', fields: { name: 'Schlüssel für 東京' } },
  { when: 'its name has the first character beyond Latin-1', fields: { name: 'Ā' } },
  { when: 'its name is empty', fields: { name: '' } },
  { when: 'it has metadata', fields: { metadata: { team: 'a' } } },
  { when: 'it is revoked', fields: { revokedAt: 1_763_856_000_124 } },
  { when: 'its id is no UUID', fields: { id: 'imported-7' } },
  { when: 'its id is a UUID of another spelling', fields: { id: '0190F0B4-7C8A-7C8A-8C8A-0190F0B47C8A' } },
  { when: 'its position is beyond 32 bits', fields: { asof: 2 ** 40 + 1 } },
  { when: 'it has a rate limit', fields: { limits: { ...noLimits, rateLimit } } },
  { when: 'it has a rate limit and a name that just fits beside it', fields: { name: 'é'.repeat(32), limits: { ...noLimits, rateLimit } } },
  { when: 'it has a rate limit and a longer name', fields: { name: 'é'.repeat(33), limits: { ...noLimits, rateLimit } } },
  { when: 'its rate limit is none that a row can hold', fields: { limits: { ...noLimits, rateLimit: { requests: 2 ** 31, windowSeconds: 0.5 } } } },
  { when: 'it has a rate limit and a list of addresses', fields: { limits: { ...noLimits, rateLimit, allowedCidrs: ['192.0.2.0/24'] } } },
  { when: 'it has a rate limit and its token ends', fields: { limits: { ...noLimits, rateLimit, tokenEndsAt: 1_800_000_000_001 } } },
  { when: 'it has a rate limit and its first use is awaited', fields: { limits: { ...noLimits, rateLimit, awaitsFirstUse: true } } },
  { when: 'its token ends', fields: { limits: { ...noLimits, tokenEndsAt: 1_800_000_000_001 } } },
  { when: 'its digest has every bit set', fields: { digest: 'ÿ'.repeat(32) as KeyRecord['digest'] } }
] as Array<{ when: string, fields: Partial<KeyRecord> & { asof?: number } }>) {
  t.test(`an entry comes back as it went in when ${when}, each time it is asked for`, async (t) => {
    const table = new KeyTable({ entriesMax: 4, readyMax: 1 })
    const entry = entryOf('a', fields)
    table.set(entry)
    table.set(entryOf('b', { id: 'ffffffff-ffff-ffff-ffff-ffffffffffff', workspaceId: 'w2', ownerId: 'o2' }))
    for (let times = 0; times < 4; times++) {
      t.same(plain(table.get(entry.record.digest)!), plain(entry))
      t.equal(table.get(digest('b'))?.record.name, 'b')
    }
    t.equal(table.asof(entry.record.digest), entry.asof)
  })
}

t.test('what it hands out cannot be changed, and does not print the digest', async (t) => {
  const table = new KeyTable({ entriesMax: 4 })
  table.set(entryOf('a'))
  const { record } = table.get(digest('a'))!
  t.throws(() => { (record as { scope: string }).scope = 'mcp:write' }, TypeError)
  t.throws(() => { (record.metadata as Record<string, string>)['team'] = 'x' }, TypeError)
  table.set(entryOf('b', { limits: { ...noLimits, rateLimit: { requests: 1, windowSeconds: 1 } } }))
  t.throws(() => { (table.get(digest('b'))!.record.limits!.rateLimit as { requests: number }).requests = 9 }, TypeError)
  t.notMatch(JSON.stringify({ ...record }), 'digest')
})

t.test('digests that begin alike are told apart', async (t) => {
  const table = new KeyTable({ entriesMax: 100 })
  const names = Array.from({ length: 50 }, (_, i) => `same${i}`)
  for (const name of names) table.set(entryOf(name))
  for (const name of names) t.equal(table.get(digest(name))?.record.name, name)
  table.delete(digest('same25'))
  t.same(names.filter((name) => table.get(digest(name)) === undefined), ['same25'])
})

t.test('full: what has been used since the clock came by stays, however often the others are replaced', async (t) => {
  const table = new KeyTable({ entriesMax: 10 })
  table.set(entryOf('busy'))
  let largest = 0
  for (let i = 0; i < 1000; i++) {
    table.get(digest('busy'))
    table.set(entryOf(`once ${i}`))
    largest = Math.max(largest, table.size)
  }
  t.equal(largest, 10)
  t.ok(table.get(digest('busy')))
  t.ok(table.get(digest('once 999')))
  t.equal(table.get(digest('once 900')), undefined)
})

t.test('full: where everything has been used something goes all the same', async (t) => {
  const table = new KeyTable({ entriesMax: 2000 })
  for (let i = 0; i < 4000; i++) {
    table.set(entryOf(`k${i}`))
    table.get(digest(`k${i}`))
  }
  t.equal(table.size, 2000)
})

t.test('whatever is done to it, it holds what a plain map of the same entries would', async () => {
  const name = fc.integer({ min: 0, max: 15 }).map((i) => `k${i}`)
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('set' as const), name, workspace: fc.integer({ min: 0, max: 3 }), owner: fc.integer({ min: 0, max: 2 }), unusual: fc.boolean(), asof: fc.nat() }) },
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('get' as const), name }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), name }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('drop' as const), workspace: fc.integer({ min: 0, max: 3 }) }) }
  )
  fc.assert(fc.property(fc.array(step, { maxLength: 300 }), fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 4 }), (steps, entriesMax, readyMax) => {
    const table = new KeyTable({ entriesMax, readyMax })
    const model = new Map<string, Entry>()
    for (const step of steps) {
      if (step.kind === 'set') {
        const entry = entryOf(step.name, { asof: step.asof, workspaceId: `w${step.workspace}`, ownerId: step.owner === 0 ? null : `o${step.owner}`, ...step.unusual ? { metadata: { is: 'unusual' } } : {} })
        table.set(entry)
        model.set(step.name, entry)
      } else if (step.kind === 'delete') {
        table.delete(digest(step.name))
        model.delete(step.name)
      } else if (step.kind === 'drop') {
        table.dropWorkspace(`w${step.workspace}`)
        for (const [name, { record }] of model) if (record.workspaceId === `w${step.workspace}`) model.delete(name)
      } else {
        const [found, expected] = [table.get(digest(step.name)), model.get(step.name)]
        if (found === undefined && expected !== undefined && entriesMax < 16) model.delete(step.name)
        else if (found === undefined || expected === undefined ? found !== expected : JSON.stringify(plain(found)) !== JSON.stringify(plain(expected))) return false
      }
      if (table.size > entriesMax || (entriesMax >= 16 && table.size !== model.size)) return false
    }
    return true
  }), { numRuns: isLong ? 2000 : 500 })
})
