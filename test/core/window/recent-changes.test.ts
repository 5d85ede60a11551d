import * as fc from 'fast-check'
import t from 'tap'
import type { Digest } from '../../../src/core/key-record.ts'
import type { ChangeTarget } from '../../../src/core/lookup.ts'
import { extendChanges, newsOf, noChanges, rowsOf, type RecentChanges } from '../../../src/core/window/recent-changes.ts'
import type { LoggedChange } from '../../../src/core/window/trust.ts'

const target: fc.Arbitrary<ChangeTarget> = fc.oneof(
  { weight: 8, arbitrary: fc.uniqueArray(fc.nat({ max: 5 }), { minLength: 1, maxLength: 2 }).map((keys) => ({ kind: 'key' as const, digests: keys.map((key) => `k${key}` as Digest) })) },
  { weight: 2, arbitrary: fc.nat({ max: 1 }).map((workspace) => ({ kind: 'workspace' as const, workspaceId: `w${workspace}` })) },
  { weight: 1, arbitrary: fc.constant({ kind: 'everything' as const }) }
)
const batches = fc.array(fc.array(fc.record({ target, action: fc.constantFrom('revoke', 'change') }), { maxLength: 8 }), { maxLength: 30 })

function newsIn (rows: readonly LoggedChange[], asof: number, digest: string, workspaceId: string): 'none' | 'changed' | 'revoked' {
  const newer = rows.filter(({ seq, target }) => seq > asof && (target.kind === 'everything' ||
    (target.kind === 'key' && target.digests.includes(digest as Digest)) || (target.kind === 'workspace' && target.workspaceId === workspaceId)))
  if (newer.some(({ target, action }) => target.kind === 'key' && action === 'revoke')) return 'revoked'
  return newer.length > 0 ? 'changed' : 'none'
}

t.test('the recent changes say of every entry what the whole log says, down to where it was pruned', async (t) => {
  fc.assert(fc.property(batches, fc.integer({ min: 1, max: 60 }), (batches, rowsMax) => {
    let seq = 0
    let floor = 0
    let changes: RecentChanges = noChanges
    const log: LoggedChange[] = []
    for (const batch of batches) {
      const rows = batch.map((row) => ({ ...row, seq: ++seq }) as LoggedChange)
      log.push(...rows)
      const extended = extendChanges(changes, rows, rowsMax)
      changes = extended.changes
      floor = Math.max(floor, extended.prunedTo)
      if (changes.size > rowsMax) return false
      if (changes.size !== rowsOf(changes).length) return false
    }
    for (let asof = floor; asof <= seq; asof++) {
      for (const key of [0, 1, 2, 3, 4, 5]) {
        if (newsOf(changes, asof, `k${key}` as Digest, `w${key % 2}`) !== newsIn(log, asof, `k${key}`, `w${key % 2}`)) return false
      }
    }
    return true
  }), { seed: 1, numRuns: 300 })
  t.pass()
})

t.test('pruning lets go of a tenth of the changes at most', async (t) => {
  const rows = Array.from({ length: 10_001 }, (_, i): LoggedChange => ({ seq: i + 1, action: 'revoke', target: { kind: 'key', digests: [`k${i}` as Digest] } }))
  let changes: RecentChanges = noChanges
  for (const row of rows) changes = extendChanges(changes, [row], 10_000).changes
  t.ok(changes.size > 8999 && changes.size <= 10_000, `${changes.size} rows`)
  t.ok(changes.segments.length < 40, `${changes.segments.length} segments`)
})

t.test('what was extended stays as it was', async (t) => {
  const one: LoggedChange = { seq: 1, action: 'change', target: { kind: 'key', digests: ['k' as Digest] } }
  const before = extendChanges(noChanges, [one], 100).changes
  const copy = structuredClone(before)
  extendChanges(before, [{ ...one, seq: 2, action: 'revoke' }], 100)
  t.strictSame(before, copy)
  t.equal(newsOf(before, 0, 'k' as Digest, 'acme'), 'changed')
  t.equal(newsOf(before, 1, 'k' as Digest, 'acme'), 'none')
})
