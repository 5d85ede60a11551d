import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { digestToBytes } from '../../src/core/key-record.ts'
import { TokenFormat } from '../../src/core/token.ts'

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const format = new TokenFormat()

/** As the contract says it, written anew: CRC-32 of everything before, in base62, left-padded to six. */
function withChecksum (body: string): string {
  let text = ''
  for (let rest = crc32(body), i = 0; i < 6; rest = Math.floor(rest / 62), i++) text = alphabet[rest % 62] + text
  return body + text
}

const secret = fc.string({ unit: fc.constantFrom(...alphabet), minLength: 32, maxLength: 32 })

t.test('whatever has the shape and the checksum of the contract is parsed to its SHA-256', async () => {
  fc.assert(fc.property(secret, (secret) => {
    const token = withChecksum(`nops_${secret}`)
    const digest = format.parse(token)
    return digest !== undefined && digestToBytes(digest).equals(createHash('sha256').update(token).digest())
  }))
})

t.test('a token with any one character changed, added, lost or moved is not parsed', async () => {
  fc.assert(fc.property(secret, fc.nat(42), fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }), (secret, at, other) => {
    const token = withChecksum(`nops_${secret}`)
    const changed = token.slice(0, at) + other + token.slice(at + 1)
    const longer = token.slice(0, at) + other + token.slice(at)
    const shorter = token.slice(0, at) + token.slice(at + 1)
    return [changed, longer, shorter].every((text) => text === token || format.parse(text) === undefined)
  }), { numRuns: 1000 })
  for (const other of ['\u0130', '\u0161', 'é', '😀', '\u0000', '_', '-']) t.equal(format.parse(withChecksum(`nops_${'a'.repeat(31)}`) + other), undefined)
})

t.test('the digest of a text with the shape of a token is that of its bytes, whatever its checksum; other texts have none', async (t) => {
  const { token, digest } = format.mint()
  t.equal(format.digestOf(token), digest)
  const mistyped = `${token.slice(0, -1)}${token.endsWith('0') ? '1' : '0'}`
  t.ok(digestToBytes(format.digestOf(mistyped)!).equals(createHash('sha256').update(mistyped).digest()))
  t.notOk(format.isWellFormed(mistyped))
  for (const other of ['', `${token}a`, token.slice(1), `nopx_${token.slice(5)}`, 'a'.repeat(100_000)]) t.equal(format.digestOf(other), undefined)
})

t.test('a checksum beyond 32 bits fits nothing', async (t) => {
  t.equal(format.parse(`nops_${'a'.repeat(32)}zzzzzz`), undefined)
})

t.test('minted tokens are parsed, all different, in the shape that scanners look for; the hint shows their ends', async (t) => {
  const minted = Array.from({ length: 1000 }, () => format.mint())
  t.equal(new Set(minted.map(({ token }) => token)).size, 1000)
  for (const { token, digest, hint } of minted) {
    if (!/^nops_[0-9A-Za-z]{38}$/.test(token) || format.parse(token) !== digest || hint !== `${token.slice(5, 9)}…${token.slice(-4)}`) t.fail(hint)
  }
  const seen = new Set(minted.flatMap(({ token }) => [...token.slice(5, 37)]))
  t.equal(seen.size, 62, 'every character of the alphabet comes up')
})

t.test('the prefix is a setting; tokens of another one are none', async (t) => {
  const other = new TokenFormat('acme_')
  const { token, digest } = other.mint()
  t.equal(other.parse(token), digest)
  t.equal(format.parse(token), undefined)
  for (const prefix of ['', 'nops', 'Nops_', 'n_', 'no-ps_', `${'a'.repeat(17)}_`]) t.throws(() => new TokenFormat(prefix), /prefix/)
})

t.test('a token is found inside a text, again and again', async (t) => {
  const { token } = format.mint()
  for (const text of [token, `x${token}y`, `?a=${token}&b=1`, `x${token}y`]) t.equal(format.foundIn(text), true)
  for (const text of ['', 'nops_', 'nops_short', token.slice(0, -1), token.replace('_', '%5F')]) t.equal(format.foundIn(text), false)
})
