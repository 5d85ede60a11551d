import { test } from 'tap'
import fc from 'fast-check'
import { EventStream } from '../../../src/mcp/protocol/event-stream.ts'
import { IdSeal } from '../../../src/mcp/protocol/id-seal.ts'
import { JsonRefused, StrictJsonReader } from '../../../src/mcp/protocol/strict-json.ts'
import { ToolListFit, toolListOutline, type ToolListRules } from '../../../src/mcp/protocol/tool-list.ts'

const list = (...names: string[]) => ({ jsonrpc: '2.0', id: 1, result: { tools: names.map((name) => ({ name })), cacheScope: 'public', nextCursor: 'n' } })

function fitted (answer: unknown, rules: ToolListRules): unknown {
  const bytes = Buffer.from(JSON.stringify(answer))
  const reader = new StrictJsonReader(bytes, toolListOutline)
  reader.advance(bytes.length)
  const fit = new ToolListFit(reader, rules)
  while (!fit.advance(1));
  const made = fit.result
  return made === undefined ? undefined : JSON.parse(String(made))
}

test('a list keeps the tools that the key may call and is marked private', async (t) => {
  t.strictSame(fitted(list('get', 'set'), { mayCall: (tool) => tool === 'get', markPrivate: true }),
    { jsonrpc: '2.0', id: 1, result: { tools: [{ name: 'get' }], cacheScope: 'private', nextCursor: 'n' } })
  t.strictSame(fitted([list('set'), { jsonrpc: '2.0', id: 2, result: {} }], { mayCall: () => false, markPrivate: false }),
    [{ ...list('set'), result: { ...list().result, tools: [] } }, { jsonrpc: '2.0', id: 2, result: {} }])
})

test('whatever tools there are and whichever may be called, those are left, in their order and unchanged', async () => {
  const tool = fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd "quoted" é'), description: fc.string(), inputSchema: fc.jsonValue({ maxDepth: 3, noUnicodeString: true }) })
  fc.assert(fc.property(fc.array(tool, { maxLength: 8 }), fc.subarray(['a', 'b', 'c', 'd "quoted" é']), fc.boolean(), (tools, callable, markPrivate) => {
    const answer = { jsonrpc: '2.0', id: 1, result: { tools } }
    if (JSON.stringify(answer).includes('__proto__')) return
    let made
    try {
      made = fitted(answer, { mayCall: (name) => callable.includes(name), markPrivate }) ?? answer
    } catch (error) {
      // Names with control characters, which the reader refuses.
      if (error instanceof JsonRefused) return
      throw error
    }
    const expected = { ...answer, result: { tools: tools.filter(({ name }) => callable.includes(name)), ...(markPrivate ? { cacheScope: 'private' } : {}) } }
    if (JSON.stringify(made) !== JSON.stringify(expected)) throw new Error(JSON.stringify(made))
  }), { numRuns: 500 })
})

test('a tool without a name of its own is left out', async (t) => {
  const odd = { jsonrpc: '2.0', id: 1, result: { tools: ['get', null, {}, { name: 3 }] } }
  t.strictSame(fitted(odd, { mayCall: () => true, markPrivate: false }), { ...odd, result: { tools: [] } })
})

test('other answers stay as they are', async (t) => {
  for (const answer of [null, 'x', { jsonrpc: '2.0', id: 1, error: {} }, { result: { tools: 'x' } }, { params: { result: { tools: [{ name: 'x' }] } } }]) {
    t.equal(fitted(answer, { mayCall: () => false, markPrivate: true }), undefined)
  }
})

const pushAll = async (stream: EventStream, pieces: readonly Buffer[]) => {
  const out: Buffer[] = []
  for (const piece of pieces) out.push(await stream.push(piece))
  return String(Buffer.concat(out))
}
const cutAt = (text: string, cuts: readonly number[]) => {
  const bytes = Buffer.from(text)
  const ends = [0, ...cuts.toSorted((a, b) => a - b), bytes.length]
  return ends.slice(1).map((end, i) => bytes.subarray(ends[i], end))
}
const rewritten = async (data: Buffer) => String(data) === 'old' ? Buffer.from('new') : undefined
const seal = (id: string) => `${id}.sealed`

const events = ': hello\r\n\r\nid: 1\ndata: old\n\nevent: message\r\ndata: é\r\ndata: two\r\nid:2\r\n\r\ndata:old\r\rid\nidea: 3\nretry: 5\n\n'
const cases = [
  { what: 'ids', rewriteData: undefined, expected: ': hello\n\nid: 1.sealed\ndata: old\n\nevent: message\ndata: é\ndata: two\nid: 2.sealed\n\ndata:old\n\nid\nidea: 3\nretry: 5\n\n' },
  { what: 'ids and data', rewriteData: rewritten, expected: ': hello\n\nid: 1.sealed\ndata: new\n\nevent: message\ndata: é\ndata: two\nid: 2.sealed\n\ndata: new\n\nid\nidea: 3\nretry: 5\n\n' }
]
for (const { what, rewriteData, expected } of cases) {
  test(`${what} of events are rewritten however they were cut, and all else passes as it came`, async (t) => {
    await fc.assert(fc.asyncProperty(fc.array(fc.nat(Buffer.byteLength(events)), { maxLength: 8 }), async (cuts) => {
      const stream = new EventStream({ rewriteId: seal, rewriteData, eventBytesMax: 100 })
      const out = await pushAll(stream, cutAt(events, cuts))
      // The second half of a CR LF may stand alone: one more empty line, which ends nothing.
      const lines = (text: string) => text.replaceAll(/\r\n?/g, '\n').replaceAll(/\n{2,}/g, '\n\n')
      if (lines(out) !== expected) throw new Error(JSON.stringify(out))
    }))
    t.pass()
  })
}

