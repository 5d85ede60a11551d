import type { AddressInfo } from 'node:net'
import { test, type Test } from 'tap'
import { setupApp } from '../routes/setup.ts'
import { recordingUpstream } from '../support/recording-upstream.ts'

async function setup (t: Test, limit: { requests: number, window_seconds: number }) {
  const upstream = await recordingUpstream(t, ({ method }, response) => {
    if (method === 'GET') response.writeHead(200, { 'content-type': 'text/event-stream' }).end('data: 1\n\n')
    else response.setHeader('mcp-session-id', 's').setHeader('content-type', 'application/json').end('{"jsonrpc":"2.0","id":1,"result":{}}')
  })
  const policy = t.testdir({ 'policy.json': '{"upstreams":{"default":{"tools":{"get_*":"mcp:read"}}}}' })
  const { app, create, ask } = await setupApp(t, { environment: { MCP_UPSTREAM_URL: upstream.url, MCP_POLICY_FILE: `${policy}/policy.json` } })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/mcp`
  const { token, id } = await create({ scope: 'mcp:read', rate_limit: limit })
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const send = async (body: unknown, more: Record<string, string> = {}) => {
    const response = await fetch(url, { method: 'POST', headers: { ...headers, ...more }, body: JSON.stringify(body) })
    const text = await response.text()
    return { status: response.status, headers: response.headers, json: text === '' ? undefined : JSON.parse(text) }
  }
  return { app, ask, upstream, url, headers, send, id }
}

const call = (name: string, id: number = 7) => ({ jsonrpc: '2.0', id, method: 'tools/call', params: { name } })

test('a call counts, and the one too many tells an agent how long to wait', async (t) => {
  const { send, upstream } = await setup(t, { requests: 2, window_seconds: 3600 })
  const first = await send(call('get_a'))
  t.equal(first.status, 200)
  t.equal(first.headers.get('ratelimit'), '"key";r=1;t=1800')
  t.equal(first.headers.get('ratelimit-policy'), '"key";q=2;w=3600')
  t.equal((await send(call('get_a'))).status, 200)
  const refused = await send(call('get_a', 42))
  t.equal(refused.status, 429)
  t.match(refused.json, { jsonrpc: '2.0', id: 42, error: { code: 429, message: /2 requests in 3600 seconds are allowed\. Try again in 1800 seconds\./, data: { code: 'rate_limited', retry_after_seconds: 1800 } } })
  for (const [name, value] of [['retry-after', '1800'], ['ratelimit', '"key";r=0;t=3600'], ['ratelimit-policy', '"key";q=2;w=3600'], ['cache-control', 'no-store'], ['www-authenticate', null]] as const) t.equal(refused.headers.get(name), value, name)
  t.equal(upstream.received.length, 2, 'and is not passed on')
})

test('what is no call counts nothing: notifications, streams, answers, and calls that the key may not make', async (t) => {
  const { send, url, headers } = await setup(t, { requests: 1, window_seconds: 3600 })
  for (let i = 0; i < 3; i++) {
    t.equal((await send({ jsonrpc: '2.0', method: 'notifications/initialized' })).status, 200)
    t.equal((await fetch(url, { headers })).status, 200)
    t.equal((await send(call('set_a'))).status, 403)
  }
  t.equal((await send(call('get_a'))).status, 200)
  t.equal((await send(call('get_a'))).status, 429)
  t.equal((await send(call('set_a'))).status, 403, 'the scope is told before the limit')
  t.equal((await fetch(url, { headers })).status, 200, 'a stream is open to a key that has used its limit up')
})

test('each request of a batch counts, and none is passed on when one is too many', async (t) => {
  const { send, upstream } = await setup(t, { requests: 3, window_seconds: 3600 })
  const batch = (count: number) => Array.from({ length: count }, (_, i) => call('get_a', i))
  const version = { 'mcp-protocol-version': '2025-03-26' }
  t.equal((await send(batch(2), version)).headers.get('ratelimit'), '"key";r=1;t=2400')
  t.match(await send(batch(2), version), { status: 429, json: { id: null, error: { data: { code: 'rate_limited' } } } })
  t.equal(upstream.received.length, 1)
})

test('who used a key, from where, with what and for which tools, is one request afterwards', async (t) => {
  const { app, ask, send, id } = await setup(t, { requests: 3, window_seconds: 3600 })
  const opened = await send({ jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'claude-code', version: '2.1' } } })
  const session = { 'mcp-session-id': opened.headers.get('mcp-session-id') ?? '', 'user-agent': 'node' }
  await send(call('get_a'), session)
  await send(call('set_a'), session)
  await send(call('get_a'), session)
  t.equal((await send(call('get_a'), session)).status, 429)
  await app.apiKeys.usage.flush()
  await app.apiKeys.calls.flush()
  const { body: usage } = await ask('GET', `/v1/workspaces/acme/keys/${id}/usage`)
  t.match(usage, {
    days: [{ accepted: 3, refused: { insufficient_scope: 1, rate_limited: 1 } }],
    tools: [{ tool: 'get_a', calls: 3, denied: 1, failed: 0 }, { tool: 'set_a', calls: 1, denied: 1, failed: 0 }],
    last: { address: '127.0.0.1', client: 'claude-code/2.1' }
  })
  const { body: { calls } } = await ask('GET', `/v1/workspaces/acme/calls?key_id=${id}`)
  t.strictSame(calls.map(({ method, tool, decision, status }: Record<string, unknown>) => [method, tool, decision, status]), [
    ['tools/call', 'get_a', 'denied', 429], ['tools/call', 'get_a', 'passed', 200], ['tools/call', 'set_a', 'denied', 403], ['tools/call', 'get_a', 'passed', 200], ['initialize', null, 'passed', 200]
  ])
})

test('clientInfo of 2026-07-28, which comes with each call, is the client that is told', async (t) => {
  const { app, ask, send, id } = await setup(t, { requests: 3, window_seconds: 3600 })
  const _meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientInfo': { name: 'cursor', version: '3' }, 'io.modelcontextprotocol/clientCapabilities': {} }
  const body = { ...call('get_a'), params: { name: 'get_a', _meta } }
  t.equal((await send(body, { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'get_a' })).status, 200)
  await app.apiKeys.usage.flush()
  t.match((await ask('GET', `/v1/workspaces/acme/keys/${id}/usage`)).body, { last: { client: 'cursor/3' } })
})
