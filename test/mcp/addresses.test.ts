import type { AddressInfo } from 'node:net'
import { test, type Test } from 'tap'
import { setupApp } from '../routes/setup.ts'
import { recordingUpstream } from '../support/recording-upstream.ts'

const ranges = ['198.51.100.0/24', '2001:db8::/32']

/** The service with a gateway, its proxy on this machine, and a key that may be used from `ranges` alone. */
async function setup (t: Test, environment: Readonly<Record<string, string>>) {
  const upstream = await recordingUpstream(t, ({ method }, response) => {
    if (method === 'GET') response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
    else response.setHeader('content-type', 'application/json').end('{"jsonrpc":"2.0","id":1,"result":{}}')
  })
  const { app, create, ask } = await setupApp(t, { environment: { MCP_UPSTREAM_URL: upstream.url, TRUST_WINDOW_MS: '1000', ...environment } })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/mcp`
  const { token, id } = await create({ scope: 'mcp:write', allowed_cidrs: ranges })
  const headers = (forwardedFor?: string) => ({ authorization: `Bearer ${token}`, ...forwardedFor !== undefined && { 'x-forwarded-for': forwardedFor } })
  const call = async (forwardedFor?: string) => {
    const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json', ...headers(forwardedFor) }, body: '{"jsonrpc":"2.0","id":7,"method":"ping"}' })
    return { status: response.status, headers: response.headers, json: await response.json() as object }
  }
  return { app, ask, upstream, url, headers, call, id }
}

test('the gateway holds the address that a trusted proxy tells of against the list of a key', async (t) => {
  const { app, ask, upstream, call, id } = await setup(t, { TRUSTED_PROXIES: '127.0.0.1' })
  for (const { from, status } of [
    { from: '198.51.100.7', status: 200 },
    { from: '198.51.101.7', status: 403 },
    { from: '2001:db8:1::7', status: 200 },
    { from: '2001:db9::7', status: 403 },
    { from: '::ffff:198.51.100.8', status: 200 },
    { from: undefined, status: 403 },
    // What the client itself wrote stands before what the proxy added.
    { from: '198.51.100.7, 203.0.113.9', status: 403 },
    { from: '203.0.113.9, 198.51.100.9', status: 200 },
    { from: 'nonsense', status: 403 }
  ]) {
    const answer = await call(from)
    t.equal(answer.status, status, String(from))
    if (status !== 403) continue
    t.match(answer.json, { jsonrpc: '2.0', error: { data: { code: 'address_not_allowed' } } }, String(from))
    t.match(answer.headers.get('www-authenticate'), /error="address_not_allowed"/)
  }
  t.equal(upstream.received.length, 4, 'nothing of what was refused was passed on')
  await app.apiKeys.usage.flush()
  const { body } = await ask('GET', `/v1/workspaces/acme/keys/${id}/usage`)
  t.match(body, { days: [{ accepted: 4, refused: { address_not_allowed: 5 } }], last: { address: '198.51.100.7' } }, 'and the address is the one that is recorded, looked at once a second')
})

test('without a trusted proxy, X-Forwarded-For opens nothing', async (t) => {
  const { call } = await setup(t, {})
  t.equal((await call('198.51.100.7')).status, 403)
})

test('a stream ends when the list of its key no longer has the address', async (t) => {
  const { ask, url, headers, id } = await setup(t, { TRUSTED_PROXIES: '127.0.0.1' })
  const response = await fetch(url, { headers: { accept: 'text/event-stream', ...headers('198.51.100.7') } })
  t.equal(response.status, 200)
  const reader = response.body!.getReader()
  t.match(Buffer.from((await reader.read()).value!).toString(), 'data: 1')
  t.equal((await ask('PATCH', `/v1/workspaces/acme/keys/${id}`, { payload: { allowed_cidrs: ['203.0.113.0/24'] } })).status, 200)
  const ended = (async () => {
    for (;;) if ((await reader.read()).done) return 'ended'
  })().catch(() => 'ended')
  t.equal(await ended, 'ended')
})
