import * as fc from 'fast-check'
import t from 'tap'
import type { Digest } from '../../../src/core/key-record.ts'
import type { ChangeTarget } from '../../../src/core/lookup.ts'
import { emptyTail, extendTail, newsInTail, type Tail } from '../../../src/core/window/tail.ts'
import type { LoggedChange } from '../../../src/core/window/trust.ts'

const target: fc.Arbitrary<ChangeTarget> = fc.oneof(
  { weight: 8, arbitrary: fc.nat({ max: 5 }).map((key) => ({ kind: 'key' as const, digest: `k${key}` as Digest })) },
  { weight: 2, arbitrary: fc.nat({ max: 1 }).map((workspace) => ({ kind: 'workspace' as const, workspaceId: `w${workspace}` })) },
  { weight: 1, arbitrary: fc.constant({ kind: 'everything' as const }) }
)
const batches = fc.array(fc.array(fc.record({ target, action: fc.constantFrom('revoke', 'change') }), { maxLength: 8 }), { maxLength: 30 })

function newsIn (rows: readonly LoggedChange[], asof: number, digest: string, workspaceId: string): 'none' | 'changed' | 'revoked' {
  const newer = rows.filter(({ seq, target }) => seq > asof && (target.kind === 'everything' ||
    (target.kind === 'key' && target.digest === digest) || (target.kind === 'workspace' && target.workspaceId === workspaceId)))
  if (newer.some(({ target, action }) => target.kind === 'key' && action === 'revoke')) return 'revoked'
  return newer.length > 0 ? 'changed' : 'none'
}

t.test('a tail says of every entry what the whole log says, down to where it was pruned', async (t) => {
  fc.assert(fc.property(batches, fc.integer({ min: 1, max: 60 }), (batches, rowsMax) => {
    let seq = 0
    let floor = 0
    let tail: Tail = emptyTail
    const log: LoggedChange[] = []
    for (const batch of batches) {
      const rows = batch.map((row) => ({ ...row, seq: ++seq }) as LoggedChange)
      log.push(...rows)
      const extended = extendTail(tail, rows, rowsMax)
      tail = extended.tail
      floor = Math.max(floor, extended.prunedTo)
      if (tail.size > rowsMax) return false
      if (tail.size !== tail.segments.reduce((size, segment) => size + segment.rows.length, 0)) return false
    }
    for (let asof = floor; asof <= seq; asof++) {
      for (const key of [0, 1, 2, 3, 4, 5]) {
        if (newsInTail(tail, asof, `k${key}` as Digest, `w${key % 2}`) !== newsIn(log, asof, `k${key}`, `w${key % 2}`)) return false
      }
    }
    return true
  }), { seed: 1, numRuns: 300 })
  t.pass()
})

t.test('pruning lets go of a tenth of the tail at most', async (t) => {
  const rows = Array.from({ length: 10_001 }, (_, i): LoggedChange => ({ seq: i + 1, action: 'revoke', target: { kind: 'key', digest: `k${i}` as Digest } }))
  let tail: Tail = emptyTail
  for (const row of rows) tail = extendTail(tail, [row], 10_000).tail
  t.ok(tail.size > 8999 && tail.size <= 10_000, `${tail.size} rows`)
  t.ok(tail.segments.length < 40, `${tail.segments.length} segments`)
})

t.test('an older tail stays as it was', async (t) => {
  const one: LoggedChange = { seq: 1, action: 'revoke', target: { kind: 'key', digest: 'k' as Digest } }
  const before = extendTail(emptyTail, [one], 100).tail
  extendTail(before, [{ ...one, seq: 2 }], 100)
  t.match(before, { newest: 1, size: 1 })
})
