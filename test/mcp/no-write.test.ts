import { request } from 'node:http'
import { gzipSync } from 'node:zlib'
import { test } from 'tap'
import fc from 'fast-check'
import { startGateway } from '../support/gateway.ts'
import { liberalUpstream, mayWrite } from '../support/liberal-upstream.ts'

interface Attempt {
  readonly method: string
  readonly path: string
  readonly headers: readonly string[]
  readonly body: Buffer
}

/** `npm run attempts` makes ten times as many. */
const attemptsInAll = Number(process.env['MCP_ATTEMPTS'] ?? 1000)
// Each mostly waits for its answer.
const atATime = 25

const methodNames = fc.constantFrom('"method"', '"method"', '"method"', '"Method"', '"METHOD"', '"m\\u0065thod"', '"method\\u0000"', '"\uff4dethod"', '" method"', '"met_hod"', '"__proto__"', 'method', "'method'")
const methods = fc.constantFrom('"tools/call"', '"tools/call"', '"tools/list"', '"ping"', '"Tools/Call"', '"tools\\/call"', '"tools/call "', '"tools/call\\u0000"', '"\\u0074ools/call"', '["tools/call"]', 'null', '"resources/read"')
const nameNames = fc.constantFrom('"name"', '"name"', '"name"', '"Name"', '"NAME"', '"n\\u0061me"', '"name\\u0000"', '"\uff4eame"', '"_name"', '"name "', '"__proto__"')
const tools = fc.constantFrom('"delete"', '"delete"', '"get_a"', '"get_a"', '"Delete"', '"delete "', '"\\u0064elete"', '"get_a\\u0000delete"', '["delete"]', '{"name":"delete"}', '"\uff44elete"', '"get_../delete"')
const ids = fc.constantFrom('1', '"1"', 'null', '{}', '1e400', '99999999999999999999', '"' + 'x'.repeat(2000) + '"', '[1]', '-0')

const paramsObject = fc.array(fc.tuple(nameNames, tools), { minLength: 1, maxLength: 3 }).map((pairs) => `{${pairs.map(([name, tool]) => `${name}:${name === '"__proto__"' ? `{"name":${tool}}` : tool}`).join(',')},"arguments":{}}`)
const params = fc.oneof({ weight: 6, arbitrary: paramsObject }, { weight: 1, arbitrary: tools.map((tool) => `[${tool}]`) })
const paramsNames = fc.constantFrom('"params"', '"params"', '"params"', '"Params"', '"p\\u0061rams"', '"param\u017f"', '"PARAMS"')
const member = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(methodNames, methods).map(([name, method]) => `${name}:${name === '"__proto__"' ? `{"method":${method}}` : method}`) },
  { weight: 3, arbitrary: fc.tuple(paramsNames, params).map(([name, held]) => `${name}:${held}`) },
  { weight: 1, arbitrary: ids.map((id) => `"id":${id}`) },
  { weight: 1, arbitrary: fc.constantFrom('"jsonrpc":"2.0"', '"JSONRPC":"2.0"', '"extra":{"method":"tools/call"}') }
)
const wild = fc.array(member, { maxLength: 6 }).map((members) => `{"jsonrpc":"2.0","id":1,${members.join(',')}}`)
// Nearly right: most tricks only show behind a message that is otherwise good.
const near = fc.tuple(methods, nameNames, tools, fc.option(member)).map(([method, name, tool, more]) =>
  `{"jsonrpc":"2.0","id":1,"method":${method},"params":{"name":"get_a",${name}:${tool}}${more === null ? '' : `,${more}`}}`)
const good = fc.constantFrom('get_a', 'delete').chain((tool) => fc.constantFrom('tools/call', 'tools/list', 'ping', 'acme/delete').map((method) =>
  JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { name: tool } })))
// A call that any key may make, and one more member by which some reader would take it for another.
const shuffled = (members: string[]) => fc.shuffledSubarray(members, { minLength: members.length }).map((all) => `{${all.join(',')}}`)
const aimed = fc.oneof(
  fc.tuple(methodNames, fc.constantFrom('"tools/list"', '"ping"')).chain(([name, method]) => shuffled(['"jsonrpc":"2.0"', '"id":1', `"method":${method}`, `${name}:"tools/call"`, '"params":{"name":"delete"}'])),
  paramsNames.chain((name) => shuffled(['"jsonrpc":"2.0"', '"id":1', '"method":"tools/call"', '"params":{"name":"get_a"}', `${name}:{"name":"delete"}`])),
  nameNames.chain((name) => shuffled(['"name":"get_a"', `${name}:"delete"`])).map((held) => `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":${held}}`)
)
const message = fc.oneof({ weight: 6, arbitrary: aimed }, { weight: 2, arbitrary: wild }, { weight: 3, arbitrary: near }, { weight: 4, arbitrary: good })

const bodyText = fc.oneof(
  { weight: 12, arbitrary: message },
  { weight: 3, arbitrary: fc.array(message, { maxLength: 3 }).map((all) => `[${all.join(',')}]`) },
  { weight: 1, arbitrary: message.map((text) => `[[${text}]]`) },
  { weight: 1, arbitrary: fc.tuple(message, message).map(([one, two]) => `${one}\n${two}`) },
  { weight: 1, arbitrary: message.map((text) => `\ufeff${text}`) },
  { weight: 1, arbitrary: message.map((text) => `/**/${text}//`) },
  { weight: 1, arbitrary: message.map((text) => '{"jsonrpc":"2.0","id":1,"method":"ping","params":'.repeat(20) + text + '}'.repeat(20)) },
  { weight: 1, arbitrary: message.map((text) => `method=tools/call&params=${encodeURIComponent(text)}`) }
)
const body = fc.tuple(bodyText, fc.constantFrom('utf8', 'utf8', 'utf8', 'utf8', 'utf8', 'utf8', 'utf8', 'utf16le', 'utf16be', 'latin1', 'gzip')).map(([text, encoding]) => {
  if (encoding === 'gzip') return gzipSync(text)
  if (encoding === 'utf16be') return Buffer.from(text, 'utf16le').swap16()
  return Buffer.from(text, encoding as BufferEncoding)
})

