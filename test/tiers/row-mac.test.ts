import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import type { Digest } from '../../src/core/key-record.ts'
import { RowMac } from '../../src/tiers/row-mac.ts'

t.test('it is the HMAC-SHA-256 that Node makes, whatever the key and the text, one after the other', async () => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 200 })
  const text = fc.record({ purpose: fc.string({ unit: 'binary', maxLength: 40 }), digest: fc.uint8Array({ minLength: 32, maxLength: 32 }), body: fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), fc.constant('€'.repeat(20_000))) })
  let compared = 0
  fc.assert(fc.property(bytes, fc.array(text, { maxLength: 5 }), (secret, texts) => {
    const mac = new RowMac(secret)
    compared += texts.length
    return texts.every(({ purpose, digest, body }) => {
      const expected = createHmac('sha256', secret).update(purpose).update(digest).update(body).digest('base64url')
      return mac.of(purpose, Buffer.from(digest).toString('latin1') as Digest, body) === expected
    })
  }), { numRuns: 300 })
  t.ok(compared > 300, `${compared} are the same`)
})
