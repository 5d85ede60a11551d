import { createServer as createPlainServer, type RequestListener, type Server } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { test, type Test } from 'tap'
import { Authority } from '../support/authority.ts'
import { Child } from '../support/child.ts'
import { freePort } from '../support/server-process.ts'
import { freshDatabase, until } from '../support/servers.ts'

const management = 'upstream-tls-management-secret-0123456789'
const own = { pathname: '/mcp' }

async function listening (t: Test, server: Server): Promise<string> {
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => { server.close(resolve) })
  })
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}${own.pathname}`
}

test('why an upstream cannot be reached over TLS is told, and that nothing was sent', async (t) => {
  const authority = new Authority(t.testdir({}))
  let heard = 0
  const answer: RequestListener = (request, response) => {
    heard++
    request.resume()
    response.setHeader('content-type', 'application/json').end('{"jsonrpc":"2.0","id":5,"result":{}}')
  }
  const good = authority.sign('good')
  const upstreams = {
    good: await listening(t, createServer(good, answer) as unknown as Server),
    refused: `https://127.0.0.1:${await freePort()}/mcp`,
    dns: 'https://no-such-host.invalid/mcp',
    plain: await listening(t, createPlainServer(answer)),
    old: await listening(t, createServer({ ...good, maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }, answer) as unknown as Server),
    stranger: await listening(t, createServer(authority.signOwn('stranger'), answer) as unknown as Server),
    name: await listening(t, createServer(authority.sign('name', { subject: 'DNS:mcp.example' }), answer) as unknown as Server),
    expired: await listening(t, createServer(authority.sign('expired', { days: -1 }), answer) as unknown as Server)
  }
  const port = await freePort()
  const service = new Child(t, {
    file: 'dist/main.js',
    env: {
      PORT: String(port),
      DATABASE_URL: await freshDatabase(t, { migrated: false }),
      MANAGEMENT_TOKENS: `tests=${management}`,
      MCP_UPSTREAMS: Object.entries(upstreams).map(([name, url]) => `${name}=${url}`).join(','),
      LOG_FORMAT: 'json',
      NODE_EXTRA_CA_CERTS: authority.file
    }
  })
  const origin = `http://127.0.0.1:${port}`
  await until(async () => (await fetch(`${origin}/readyz`)).ok, { timeoutMs: 60_000 })
  const post = async (path: string, bearer: string, body: unknown) => {
    const response = await fetch(origin + path, { method: 'POST', headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' }, body: JSON.stringify(body) })
    return { status: response.status, json: await response.json() as any }
  }
  const { token } = (await post('/v1/workspaces/w/keys', management, { name: 'n', scope: 'mcp:write' })).json
  const call = async (name: string) => await post(`/mcp/${name}`, token, { jsonrpc: '2.0', id: 5, method: 'tools/call', params: { name: 'set' } })

  t.equal((await call('good')).status, 200, 'NODE_EXTRA_CA_CERTS names the authority')
  const causes: Record<Exclude<keyof typeof upstreams, 'good'>, { reason: string, code: RegExp, says: RegExp }> = {
    refused: { reason: 'refused', code: /ECONNREFUSED/, says: /accepts no connections/ },
    dns: { reason: 'dns', code: /ENOTFOUND|EAI_AGAIN/, says: /name is not found/ },
    plain: { reason: 'tls', code: /EPROTO|ERR_SSL/, says: /cannot be reached over TLS/ },
    old: { reason: 'tls', code: /EPROTO|ERR_SSL/, says: /cannot be reached over TLS/ },
    stranger: { reason: 'certificate', code: /DEPTH_ZERO_SELF_SIGNED_CERT/, says: /certificate .* is not accepted/ },
    name: { reason: 'certificate', code: /ERR_TLS_CERT_ALTNAME_INVALID/, says: /certificate .* is not accepted/ },
    expired: { reason: 'certificate', code: /CERT_HAS_EXPIRED/, says: /certificate .* is not accepted/ }
  }
  for (const [name, { reason, says }] of Object.entries(causes)) {
    const { status, json } = await call(name)
    t.equal(status, 502, name)
    t.match(json, { id: 5, error: { message: says, data: { code: 'upstream_unreachable', reason, sent: false } } }, name)
    t.match(json.error.message, /nothing was done: trying again is safe/, name)
  }
  t.equal(heard, 1, 'none of them heard a request')

  const ready = await (await fetch(`${origin}/readyz`)).json() as { mcp_upstreams: Array<{ name: string, state: string, cause: string | null }> }
  t.strictSame(ready.mcp_upstreams.map(({ name, state, cause }) => [name, state, cause]), [['good', 'up', null], ...Object.entries(causes).map(([name, { reason }]) => [name, 'failing', reason])])
  const metrics = await (await fetch(`${origin}/metrics`)).text()
  for (const [name, { reason }] of Object.entries(causes)) t.match(metrics, new RegExp(`navis_keys_mcp_upstream_failures_total\\{upstream="${name}",cause="${reason}"\\} 1`))
  const lines = service.stdout.split('\n').filter((line) => line.includes('the MCP upstream failed')).map((line) => JSON.parse(line) as { upstream: string, cause: string, cause_code: string })
  for (const [name, { reason, code }] of Object.entries(causes)) t.match(lines.find(({ upstream }) => upstream === name), { cause: reason, cause_code: code }, name)
})