const header = fc.oneof(
  fc.constantFrom('tools/call', 'tools/list', 'ping', 'Tools/Call').map((value) => ['Mcp-Method', value]),
  fc.constantFrom('delete', 'get_a', '=?base64?ZGVsZXRl?=', '=?BASE64?ZGVsZXRl?=', '=?base64?Z2V0X2E=?=').map((value) => ['Mcp-Name', value]),
  fc.constantFrom('2026-07-28', '2025-11-25', '2025-03-26', '2099-01-01').map((value) => ['MCP-Protocol-Version', value]),
  fc.constantFrom('DELETE', 'POST').map((value) => ['X-HTTP-Method-Override', value]),
  fc.constantFrom('gzip', 'identity', 'utf-16').map((value) => ['Content-Encoding', value]),
  fc.constantFrom('mcp:write', 'mcp:read mcp:write').map((value) => ['X-Navis-Scopes', value]),
  fc.constantFrom('x', 'x.y').map((value) => ['Mcp-Session-Id', value]),
  fc.constant(['Mcp-Param-Name', 'delete']),
  fc.constant(['Connection', 'x-navis-key-id, content-type']),
  fc.constantFrom('application/json; charset=utf-16', 'text/plain', 'application/x-www-form-urlencoded', 'application/json-rpc').map((value) => ['Content-Type', value])
)
const path = fc.oneof({ weight: 12, arbitrary: fc.constant('/mcp') }, { weight: 1, arbitrary: fc.constantFrom('/mcp?method=tools/call&name=delete', '/mcp/', '/MCP', '//mcp', '/mcp/default', '/mcp/../mcp', '/mcp%2f', '/mcp;method=tools/call') })
const attempt: fc.Arbitrary<Attempt> = fc.record({
  method: fc.oneof({ weight: 12, arbitrary: fc.constant('POST') }, { weight: 1, arbitrary: fc.constantFrom('GET', 'DELETE', 'PUT', 'PATCH', 'HEAD', 'OPTIONS') }),
  path,
  headers: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, { weight: 3, arbitrary: fc.array(header, { maxLength: 3 }) }).map((headers) => ['Content-Type', 'application/json', ...headers.flat()]),
  body
})

function send (origin: string, token: string, { method, path, headers, body }: Attempt): Promise<number> {
  const { hostname, port } = new URL(origin)
  return new Promise((resolve, reject) => {
    const sent = request({
      hostname,
      port,
      method,
      path,
      headers: ['Host', 'gateway', 'Authorization', `Bearer ${token}`, 'Content-Length', String(body.length), ...headers]
    }, (response) => { response.resume().once('end', () => { resolve(response.statusCode ?? 0) }) })
    sent.once('error', reject)
    sent.end(body)
  })
}

test('a read key causes no writing call by any method, header, batch, encoding, doubled member or case', async (t) => {
  const upstream = await liberalUpstream(t)
  const policy = t.testdir({ 'policy.json': '{"upstreams":{"default":{"tools":{"get_*":"mcp:read"}}}}' })
  const gateway = await startGateway(t, { upstreams: upstream.url, policyFile: `${policy}/policy.json` })
  const { token } = await gateway.mint('mcp:read')
  const statuses = new Map<number, number>()
  let made = 0
  await fc.assert(fc.asyncProperty(fc.tuple(...Array.from({ length: atATime }, () => attempt)), async (tried) => {
    for (const status of await Promise.all(tried.map((one) => send(gateway.origin, token, one)))) statuses.set(status, (statuses.get(status) ?? 0) + 1)
    made += tried.length
    const [written] = upstream.writes()
    if (written !== undefined) throw new Error(`the upstream heard ${JSON.stringify(written)}`)
    upstream.received.splice(0)
  }), { numRuns: Math.ceil(attemptsInAll / atATime) })
  t.ok(made >= attemptsInAll, `${made} attempts, none of which wrote`)
  t.strictSame(gateway.lines.filter((line) => line.includes('the gateway failed')), [])
  t.comment(Object.fromEntries(statuses))
  t.ok((statuses.get(200) ?? 0) > made / 50, 'many reached the upstream')
  t.ok((statuses.get(400) ?? 0) > made / 10, 'many were refused as ambiguous')
  t.ok((statuses.get(403) ?? 0) > made / 100, 'some were refused for their scope')
})

test('the recording upstream sees through the tricks that it is there to see', async (t) => {
  const call = '{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call","params":{"name":"get_a","NAME":"delete"}}'
  const heard = { method: 'POST', url: '/mcp', headers: {} }
  for (const body of [call, `[[${call}]]`, `{}${call}`, Buffer.from(call, 'utf16le').toString('latin1'), '{"method":"tools/call","method":"ping","params":{"name":"delete"}}', '{"method":"tools/call","params":{"__proto__":{"name":"delete"}}}']) {
    t.ok(mayWrite({ ...heard, body }), body)
  }
  t.ok(mayWrite({ ...heard, headers: { 'mcp-method': 'tools/call', 'mcp-name': '=?base64?ZGVsZXRl?=' }, body: '' }))
  t.ok(mayWrite({ ...heard, url: '/mcp?method=tools/call&name=delete', body: '' }))
  t.notOk(mayWrite({ ...heard, body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_a"}}' }))
})
