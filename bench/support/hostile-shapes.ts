const mebibyte = 1024 * 1024

export interface HostileBody {
  readonly name: string
  readonly title: string
  readonly body: Buffer
}

/** What an upstream answers to `tools/list`. */
export interface HostileAnswer {
  readonly name: string
  readonly title: string
  readonly contentType: string
  /** Written over and over, until the client goes, where `endless`. */
  readonly piece: Buffer
  readonly pieces: number
}

/** A call of a tool that writes, as large as a body may be: it is read to its end before it is refused. */
function call (start: string, item: (i: number) => string, end: string): Buffer {
  const [head, tail] = [`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"set","arguments":${start}`, `${end}}}`]
  const items: string[] = []
  let length = head.length + tail.length
  for (let i = 0; ; i++) {
    const next = item(i)
    length += Buffer.byteLength(next) + 1
    if (length > mebibyte) return Buffer.from(`${head}${items.join(',')}${tail}`)
    items.push(next)
  }
}

const batch = `[${Array.from({ length: 100 }, (_, id) => JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'set', arguments: { text: 'x'.repeat(10_000) } } })).join(',')}]`

export const hostileBodies: readonly HostileBody[] = [
  { name: 'objects', title: '`{}` 350,000 times', body: call('[', () => '{}', ']') },
  { name: 'numbers', title: '`1` 520,000 times', body: call('[', () => '1', ']') },
  { name: 'long-numbers', title: 'numbers of 128 digits', body: call('[', () => '1'.repeat(128), ']') },
  { name: 'texts', title: '`""` 350,000 times', body: call('[', () => '""', ']') },
  { name: 'members', title: '`{"a":1}` 130,000 times', body: call('[', () => '{"a":1}', ']') },
  { name: 'names', title: '16,000 members in one object, and again', body: call('[', (i) => `{${Array.from({ length: 16_000 }, (_, n) => `"${(i * 16_000 + n).toString(36)}":1`).join(',')}}`, ']') },
  { name: 'escapes', title: 'one text of `\\u00e9`', body: call('["', () => '\\u00e9'.repeat(1000), '"]') },
  { name: 'long-text', title: 'one text', body: call('["', () => 'x'.repeat(1000), '"]') },
  { name: 'depth', title: '90 arrays in one another, and again', body: call('[', () => '['.repeat(90) + ']'.repeat(90), ']') },
  { name: 'space', title: 'white space', body: Buffer.from('{"jsonrpc":"2.0","id":1,"method":"ping"}'.padEnd(mebibyte)) },
  { name: 'batch', title: 'a batch of 100 calls of 10 kB', body: Buffer.from(batch) }
]

const tools = (count: number, more = ''): string => JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  result: { tools: Array.from({ length: count }, (_, i) => ({ name: `${i % 2 === 0 ? 'get' : 'set'}_${i}`, description: 'x'.repeat(60), inputSchema: { type: 'object', properties: {} } })) }
}).replace('"tools"', `${more}"tools"`)

const repeated = (text: string, bytes: number) => Buffer.from(text.repeat(Math.ceil(bytes / text.length)))
const stream = 'text/event-stream'

export const hostileAnswers: readonly HostileAnswer[] = [
  { name: 'long-list', title: 'a list of 9,900 tools', contentType: 'application/json', piece: Buffer.from(tools(9900)), pieces: 1 },
  { name: 'long-list-objects', title: 'a list beside 1,000,000 times `{}`', contentType: 'application/json', piece: Buffer.from(tools(10, `"x":[${'{},'.repeat(1_000_000)}{}],`)), pieces: 1 },
  { name: 'long-list-event', title: 'a list of 9,900 tools in an event', contentType: stream, piece: Buffer.from(`data: ${tools(9900)}\n\n`), pieces: 1 },
  { name: 'long-event', title: 'an event that never ends, in pieces of 2 kB', contentType: stream, piece: repeated('x', 2048), pieces: Infinity },
  { name: 'lines', title: 'an event of empty `data` lines', contentType: stream, piece: repeated('data:\n', 65_536), pieces: Infinity },
  { name: 'blank-lines', title: 'blank lines', contentType: stream, piece: repeated('\n', 65_536), pieces: Infinity },
  { name: 'ids', title: 'ids', contentType: stream, piece: repeated('id: 1\n', 65_536), pieces: Infinity },
  { name: 'small-events', title: 'the smallest events', contentType: stream, piece: repeated('data:1\n\n', 65_536), pieces: Infinity },
  { name: 'drops', title: 'an event in pieces of 16 bytes', contentType: stream, piece: Buffer.from('data: xxxxxxxxxx'), pieces: Infinity }
]
