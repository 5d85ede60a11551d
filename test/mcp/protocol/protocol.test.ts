import { test } from 'tap'
import { decodeMcpName, encodeMcpName } from '../../../src/mcp/protocol/mcp-name.ts'
import { messageOutline, readMessages } from '../../../src/mcp/protocol/message.ts'
import { readStrictJson } from '../../../src/mcp/protocol/strict-json.ts'
import { mirroredHeaders, protocolVersion } from '../../../src/mcp/protocol/protocol.ts'

const call = (name: string, version?: string) => ({
  jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, ...(version === undefined ? {} : { _meta: { 'io.modelcontextprotocol/protocolVersion': version } }) }
})
const mirror = (body: unknown, headers: Record<string, string>) => mirroredHeaders(readMessages(readStrictJson(Buffer.from(JSON.stringify(body)), messageOutline)), headers)
const modern = { 'mcp-protocol-version': '2026-07-28' }

test('a name goes into a header and out again, whatever it holds', async (t) => {
  for (const name of ['get_weather', 'Hello, 世界', ' padded ', 'line1\nline2', '=?base64?literal?=', '', 'a\tb', 'é']) {
    t.equal(decodeMcpName(encodeMcpName(name)), name)
  }
  t.equal(encodeMcpName('get_weather'), 'get_weather')
  t.equal(encodeMcpName('Hello, 世界'), '=?base64?SGVsbG8sIOS4lueVjA==?=')
})

test('a name header that could be read in two ways says nothing', async (t) => {
  for (const header of ['=?base64?SGVsbG8?=', '=?base64?SGVs bG8=?=', '=?base64?/w==?=', '=?base64?SGVsbG9=?=', 'caf\u00e9', 'a\u0000', ' a']) {
    t.equal(decodeMcpName(header), undefined, header)
  }
  t.equal(decodeMcpName('=?BASE64?YQ==?='), '=?BASE64?YQ==?=')
})

test('2026-07-28: headers that repeat the body pass and are written anew', async (t) => {
  t.strictSame(mirror(call('add', '2026-07-28'), { ...modern, 'mcp-method': 'tools/call', 'mcp-name': '=?base64?YWRk?=' }),
    { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'add' })
})

test('clients before 2026-07-28 need not repeat the body in headers', async (t) => {
  t.strictSame(mirror(call('add'), {}), {})
  t.strictSame(mirror(call('add'), { 'mcp-protocol-version': '2025-11-25' }), { 'mcp-protocol-version': '2025-11-25' })
})

const mismatches: readonly { when: string, body: unknown, headers: Record<string, string> }[] = [
  { when: 'Mcp-Method is missing', body: call('add'), headers: { ...modern, 'mcp-name': 'add' } },
  { when: 'Mcp-Name is missing', body: call('add'), headers: { ...modern, 'mcp-method': 'tools/call' } },
  { when: 'Mcp-Method says another method', body: call('add'), headers: { ...modern, 'mcp-method': 'tools/list', 'mcp-name': 'add' } },
  { when: 'Mcp-Method differs in case', body: call('add'), headers: { ...modern, 'mcp-method': 'Tools/Call', 'mcp-name': 'add' } },
  { when: 'Mcp-Method came twice', body: call('add'), headers: { ...modern, 'mcp-method': 'tools/call, tools/call', 'mcp-name': 'add' } },
  { when: 'Mcp-Name says another tool', body: call('add'), headers: { ...modern, 'mcp-method': 'tools/call', 'mcp-name': 'get' } },
  { when: 'Mcp-Name is broken Base64', body: call('add'), headers: { ...modern, 'mcp-method': 'tools/call', 'mcp-name': '=?base64?YWR?=' } },
  { when: 'the versions of header and body differ', body: call('add', '2025-11-25'), headers: { ...modern, 'mcp-method': 'tools/call', 'mcp-name': 'add' } },
  { when: 'only the body says 2026-07-28', body: call('add', '2026-07-28'), headers: {} },
  { when: 'an older client says another method in a header', body: call('add'), headers: { 'mcp-method': 'tools/list' } },
  { when: 'an older client says another tool in a header', body: call('add'), headers: { 'mcp-protocol-version': '2025-11-25', 'mcp-name': 'get' } },
  { when: 'a header speaks for a batch', body: [call('add')], headers: { 'mcp-method': 'tools/call' } }
]

for (const { when, body, headers } of mismatches) {
  test(`400 -32020 when ${when}`, async (t) => {
    t.throws(() => mirror(body, headers), { status: 400, code: -32020 })
  })
}

test('batches exist in 2025-03-26, which sends no version, and in no other', async (t) => {
  t.strictSame(mirror([call('add')], {}), {})
  t.strictSame(mirror([call('add')], { 'mcp-protocol-version': '2025-03-26' }), { 'mcp-protocol-version': '2025-03-26' })
  for (const version of ['2025-06-18', '2025-11-25', '2026-07-28']) {
    t.throws(() => mirror([call('add')], { 'mcp-protocol-version': version }), { status: 400, code: -32600 })
  }
  t.throws(() => mirror([{ jsonrpc: '2.0', id: 1, method: 'initialize' }], {}), { status: 400, code: -32600 })
})

test('2026-07-28 has no answers from clients', async (t) => {
  t.throws(() => mirror({ jsonrpc: '2.0', id: 1, result: {} }, modern), { status: 400, code: -32600 })
})

test('an unknown version is refused with the ones that are known', async (t) => {
  t.throws(() => protocolVersion({ 'mcp-protocol-version': '2031-01-01' }, 3), {
    status: 400, code: -32022, id: 3, detail: { requested: '2031-01-01', supported: ['2026-07-28', '2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05', '2024-10-07'] }
  })
  t.throws(() => protocolVersion({ 'mcp-protocol-version': '2026-07-28, 2025-11-25' }), { code: -32022 })
})
