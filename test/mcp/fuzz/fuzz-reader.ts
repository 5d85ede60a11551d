import { isDeepStrictEqual } from 'node:util'
import { JsonRefused, StrictJsonReader } from '../../../src/mcp/protocol/strict-json.ts'

export interface FuzzFigures {
  readonly inputs: number
  /** Read by both, alike. */
  readonly alike: number
  /** Refused by both. */
  readonly refused: number
  /** Refused here alone: doubled members, half surrogates, and whatever else parsers differ on. */
  readonly stricter: number
}

// What makes parsers differ, or end: most inputs are put together of these, the others are JSON with a few bytes changed.
const pieces = [
  '{', '}', '[', ']', ':', ',', '{"a":', '"a"', '"\\u0061"', '"b"', '"a":1', '""', '1', '-0', '0', '01', '1.', '.5', '1e5', '1E+', '1e400', '12345678901234567890', '-', '+1', 'true', 'false', 'null', 'nul',
  'NaN', ' ', '\t', '\n', '\r\n', '"', '\\', '\\"', '\\/', '\\u', '\\u00', '\\ud83d', '\\ude00', '\\ud83d\\ude00', '\\u0000', '\ufeff', '\u00a0', '\u2028', 'é', '😀', '\u0007', '/**/', "'", '"__proto__"', '"\\u005f_proto__":1', '"constructor"', '{"a":1,"a":2}', '[[[[', ']]]]',
  '{}', '[]'
] as const
const texts = [
  '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_a","arguments":{"x":[1,2.5,-3e-7,"é\\n\\u00e9😀",null,true,{"y":{}}]}}}',
  '[{"jsonrpc":"2.0","method":"notifications/x"},{"jsonrpc":"2.0","id":"a","result":{"tools":[{"name":"t","inputSchema":{"type":"object"}}]}}]',
  ' {\n  "a" : [ 1 , 2 ] ,\r\n\t"b" : { } , "c\\"d" : "\\\\\\/\\b\\f\\n\\r\\t" } '
] as const

/** Reads `inputs` generated texts with the gateway's reader and with `JSON.parse`; throws where the gateway reads something that the other does not read alike. */
export function fuzzReader (inputs: number, seed: number): FuzzFigures {
  const random = randomOf(seed)
  const figures = { inputs, alike: 0, refused: 0, stricter: 0 }
  for (let i = 0; i < inputs; i++) {
    const how = random()
    const input = how < 0.4 ? assembled(random) : how < 0.8 ? changed(random) : Buffer.from(wellFormed(random, 3))
    const [here, native] = [readHere(input, random), readNatively(input)]
    if (here === undefined) {
      figures[native === undefined ? 'refused' : 'stricter']++
      continue
    }
    const [text, value] = [here.toString('utf8'), native?.value]
    if (native === undefined) throw new Error(`Only the gateway reads ${JSON.stringify(input.toString('latin1'))}, in seed ${seed}.`)
    if (!isDeepStrictEqual(JSON.parse(text), value)) throw new Error(`Two readings of ${JSON.stringify(input.toString('latin1'))}, in seed ${seed}.`)
    if (readHere(here, random)?.equals(here) !== true) throw new Error(`What is sent on reads otherwise the second time: ${JSON.stringify(text)}, in seed ${seed}.`)
    figures.alike++
  }
  return figures
}

function assembled (random: () => number): Buffer {
  return Buffer.from(Array.from({ length: 1 + Math.floor(random() * 10) }, () => pieces[Math.floor(random() * pieces.length)]).join(''))
}

const names = ['"a"', '"a"', '"\\u0061"', '"b"', '"c"', '"A"', '"é"', '"\\u00e9"', '"name"', '"method"', '"__proto__"', '"\\ud83d\\ude00"', '"\\u0000"', '""', '"constructor"'] as const
const scalars = ['1', '-0', '1e400', '0.1', '12345678901234567890', `1${'0'.repeat(130)}`, 'true', 'null', '""', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"é😀"', '"\\/"', '"\\u2028"'] as const
const spaces = ['', '', '', ' ', '\n\t', '\r\n'] as const

/** JSON that a parser takes, with what parsers differ on in it. */
function wellFormed (random: () => number, depth: number): string {
  const oneOf = (list: readonly string[]) => list[Math.floor(random() * list.length)] ?? ''
  const space = () => oneOf(spaces)
  const many = (item: () => string) => Array.from({ length: Math.floor(random() * 4) }, () => `${space()}${item()}${space()}`).join(',')
  const kind = random()
  if (depth === 0 || kind < 0.2) return oneOf(scalars)
  if (kind < 0.5) return `[${many(() => wellFormed(random, depth - 1))}]`
  return `{${many(() => `${oneOf(names)}${space()}:${space()}${wellFormed(random, depth - 1)}`)}}`
}

function changed (random: () => number): Buffer {
  const bytes = Buffer.from(texts[Math.floor(random() * texts.length)] ?? '')
  for (let changes = Math.floor(random() * 4); changes > 0; changes--) {
    const at = Math.floor(random() * bytes.length)
    const how = random()
    if (how < 0.4) bytes[at] = Math.floor(random() * 256)
    else if (how < 0.7) bytes[at] = '{}[]:,"\\ue0-'.charCodeAt(Math.floor(random() * 12))
    else bytes.copyWithin(at, Math.floor(random() * bytes.length), bytes.length)
  }
  return random() < 0.2 ? bytes.subarray(0, Math.floor(random() * bytes.length)) : bytes
}

/** In slices of any length: what was read must not depend on where it stopped. */
function readHere (input: Buffer, random: () => number): Buffer | undefined {
  try {
    const reader = new StrictJsonReader(input)
    const step = random() < 0.5 ? input.length + 1 : 1 + Math.floor(random() * 8)
    while (!reader.advance(step));
    return reader.result.bytes
  } catch (error) {
    if (error instanceof JsonRefused) return undefined
    throw error
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function readNatively (input: Buffer): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(utf8.decode(input)) }
  } catch {
    return undefined
  }
}

/** Mulberry32: the same numbers for the same seed everywhere. */
function randomOf (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
