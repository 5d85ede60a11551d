import { test } from 'tap'
import type { GatewayCall } from '../../src/mcp/call-report.ts'
import { startGateway } from '../support/gateway.ts'
import { recordingUpstream } from '../support/recording-upstream.ts'
import { freshDatabase, until } from '../support/servers.ts'

const rpc = (method: string, params: object = {}, id = 1) => ({ jsonrpc: '2.0', id, method, params })

async function post (url: string, token: string | undefined, body: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body)
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, json: text === '' ? undefined : JSON.parse(text) }
}

test('what the upstream hears of a call, and what it never does', async (t) => {
  const upstream = await recordingUpstream(t)
  const gateway = await startGateway(t, { upstreams: `${upstream.url}?tenant=7` })
  const { token, key } = await gateway.mint('mcp:write')
  const answer = await post(`${gateway.url}?debug=1`, token, rpc('tools/call', { name: 'set', arguments: { n: 1 } }), {
    'x-navis-key-id': 'forged',
    'X-Navis-Scopes': 'mcp:admin',
    cookie: 'a=b',
    'x-http-method-override': 'DELETE',
    'x-forwarded-for': '1.2.3.4',
    traceparent: '00-1-1-01',
    'mcp-param-region': 'eu'
  })
  t.equal(answer.status, 200)
  t.equal(answer.headers.get('cache-control'), 'no-store, no-transform')
  const [heard] = upstream.received
  t.match(heard, {
    method: 'POST',
    url: '/mcp?tenant=7',
    body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"set","arguments":{"n":1}}}',
    headers: {
      'x-navis-key-id': key.id,
      'x-navis-workspace-id': 'ws-1',
      'x-navis-owner-id': 'owner-1',
      'x-navis-scopes': 'mcp:read mcp:write',
      'content-type': 'application/json',
      traceparent: '00-1-1-01',
      'mcp-param-region': 'eu',
      'accept-encoding': 'identity'
    }
  })
  for (const name of ['authorization', 'cookie', 'x-http-method-override', 'x-forwarded-for']) t.notOk(name in (heard?.headers ?? {}), name)
  t.notMatch(JSON.stringify(upstream.received), new RegExp(token.slice(0, 12)))
  t.notMatch(gateway.lines.join(''), new RegExp(token.slice(0, 12)))
})

test('several upstreams, each with its own credential and policy', async (t) => {
  const crm = await recordingUpstream(t)
  const erp = await recordingUpstream(t)
  const gateway = await startGateway(t, { upstreams: [{ name: 'crm', url: crm.url, token: 'crm-secret' }, { name: 'erp', url: erp.url }] })
  const { token } = await gateway.mint('mcp:read')
  t.equal((await post(`${gateway.url}/crm`, token, rpc('ping'))).status, 200)
  t.equal((await post(`${gateway.url}/erp`, token, rpc('ping'))).status, 200)
  t.equal(crm.received[0]?.headers.authorization, 'Bearer crm-secret')
  t.notOk(erp.received[0]?.headers.authorization)
  t.equal((await post(gateway.url, token, rpc('ping'))).status, 404)
  t.equal((await post(`${gateway.url}/http:%2f%2fevil`, token, rpc('ping'))).status, 404)
})

