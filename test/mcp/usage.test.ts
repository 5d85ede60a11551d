import type { AddressInfo } from 'node:net'
import { test, testdir, type Test } from 'tap'
import { setupApp } from '../routes/setup.ts'
import { recordingUpstream } from '../support/recording-upstream.ts'
import { freshDatabase } from '../support/servers.ts'
import { until } from '../support/until.ts'

const keys = '/v1/workspaces/acme/keys'
const inside = { 'x-forwarded-for': '198.51.100.7' }
const old = { 'mcp-protocol-version': '2025-03-26' }
const policy = testdir({ 'policy.json': '{"upstreams":{"default":{"tools":{"get_*":"mcp:read"}}}}' })
const rpc = (method: string, params: object = {}) => ({ jsonrpc: '2.0', id: 1, method, params })
const call = (name: string) => rpc('tools/call', { name })
const notification = { jsonrpc: '2.0', method: 'notifications/initialized' }

interface Sent {
  readonly method?: string
  readonly body?: unknown
  readonly headers?: Record<string, string>
}

/** A replica of the service with a gateway. Nothing is written before a test asks for it. */
async function replica (t: Test, databaseUrl?: string) {
  const upstream = await recordingUpstream(t, ({ method }, response) => {
    if (method === 'GET') response.writeHead(200, { 'content-type': 'text/event-stream' }).end('data: 1\n\n')
    else response.setHeader('mcp-session-id', 's').setHeader('content-type', 'application/json').end('{"jsonrpc":"2.0","id":1,"result":{}}')
  })
  const { app, ask, create } = await setupApp(t, {
    ...databaseUrl !== undefined && { databaseUrl },
    environment: { MCP_UPSTREAM_URL: upstream.url, MCP_POLICY_FILE: `${policy}/policy.json`, TRUSTED_PROXIES: '127.0.0.1', LAST_USED_FLUSH_MS: '60000' }
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/mcp`
  const send = async (token: string, { method = 'POST', body, headers }: Sent) => {
    const response = await fetch(url, {
      method,
      headers: { authorization: `Bearer ${token}`, ...method === 'POST' && { 'content-type': 'application/json' }, ...inside, ...headers },
      ...method === 'POST' && { body: typeof body === 'string' ? body : JSON.stringify(body) }
    })
    await response.text()
    return response
  }
  /** A key whose previous token ends an hour after the first use of the newest one, which is returned. */
  const rotated = async (fields: object) => {
    const { id } = await create(fields)
    const { status, body } = await ask('POST', `${keys}/${id}/rotate`, { payload: { grace_starts: 'first_use', grace_seconds: 3600 } })
    t.equal(status, 201)
    return { id: id as string, token: body.token as string }
  }
  const told = async (id: string) => {
    await app.apiKeys.usage.flush()
    const { body: { days, last } } = await ask('GET', `${keys}/${id}/usage`)
    const { body: { last_used_at: lastUsedAt, previous_token: previous } } = await ask('GET', `${keys}/${id}`)
    return { days: days.map(({ accepted, refused }: Record<string, unknown>) => ({ accepted, refused })), last, lastUsedAt, isFirstUsed: Date.parse(previous.ends_at) < Date.now() + 2 * 3_600_000 }
  }
  return { app, ask, create, send, rotated, told }
}

const unused = { last: null, lastUsedAt: null, isFirstUsed: false }

test('a request that the gateway refuses is no use of its key: it counts as refused, and moves neither the last use nor the first', async (t) => {
  const { send, rotated, told } = await replica(t)
  for (const { what, fields, sent, status, refused } of [
    { what: 'a tool that writes', sent: { body: call('set_a') }, status: 403, refused: { insufficient_scope: 1 } },
    { what: 'a tool that the policy does not know', sent: { body: call('other') }, status: 403, refused: { insufficient_scope: 1 } },
    { what: 'a method that is not known', sent: { body: rpc('x/y') }, status: 403, refused: { insufficient_scope: 1 } },
    { what: 'a batch with one call too much', sent: { body: [call('get_a'), call('set_a')], headers: old }, status: 403, refused: { insufficient_scope: 1 } },
    { what: 'more calls than the limit', fields: { rate_limit: { requests: 1, window_seconds: 3600 } }, sent: { body: [call('get_a'), call('get_a')], headers: old }, status: 429, refused: { rate_limited: 1 } },
    { what: 'another address', fields: { allowed_cidrs: ['198.51.100.0/24'] }, sent: { body: call('get_a'), headers: { 'x-forwarded-for': '203.0.113.9' } }, status: 403, refused: { address_not_allowed: 1 } },
    // The key is not what is wrong with these: no reason of a key is counted.
    { what: 'no JSON', sent: { body: '{' }, status: 400, refused: undefined },
    { what: 'no body', sent: { body: '' }, status: 400, refused: undefined },
    { what: 'another type', sent: { body: 'x', headers: { 'content-type': 'text/plain' } }, status: 415, refused: undefined },
    { what: 'a session of nobody', sent: { body: call('get_a'), headers: { 'mcp-session-id': 'x' } }, status: 404, refused: undefined },
    { what: 'an event of nobody', sent: { method: 'GET', headers: { 'last-event-id': 'x' } }, status: 400, refused: undefined },
    { what: 'a GET of 2026-07-28', sent: { method: 'GET', headers: { 'mcp-protocol-version': '2026-07-28' } }, status: 405, refused: undefined }
  ] as ReadonlyArray<{ what: string, fields?: object, sent: Sent, status: number, refused: object | undefined }>) {
    const { id, token } = await rotated({ scope: 'mcp:read', ...fields })
    t.equal((await send(token, sent)).status, status, what)
    const counted = refused === undefined ? {} : { accepted: 0, refused }
    const { days, ...rest } = await told(id)
    // A call of a tool has a day too.
    t.strictSame(days.filter(({ accepted, refused }: { accepted: number, refused: object }) => accepted > 0 || Object.keys(refused).length > 0), refused === undefined ? [] : [counted], what)
    t.strictSame(rest, unused, what)

    t.equal((await send(token, { body: notification })).status, 200, `after ${what}`)
    t.match(await told(id), { days: [{ accepted: 1, refused: refused ?? {} }], last: { address: '198.51.100.7' }, lastUsedAt: String, isFirstUsed: true }, `after ${what}`)
  }
})

test('a request that the gateway lets through counts once, whatever is in it', async (t) => {
  const { send, rotated, told } = await replica(t)
  for (const { what, sent } of [
    { what: 'a call', sent: { body: call('get_a') } },
    { what: 'a notification', sent: { body: notification } },
    { what: 'a batch', sent: { body: [call('get_a'), call('get_b'), notification], headers: old } },
    { what: 'a stream', sent: { method: 'GET' } },
    { what: 'the end of a session', sent: { method: 'DELETE' } }
  ] satisfies ReadonlyArray<{ what: string, sent: Sent }>) {
    const { id, token } = await rotated({ scope: 'mcp:read' })
    t.equal((await send(token, sent)).status, 200, what)
    t.match(await told(id), { days: [{ accepted: 1, refused: {} }], last: { address: '198.51.100.7' }, lastUsedAt: String, isFirstUsed: true }, what)
  }
})

test('the last use through the gateway has the address of the request and the name that the client gives itself; a use without them has neither', async (t) => {
  const { send, rotated, told, ask } = await replica(t)
  const { id, token } = await rotated({ scope: 'mcp:read' })
  await send(token, { body: rpc('initialize', { clientInfo: { name: 'claude-code', version: '2.1' } }) })
  t.match((await told(id)).last, { address: '198.51.100.7', client: 'claude-code/2.1' })
  t.match(await ask('POST', '/v1/verify', { payload: { token } }), { body: { valid: true } })
  t.match((await told(id)).last, { at: String, address: null, client: null })
})

test('the counts of all replicas add up to the requests', async (t) => {
  const databaseUrl = await freshDatabase(t)
  const replicas = [await replica(t, databaseUrl), await replica(t, databaseUrl)] as const
  const { id, token } = await replicas[0].create({ scope: 'mcp:read' })
  for (const { send } of replicas) {
    const statuses = await Promise.all(['get_a', 'set_a', 'get_a', 'set_a', 'get_a'].map(async (name) => (await send(token, { body: call(name) })).status))
    t.strictSame(statuses, [200, 403, 200, 403, 200])
  }
  await Promise.all(replicas.map(({ app }) => app.apiKeys.usage.flush()))
  const { body } = await replicas[1].ask('GET', `${keys}/${id}/usage`)
  t.match(body.days, [{ accepted: 6, refused: { insufficient_scope: 4 } }])
  const metrics = String((await replicas[0].ask('GET', '/metrics')).body)
  t.match(metrics, /navis_keys_verifications_total\{outcome="accepted"\} 3\n/)
  t.match(metrics, /navis_keys_verifications_total\{outcome="insufficient_scope"\} 2\n/)
})

test('the client that is told is the one that was let through last, and its address is not lost to a refusal before it', async (t) => {
  const { app, send, rotated, told, ask } = await replica(t)
  const { id, token } = await rotated({ scope: 'mcp:read' })
  const as = (clientName: string, name: string) => ({
    body: rpc('tools/call', { name, _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientInfo': { name: clientName, version: '1' }, 'io.modelcontextprotocol/clientCapabilities': {} } }),
    headers: { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': name }
  })
  // Clients are noted when a request has ended, after its answer.
  const ended = async (count: number) => await until(async () => {
    await app.apiKeys.calls.flush()
    return (await ask('GET', `/v1/workspaces/acme/calls?key_id=${id}`)).body.calls.length === count
  })
  for (const [i, { client, tool, status }] of [{ client: 'thief', tool: 'set_a', status: 403 }, { client: 'agent', tool: 'get_a', status: 200 }, { client: 'thief', tool: 'set_a', status: 403 }].entries()) {
    t.equal((await send(token, as(client, tool))).status, status)
    await ended(i + 1)
  }
  t.match(await told(id), { days: [{ accepted: 1, refused: { insufficient_scope: 2 } }], last: { address: '198.51.100.7', client: 'agent/1' } })
})
