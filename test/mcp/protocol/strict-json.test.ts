import { test } from 'tap'
import fc from 'fast-check'
import { fuzzReader } from '../fuzz/fuzz-reader.ts'
import { JsonRefused, readStrictJson, StrictJsonReader } from '../../../src/mcp/protocol/strict-json.ts'

const bytes = (text: string) => Buffer.from(text, 'utf8')

const refused: readonly { when: string, text: string | Uint8Array }[] = [
  { when: 'a member is doubled', text: '{"a":1,"a":1}' },
  { when: 'a member is doubled behind an escape', text: '{"a":1,"\\u0061":2}' },
  { when: 'a member deep inside is doubled', text: '[{"a":{"b":1,"b":2}}]' },
  { when: 'a member is __proto__', text: '{"__proto__":{}}' },
  { when: 'a member is an escaped __proto__', text: '{"\\u005f_proto__":{}}' },
  { when: 'the name of a member holds a NUL', text: '{"method\\u0000":"x"}' },
  { when: 'it begins with a byte order mark', text: '\ufeff{}' },
  { when: 'it is UTF-16', text: Buffer.from('{"a":1}', 'utf16le') },
  { when: 'it is UTF-32', text: Buffer.from('{\0\0\0}\0\0\0', 'latin1') },
  { when: 'it is not UTF-8', text: Buffer.from('{"a":"\xff"}', 'latin1') },
  { when: 'it holds an overlong slash', text: Buffer.from('{"a":"\xc0\xaf"}', 'latin1') },
  { when: 'a surrogate stands alone', text: '"\\ud800"' },
  { when: 'text follows', text: '{}{}' },
  { when: 'a comma trails', text: '{"a":1,}' },
  { when: 'an array trails a comma', text: '[1,]' },
  { when: 'there is a comment', text: '{/**/"a":1}' },
  { when: 'quotes are single', text: "{'a':1}" },
  { when: 'names are bare', text: '{a:1}' },
  { when: 'a number is NaN', text: '{"a":NaN}' },
  { when: 'a number is hexadecimal', text: '{"a":0x10}' },
  { when: 'a number starts with zero', text: '{"a":01}' },
  { when: 'a number is endless', text: '1'.repeat(129) },
  { when: 'a string holds a raw newline', text: '"a\nb"' },
  { when: 'a string does not end', text: '"abc' },
  { when: 'a string ends in a backslash', text: '"abc\\' },
  { when: 'an escape is unknown', text: '"\\x41"' },
  { when: 'it is empty', text: '' },
  { when: 'it is nested 101 deep', text: '['.repeat(101) + ']'.repeat(101) },
  { when: 'it is nested a million deep', text: '['.repeat(1_000_000) }
]

for (const { when, text } of refused) {
  test(`JSON is refused when ${when}`, async (t) => {
    t.throws(() => readStrictJson(typeof text === 'string' ? bytes(text) : text), { name: 'JsonRefused' })
  })
}

test('a refusal repeats nothing of the text', async (t) => {
  for (const text of ['{"nops_secret":1,"nops_secret":2}', 'nops_secret', '{"a":nops_secret}']) {
    try {
      readStrictJson(bytes(text))
      t.fail('read')
    } catch (error) {
      t.ok(error instanceof JsonRefused)
      t.notMatch((error as Error).message, /secret/)
    }
  }
})

test('numbers go on as they were written, however long', async (t) => {
  const text = '[12345678901234567890,1.0,1e400,-0,0.1000]'
  t.equal(String(readStrictJson(bytes(text)).bytes), text)
})

test('whatever is valid is read as JSON.parse reads it, and its new text says the same without white space', async () => {
  fc.assert(fc.property(fc.jsonValue({ noUnicodeString: false }), fc.nat(3), (value, indent) => {
    const text = JSON.stringify(value, null, indent)
    if (text.includes('"__proto__"') || text.includes('\\ud') || /"[^"]*[\p{Cc}\\][^"]*"\s*:/u.test(text)) return
    const read = readStrictJson(bytes(text))
    const again = JSON.stringify(JSON.parse(text))
    if (JSON.stringify(JSON.parse(String(read.bytes))) !== again) throw new Error('the new text says something else')
    // The whole value: what a message is judged by is only the outline of it.
    const whole = new StrictJsonReader(bytes(text), { keeps: () => true })
    whole.advance(text.length * 4)
    if (JSON.stringify(plain(whole.result.value)) !== again) throw new Error('the value differs')
  }), { numRuns: 500 })
})

test('a text is refused, or every parser that keeps to JSON reads one thing in its new text', async () => {
  const piece = fc.constantFrom('{', '}', '[', ']', ':', ',', '"a"', '"\\u0061"', '"b"', '1', '-0', 'true', 'null', ' ', '\t', '"', '\\', '\ufeff', '\u00a0')
  fc.assert(fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
    let read
    try {
      read = readStrictJson(bytes(pieces.join('')))
    } catch (error) {
      if (error instanceof JsonRefused) return
      throw error
    }
    if (JSON.stringify(JSON.parse(String(read.bytes))) !== JSON.stringify(JSON.parse(pieces.join('')))) throw new Error('two readings')
  }), { numRuns: 3000 })
})

test('no text is read in another way than JSON.parse reads it', async (t) => {
  const { inputs, alike, stricter } = fuzzReader(40_000, Date.now() % 2 ** 31)
  t.ok(alike > inputs / 20, `${alike} of ${inputs} were read`)
  t.ok(stricter > inputs / 1000, `${stricter} were refused here alone`)
})

function plain (value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([name, held]) => [name, plain(held)]))
  return Array.isArray(value) ? value.map(plain) : value
}