test('refusals say why and what to do, in RFC 6750 and in JSON-RPC', async (t) => {
  const upstream = await recordingUpstream(t)
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const read = await gateway.mint('mcp:read')
  const none = await post(gateway.url, undefined, rpc('ping'))
  t.equal(none.status, 401)
  t.equal(none.headers.get('www-authenticate'), 'Bearer realm="navis-keys"')
  t.match(none.json, { jsonrpc: '2.0', error: { code: 401, message: /Bearer/, data: { code: 'unauthenticated' } } })

  // A last character that is not the token's own.
  const unknown = await post(gateway.url, `${read.token.slice(0, -1)}${read.token.endsWith('0') ? '1' : '0'}`, rpc('ping'))
  t.equal(unknown.status, 401)
  t.match(unknown.headers.get('www-authenticate'), /error="invalid_token", error_description="The token is malformed/)

  const tooLittle = await post(gateway.url, read.token, rpc('tools/call', { name: 'set' }, 9))
  t.equal(tooLittle.status, 403)
  t.match(tooLittle.headers.get('www-authenticate'), /error="insufficient_scope".*scope="mcp:write"/)
  t.match(tooLittle.json, { jsonrpc: '2.0', id: 9, error: { code: 403, message: /tools\/list shows.*Read \+ Write/, data: { code: 'insufficient_scope', scope: 'mcp:write' } } })

  await read.revoke()
  const revoked = await post(gateway.url, read.token, rpc('ping'))
  t.equal(revoked.status, 401)
  t.match(revoked.headers.get('www-authenticate'), /error_description="The key was revoked/)
  t.match(revoked.json, { error: { data: { code: 'revoked' } } })
  t.strictSame(upstream.received, [])
})

test('pages of foreign origins are refused, with and without a key; named ones get what browsers need', async (t) => {
  const upstream = await recordingUpstream(t)
  const gateway = await startGateway(t, { upstreams: upstream.url, allowedOrigins: ['https://app.example'] })
  const { token } = await gateway.mint('mcp:read')
  for (const origin of ['https://evil.example', 'null', gateway.origin, 'https://app.example.evil.example']) {
    const answer = await post(gateway.url, token, rpc('ping'), { origin })
    t.equal(answer.status, 403, origin)
    t.match(answer.json, { error: { data: { code: 'forbidden_origin' } } })
    t.equal(answer.headers.get('access-control-allow-origin'), null)
  }
  t.strictSame(upstream.received, [])
  const allowed = await post(gateway.url, token, rpc('ping'), { origin: 'https://app.example' })
  t.equal(allowed.status, 200)
  t.equal(allowed.headers.get('access-control-allow-origin'), 'https://app.example')
  const preflight = await fetch(gateway.url, { method: 'OPTIONS', headers: { origin: 'https://app.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' } })
  t.equal(preflight.status, 204)
  t.equal(preflight.headers.get('access-control-allow-headers'), 'authorization')
  t.equal((await fetch(gateway.url, { method: 'OPTIONS', headers: { origin: 'https://evil.example' } })).status, 403)
})

test('bodies that are no JSON messages are refused before the upstream hears of them', async (t) => {
  const upstream = await recordingUpstream(t)
  const gateway = await startGateway(t, { upstreams: upstream.url, bodyBytesMax: 2000 })
  const { token } = await gateway.mint('mcp:write')
  const message = JSON.stringify(rpc('ping'))
  t.equal((await post(gateway.url, token, message, { 'content-type': 'text/plain' })).status, 415)
  t.equal((await post(gateway.url, token, message, { 'content-type': 'application/x-www-form-urlencoded' })).status, 415)
  t.equal((await post(gateway.url, token, message, { 'content-encoding': 'gzip' })).status, 415)
  t.equal((await post(gateway.url, token, 'x'.repeat(3000))).status, 413)
  t.match((await post(gateway.url, token, '{"jsonrpc"')).json, { error: { code: -32700 } })
  t.equal((await post(gateway.url, token, '')).status, 400)
  t.match((await post(gateway.url, token, message, { 'mcp-protocol-version': '2026-07-28' })).json, { id: 1, error: { code: -32020 } })
  for (const method of ['PUT', 'PATCH']) {
    const answer = await fetch(gateway.url, { method, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: message })
    t.equal(answer.status, 405)
    t.match(await answer.json(), { jsonrpc: '2.0', error: { code: 405 } })
  }
  t.strictSame(upstream.received, [])
})

test('a read key sees the tools that it may call, marked private; a write key sees all', async (t) => {
  const list = { jsonrpc: '2.0', id: 1, result: { tools: [{ name: 'get_a', n: 1.5 }, { name: 'set_a' }], cacheScope: 'public' } }
  const upstream = await recordingUpstream(t, (request, response) => {
    const asStream = request.headers.accept === 'text/event-stream'
    response.setHeader('content-type', asStream ? 'text/event-stream' : 'application/json')
    response.end(asStream ? `id: 5\ndata: ${JSON.stringify(list)}\n\n` : JSON.stringify(list))
  })
  const gateway = await startGateway(t, { upstreams: upstream.url, policyFile: `${t.testdir({ 'policy.json': '{"upstreams":{"default":{"tools":{"get_*":"mcp:read"}}}}' })}/policy.json` })
  const read = await gateway.mint('mcp:read')
  const write = await gateway.mint('mcp:write')
  const modern = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' }
  t.strictSame((await post(gateway.url, read.token, rpc('tools/list'))).json.result, { tools: [{ name: 'get_a', n: 1.5 }], cacheScope: 'public' })
  t.strictSame((await post(gateway.url, read.token, rpc('tools/list'), modern)).json.result, { tools: [{ name: 'get_a', n: 1.5 }], cacheScope: 'private' })
  t.strictSame((await post(gateway.url, write.token, rpc('tools/list'), modern)).json.result, { tools: list.result.tools, cacheScope: 'private' })
  t.strictSame((await post(gateway.url, write.token, rpc('tools/list'))).json, list)
  const streamed = await fetch(gateway.url, { method: 'POST', headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization: `Bearer ${read.token}` }, body: JSON.stringify(rpc('tools/list')) })
  t.equal(streamed.headers.get('content-type'), 'text/event-stream')
  t.match(await streamed.text(), /^id: 5\.[\w-]{22}\ndata: \{"jsonrpc".*"tools":\[\{"name":"get_a","n":1.5\}\]/)
  t.equal((await post(gateway.url, read.token, rpc('tools/call', { name: 'get_a' }))).status, 200)
  t.equal((await post(gateway.url, read.token, rpc('tools/call', { name: 'set_a' }))).status, 403)
})

test('a session belongs to the key that opened it', async (t) => {
  const upstream = await recordingUpstream(t, (_request, response) => {
    response.setHeader('mcp-session-id', 'abc').setHeader('content-type', 'application/json').end('{"jsonrpc":"2.0","id":1,"result":{}}')
  })
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const one = await gateway.mint('mcp:read')
  const other = await gateway.mint('mcp:write')
  const opened = await post(gateway.url, one.token, rpc('initialize'))
  const session = opened.headers.get('mcp-session-id') ?? ''
  t.match(session, /^abc\../)
  t.equal((await post(gateway.url, one.token, rpc('ping'), { 'mcp-session-id': session })).status, 200)
  t.equal(upstream.received.at(-1)?.headers['mcp-session-id'], 'abc')
  t.equal((await post(gateway.url, one.token, { jsonrpc: '2.0', id: 4, result: {} }, { 'mcp-session-id': session })).status, 200)
  const count = upstream.received.length
  for (const [token, id] of [[other.token, session], [one.token, 'abc'], [one.token, `${session}x`]] as const) {
    const refused = await post(gateway.url, token, rpc('ping'), { 'mcp-session-id': id })
    t.equal(refused.status, 404)
    t.match(refused.json, { id: 1, error: { code: 404, data: { code: 'unknown_session' } } })
  }
  t.equal((await post(gateway.url, one.token, { jsonrpc: '2.0', id: 4, result: {} })).status, 403, 'an answer outside the session')
  t.equal(upstream.received.length, count)
  const ended = await fetch(gateway.url, { method: 'DELETE', headers: { authorization: `Bearer ${one.token}`, 'mcp-session-id': session } })
  t.equal(ended.status, 200)
  t.match(upstream.received.at(-1), { method: 'DELETE', body: '', headers: { 'mcp-session-id': 'abc' } })
})

test('an upstream that is down, slow, redirects, rejects the gateway or talks nonsense is told clearly', async (t) => {
  const elsewhere = await recordingUpstream(t)
  const upstream = await recordingUpstream(t, (request, response) => {
    const { method } = JSON.parse(request.body) as { method: string }
    if (method === 'tools/list') response.writeHead(307, { location: elsewhere.url }).end()
    else if (method === 'prompts/list') response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>secret</h1>')
    else if (method === 'resources/list') response.writeHead(401, { 'www-authenticate': 'Bearer realm="inner"' }).end()
    else if (method === 'server/discover') response.writeHead(404, { 'content-type': 'text/plain' }).end('no')
    else if (method === 'logging/setLevel') response.writeHead(200, { 'content-type': 'application/json', 'content-length': '50' }).write('{"half', () => { response.destroy() })
    else if (method === 'completion/complete') response.writeHead(400, { 'content-type': 'application/json', 'set-cookie': 'a=b' }).end('{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"own"}}')
  })
  const down = await recordingUpstream(t)
  await new Promise((resolve) => { down.server.close(resolve) })
  const gateway = await startGateway(t, { upstreams: [{ name: 'default', url: upstream.url }, { name: 'down', url: down.url }], answerTimeoutMs: 1000 })
  const { token } = await gateway.mint('mcp:write')
  const send = async (method: string, url = gateway.url) => await post(url, token, rpc(method, {}, 5))
  t.match(await send('ping', `${gateway.url}/down`), { status: 502, json: { id: 5, error: { code: 502, message: /cannot be reached/ } } })
  t.match(await send('tools/list'), { status: 502, json: { id: 5, error: { message: /redirects/ } } })
  t.match(await send('prompts/list'), { status: 502, json: { id: 5, error: { message: /not MCP/ } } })
  const rejected = await send('resources/list')
  t.match(rejected, { status: 502, json: { id: 5, error: { message: /does not accept the gateway/ } } })
  t.equal(rejected.headers.get('www-authenticate'), null)
  t.match(await send('server/discover'), { status: 404, json: { id: 5, error: { code: 404 } } })
  await t.rejects(send('logging/setLevel'), 'an answer that breaks off breaks off')
  const own = await send('completion/complete')
  t.match(own, { status: 400, json: { error: { message: 'own' } } })
  t.equal(own.headers.get('set-cookie'), null)
  t.match(await send('ping'), { status: 504, json: { id: 5, error: { code: 504, message: /not answer in time/ } } })
  t.strictSame(elsewhere.received, [])
  t.ok(gateway.reports.some(({ decision }) => decision === 'upstream_failed'))
})

test('a client that goes away takes its call at the upstream with it, before and after the answer began', async (t) => {
  for (const begins of [false, true]) {
    let closed = false
    let heard = false
    const upstream = await recordingUpstream(t, (_request, response) => {
      heard = true
      if (begins) response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': open\n\n')
      response.once('close', () => { closed = true })
    })
    const gateway = await startGateway(t, { upstreams: upstream.url })
    const { token } = await gateway.mint('mcp:read')
    const leave = new AbortController()
    const going = fetch(gateway.url, { method: 'POST', signal: leave.signal, headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` }, body: JSON.stringify(rpc('ping')) })
    going.catch(() => {})
    await until(() => heard)
    if (begins) await going
    leave.abort()
    await until(() => closed)
    t.ok(closed)
  }
})

test('an event stream is open for its client before its first event', async (t) => {
  const upstream = await recordingUpstream(t, (_request, response) => { response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders() })
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const { token } = await gateway.mint('mcp:read')
  const leave = new AbortController()
  const stream = await fetch(gateway.url, { signal: leave.signal, headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' } })
  t.equal(stream.status, 200)
  t.match(upstream.received[0], { method: 'GET', body: '' })
  leave.abort()
})

test('a report is made of each message, without arguments and without what strangers make up', async (t) => {
  const upstream = await recordingUpstream(t)
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const read = await gateway.mint('mcp:read')
  await post(gateway.url, read.token, [rpc('ping'), rpc('tools/call', { name: 'set_a', arguments: { secret: 'argument' } })])
  await post(gateway.url, read.token, rpc(`evil ${read.token}`))
  await post(gateway.url, read.token, rpc('tools/call', { name: read.token }))
  await post(gateway.url, undefined, rpc('ping'))
  await until(() => gateway.reports.length === 5)
  t.match(gateway.reports, [
    { key_id: read.key.id, workspace_id: 'ws-1', upstream: 'default', method: 'ping', decision: 'insufficient_scope', status: 403, duration_ms: Number },
    { method: 'tools/call', tool: 'set_a', decision: 'insufficient_scope' },
    { method: 'other', decision: 'insufficient_scope' },
    { method: 'tools/call', tool: 'other' },
    { key_id: undefined, method: 'http post', decision: 'unauthenticated', status: 401 }
  ])
  const logged = gateway.lines.join('')
  t.match(logged, /"msg":"mcp call"/)
  t.notMatch(logged, /argument|evil/)
  t.notOk(logged.includes(read.token))
})

test('when the answer about a key is not known, the upstream hears nothing and the client may try again', async (t) => {
  const upstream = await recordingUpstream(t)
  const gateway = await startGateway(t, { upstreams: upstream.url, databaseUrl: await freshDatabase(t) })
  const { token } = await gateway.mint('mcp:read')
  await gateway.keys.window.leave()
  const answer = await post(gateway.url, token, rpc('ping'))
  t.equal(answer.status, 503)
  t.equal(answer.headers.get('retry-after'), '1')
  t.match(answer.json, { error: { data: { code: 'unavailable' } } })
  t.strictSame(upstream.received, [])
})

test('a path with a slash at its end is the same path', async (t) => {
  const upstream = await recordingUpstream(t)
  const gateway = await startGateway(t, { upstreams: [{ name: 'default', url: upstream.url }, { name: 'crm', url: upstream.url }] })
  const { token } = await gateway.mint('mcp:read')
  for (const path of ['/', '/crm/']) t.equal((await post(`${gateway.url}${path}`, token, rpc('ping'))).status, 200, path)
})

test('without a list, pages of this machine are allowed; patterns reach programs and any port', async (t) => {
  const upstream = await recordingUpstream(t)
  const statuses = async (allowedOrigins: readonly string[] | undefined, origins: readonly string[]) => {
    const gateway = await startGateway(t, { upstreams: upstream.url, allowedOrigins })
    const { token } = await gateway.mint('mcp:read')
    return await Promise.all(origins.map(async (origin) => (await post(gateway.url, token, rpc('ping'), { origin })).status))
  }
  t.strictSame(await statuses(undefined, ['http://localhost:6274', 'http://127.0.0.1', 'http://[::1]:3000', 'https://localhost', 'http://localhost.evil.example', 'http://evil.example:80', 'null']), [200, 200, 200, 403, 403, 403, 403])
  t.strictSame(await statuses(['vscode-webview://*', 'chrome-extension://abc', 'http://dev.example:*', 'tauri://localhost'],
    ['vscode-webview://1f0a', 'chrome-extension://abc', 'chrome-extension://abd', 'http://dev.example:81', 'http://x.dev.example', 'tauri://localhost', 'http://localhost:1']), [200, 200, 403, 200, 403, 200, 403])
})

test('an unsupported version is refused with the id of its request, and with what this upstream speaks', async (t) => {
  const upstream = await recordingUpstream(t, ({ body, method }, response) => {
    const { id, method: asked } = method === 'POST' ? JSON.parse(body) as { id: number, method: string } : { id: 0, method: '' }
    response.setHeader('content-type', 'application/json')
    if (asked === 'initialize') response.end(JSON.stringify({ jsonrpc: '2.0', id, result: { protocolVersion: '2025-06-18', capabilities: {}, serverInfo: { name: 'x', version: '1' } } }))
    else response.writeHead(asked === 'notifications/initialized' ? 202 : 400).end(JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32601, message: 'Method not found' } }))
  })
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const { token } = await gateway.mint('mcp:read')
  t.match(await post(gateway.url, token, rpc('tools/list', {}, 301), { 'mcp-protocol-version': '2099-01-01', 'mcp-method': 'tools/list' }), {
    status: 400, json: { id: 301, error: { code: -32022, data: { supported: ['2025-06-18'], requested: '2099-01-01' } } }
  })
})

test('an unsupported version is refused while a silent upstream is still being asked, and what it said once is told without asking', async (t) => {
  const state = { isSilent: true, given: 0 }
  const upstream = await recordingUpstream(t, ({ body, method }, response) => {
    response.once('close', () => { if (!response.writableFinished) state.given++ })
    if (state.isSilent) return
    const { id, method: asked } = method === 'POST' ? JSON.parse(body) as { id: number, method: string } : { id: 0, method: '' }
    response.setHeader('content-type', 'application/json')
    if (asked === 'initialize') response.end(JSON.stringify({ jsonrpc: '2.0', id, result: { protocolVersion: '2025-06-18', capabilities: {}, serverInfo: { name: 'x', version: '1' } } }))
    else response.writeHead(asked === 'notifications/initialized' ? 202 : 400).end(JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32601, message: 'Method not found' } }))
  })
  let now = 1000
  const gateway = await startGateway(t, { upstreams: upstream.url, clock: { monotonicMs: () => now } })
  const { token } = await gateway.mint('mcp:read')
  const supportedNow = async () => (await post(gateway.url, token, rpc('ping'), { 'mcp-protocol-version': '2099-01-01' }) as { json: { error: { data: { supported: string[] } } } }).json.error.data.supported
  t.ok((await supportedNow()).length > 3, 'all that the gateway knows')
  t.ok(upstream.received.length > 0)
  t.equal(state.given, 0, 'the upstream was not waited for to the end')
  state.isSilent = false
  upstream.server.closeAllConnections()
  await until(async () => {
    now += 6000
    return (await supportedNow()).join() === '2025-06-18'
  })
  state.isSilent = true
  now += 61_000
  const before = upstream.received.length
  t.strictSame(await supportedNow(), ['2025-06-18'])
  await until(() => upstream.received.length > before)
})

test('a method that is not known does not exist for a read key, and goes on for a write key', async (t) => {
  const upstream = await recordingUpstream(t)
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const [read, write] = [await gateway.mint('mcp:read'), await gateway.mint('mcp:write')]
  const modern = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'acme/do' }
  t.match(await post(gateway.url, read.token, rpc('acme/do', {}, 4), modern), { status: 404, json: { id: 4, error: { code: -32601, data: { code: 'unknown_method' } } } })
  t.match(await post(gateway.url, read.token, rpc('acme/do', {}, 4)), { status: 403, json: { id: 4, error: { code: -32601 } } })
  t.strictSame(upstream.received, [])
  t.equal((await post(gateway.url, write.token, rpc('acme/do', {}, 4), modern)).status, 200)
})

test('a key in X-API-Key is as good as in Authorization; two different ones are none, and neither is a placeholder', async (t) => {
  const upstream = await recordingUpstream(t)
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const [one, other] = [await gateway.mint('mcp:read'), await gateway.mint('mcp:read')]
  t.equal((await post(gateway.url, undefined, rpc('ping'), { 'x-api-key': one.token })).status, 200)
  t.equal((await post(gateway.url, one.token, rpc('ping'), { 'X-API-Key': one.token })).status, 200)
  t.equal((await post(gateway.url, undefined, rpc('ping'), { authorization: 'Basic YTpi', 'x-api-key': one.token })).status, 200)
  t.notOk(upstream.received.some(({ headers }) => 'x-api-key' in headers))
  const two = await post(gateway.url, one.token, rpc('ping'), { 'x-api-key': other.token })
  t.equal(two.status, 401)
  t.match(two.headers.get('www-authenticate'), /two different tokens/)
  const placeholders = ['${NAVIS_KEY}', '${env:NAVIS_KEY}', '$NAVIS_KEY', '{{NAVIS_KEY}}', '<token>', '%NAVIS_KEY%', 'nops_REPLACE_WITH_YOUR_KEY', 'YOUR_API_KEY', // eslint-disable-line no-template-curly-in-string
    'nops_${KEY}', '"${NAVIS_KEY}"', '$env:NAVIS_KEY', '${{ secrets.NAVIS_KEY }}', '{{ navis_key }}', 'nops_...', 'nops_\u00e2\u0080\u00a6'] // eslint-disable-line no-template-curly-in-string
  for (const placeholder of placeholders) {
    const told = await post(gateway.url, placeholder, rpc('ping'))
    t.equal(told.status, 401, placeholder)
    t.match(told.headers.get('www-authenticate'), /error="invalid_token", error_description="A placeholder was sent/, placeholder)
    // Where the variable should have held the scheme too.
    t.match((await post(gateway.url, undefined, rpc('ping'), { authorization: placeholder })).headers.get('www-authenticate'), /A placeholder was sent/, `${placeholder} alone`)
  }
})

test('each call of a key is told to whoever counts, with the client that made it', async (t) => {
  const calls: GatewayCall[] = []
  const upstream = await recordingUpstream(t, (_request, response) => { response.setHeader('mcp-session-id', 's').setHeader('content-type', 'application/json').end('{"jsonrpc":"2.0","id":1,"result":{}}') })
  const gateway = await startGateway(t, { upstreams: upstream.url, onCall: (call) => { calls.push(call) } })
  const { token, key } = await gateway.mint('mcp:read')
  const opened = await post(gateway.url, token, rpc('initialize', { clientInfo: { name: 'claude-code', version: '2.1' } }))
  await post(gateway.url, token, rpc('tools/call', { name: 'set' }), { 'mcp-session-id': opened.headers.get('mcp-session-id') ?? '' })
  await post(gateway.url, undefined, rpc('ping'))
  await until(() => gateway.reports.length === 3)
  const client = { name: 'claude-code', version: '2.1' }
  t.match(calls, [
    { key: { id: key.id }, upstream: 'default', method: 'initialize', decision: 'passed', status: 200, ms: Number, usedAt: Number, clientInfo: client, address: '127.0.0.1' },
    { method: 'tools/call', tool: 'set', decision: 'denied', status: 403, usedAt: undefined, clientInfo: client }
  ])
  t.equal(calls.length, 2, 'a request without a key is no call of a key')
})

test('a preflight with a body is answered as any other, without the body', async (t) => {
  const upstream = await recordingUpstream(t)
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const answer = await fetch(gateway.url, { method: 'OPTIONS', headers: { origin: 'http://localhost:1', 'content-type': 'application/json' }, body: '{"jsonrpc":"2.0","id":1,"method":"ping"}' })
  t.equal(answer.status, 204)
  t.equal(upstream.received.length, 0)
})
