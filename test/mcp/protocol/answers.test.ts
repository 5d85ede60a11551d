import { test } from 'tap'
import fc from 'fast-check'
import { EventStream } from '../../../src/mcp/protocol/event-stream.ts'
import { IdSeal } from '../../../src/mcp/protocol/id-seal.ts'
import { fitToolList } from '../../../src/mcp/protocol/tool-list.ts'

const list = (...names: string[]) => ({ jsonrpc: '2.0', id: 1, result: { tools: names.map((name) => ({ name })), cacheScope: 'public', nextCursor: 'n' } })

test('a list keeps the tools that the key may call and is marked private', async (t) => {
  t.strictSame(fitToolList(list('get', 'set'), { mayCall: (tool) => tool === 'get', markPrivate: true }),
    { jsonrpc: '2.0', id: 1, result: { tools: [{ name: 'get' }], cacheScope: 'private', nextCursor: 'n' } })
  t.strictSame(fitToolList([list('set'), { jsonrpc: '2.0', id: 2, result: {} }], { mayCall: () => false, markPrivate: false }),
    [{ ...list('set'), result: { ...list().result, tools: [] } }, { jsonrpc: '2.0', id: 2, result: {} }])
})

test('a tool without a name of its own is left out', async (t) => {
  const odd = { jsonrpc: '2.0', id: 1, result: { tools: ['get', null, {}, { name: 3 }] } }
  t.strictSame(fitToolList(odd, { mayCall: () => true, markPrivate: false }), { ...odd, result: { tools: [] } })
})

test('other answers come back as they are', async (t) => {
  for (const answer of [null, 'x', { jsonrpc: '2.0', id: 1, error: {} }, { result: { tools: 'x' } }]) {
    t.equal(fitToolList(answer, { mayCall: () => false, markPrivate: true }), answer)
  }
})

test('events are rewritten whole however they were cut, and others pass byte for byte', async (t) => {
  const text = ': hello\r\n\r\nid: 1\ndata: old\n\nevent: message\r\ndata: é\r\ndata: two\r\n\r\ndata:old\r\rretry: 5\n\n'
  const expected = ': hello\r\n\r\nid: 1\ndata: new\n\nevent: message\r\ndata: é\r\ndata: two\r\n\r\ndata: new\n\nretry: 5\n\n'
  fc.assert(fc.property(fc.array(fc.nat(Buffer.byteLength(text)), { maxLength: 8 }), (cuts) => {
    const stream = new EventStream({ rewrite: (data) => data === 'old' ? 'new' : data, eventLengthMax: 100 })
    const bytes = Buffer.from(text)
    const ends = [0, ...cuts.toSorted((a, b) => a - b), bytes.length]
    const out = ends.slice(1).map((end, i) => stream.push(bytes.subarray(ends[i], end))).join('')
    // A cut between the two halves of a CR LF may leave one more empty line, which ends nothing.
    const lines = (events: string) => events.replaceAll(/\r\n?/g, '\n').replaceAll(/\n{2,}/g, '\n\n')
    if (lines(out) !== lines(expected)) throw new Error(JSON.stringify(out))
  }))
  t.pass()
})

test('an event that does not end is given up before it fills the memory', async (t) => {
  const stream = new EventStream({ rewrite: (data) => data, eventLengthMax: 1000 })
  t.throws(() => { for (let i = 0; i < 100; i++) stream.push(Buffer.from('data: 0123456789')) }, { name: 'EventTooLong' })
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