test('where no data is rewritten, an event passes before its end has come', async (t) => {
  const stream = new EventStream({ rewriteId: seal, eventBytesMax: 100 })
  t.equal(await pushAll(stream, [Buffer.from('data: {"half')]), 'data: {"half')
  t.equal(await pushAll(stream, [Buffer.from(' of it"}\nid')]), ' of it"}\n')
  t.equal(await pushAll(stream, [Buffer.from(': 7\n\n')]), 'id: 7.sealed\n\n')
})

test('an event, a line or an id that does not end is given up before it fills the memory', async (t) => {
  for (const [first, rewriteData] of [['data: ', rewritten], ['data: x\ndata: ', rewritten], ['id: ', undefined]] as const) {
    const stream = new EventStream({ rewriteId: seal, rewriteData, eventBytesMax: 1000 })
    await t.rejects((async () => {
      await stream.push(Buffer.from(first))
      for (let i = 0; i < 1000; i++) await stream.push(Buffer.from('0123456789'))
    })(), { name: 'EventTooLong' })
  }
})

test('each byte of an event that never ends is looked at once', async (t) => {
  const cpuMs = async (pieces: number) => {
    const stream = new EventStream({ rewriteId: seal, rewriteData: rewritten, eventBytesMax: 1e9 })
    const before = process.cpuUsage()
    for (let i = 0; i < pieces; i++) await stream.push(Buffer.from('data: 0123456789\n'))
    return process.cpuUsage(before).user / 1000
  }
  await cpuMs(5000)
  const [few, many] = [await cpuMs(10_000), await cpuMs(80_000)]
  t.ok(many < 40 * Math.max(few, 5), `eight times the bytes: ${few.toFixed()} and ${many.toFixed()} ms, where a scan from the start takes 64 times as long`)
})

test('a stream is read in steps, however dear its lines are', async (t) => {
  for (const [what, text, most] of [['blank lines', '\n', 20_000], ['ids', 'id: 1\n', 64], ['small events', 'data:1\n\n', 64], ['text', 'x', 20_000]] as const) {
    let sealed = 0
    let longest = 0
    const stream = new EventStream({ rewriteId: (id) => { sealed++; return seal(id) }, rewriteData: rewritten, eventBytesMax: 1e6 })
    await stream.push(Buffer.from(text.repeat(65_536 / text.length)), async (work) => {
      for (let isDone = false; !isDone;) {
        const before = sealed
        isDone = work.advance(16_384)
        longest = Math.max(longest, sealed - before)
      }
    })
    t.ok(longest <= most, `${what}: at most ${longest} ids in a step`)
  }
})

test('a long list is fitted in steps', async (t) => {
  const bytes = Buffer.from(JSON.stringify(list(...Array.from({ length: 5000 }, (_, i) => `tool-${i}`))))
  const reader = new StrictJsonReader(bytes, toolListOutline)
  reader.advance(bytes.length)
  const fit = new ToolListFit(reader, { mayCall: (tool) => tool.endsWith('7'), markPrivate: false })
  let steps = 1
  while (!fit.advance(16_384)) steps++
  t.ok(steps > 100, `${steps} steps`)
  t.equal((JSON.parse(String(fit.result)) as ReturnType<typeof list>).result.tools.length, 500)
})

test('of a tool in a list only the name is kept', async (t) => {
  const bytes = Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 1, result: { tools: [{ name: 'a', title: 'b', inputSchema: { properties: { name: {} } } }], other: {} } }))
  const reader = new StrictJsonReader(bytes, toolListOutline)
  reader.advance(bytes.length)
  t.strictSame(reader.result.value, new Map([['result', new Map([['tools', [new Map([['name', 'a']])]]])]]))
})

test('a sealed session opens for the key and the upstream that it was made for, and no other', async (t) => {
  const seal = new IdSeal({ secret: Buffer.alloc(32, 1) })
  const sealed = seal.seal('abc.def', 'crm', 'key-1')
  t.match(sealed, /^abc\.def\.[\w-]{22}$/)
  t.equal(seal.open(sealed, 'crm', 'key-1'), 'abc.def')
  t.equal(seal.open(sealed, 'crm', 'key-2'), undefined)
  t.equal(seal.open(sealed, 'erp', 'key-1'), undefined)
  t.equal(new IdSeal({ secret: Buffer.alloc(32, 2) }).open(sealed, 'crm', 'key-1'), undefined)
  for (const forged of ['abc.def', 'abd.def' + sealed.slice(7), '', '.', sealed.slice(7), sealed + 'A', 'é'.repeat(40)]) t.equal(seal.open(forged, 'crm', 'key-1'), undefined)
})
