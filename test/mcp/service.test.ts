import { generateKeyPairSync } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { test } from 'tap'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { ConfigError, readConfig } from '../../src/config/config.ts'
import { setupApp } from '../routes/setup.ts'
import { startGateway } from '../support/gateway.ts'
import { recordingUpstream } from '../support/recording-upstream.ts'

const pem = () => generateKeyPairSync('ec', { namedCurve: 'P-256', publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } }).privateKey

async function call (origin: string, token: string, body: object, path = '/mcp') {
  const response = await fetch(`${origin}${path}`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: JSON.stringify(body) })
  return { status: response.status, json: await response.json() as Record<string, never> }
}

test('the service passes MCP on, counts it, signs who calls, and still has no OAuth', async (t) => {
  const upstream = await recordingUpstream(t)
  const { app, create, ask, logs } = await setupApp(t, { environment: { MCP_UPSTREAM_URL: upstream.url, MCP_SIGNING_KEYS: pem() + pem() } })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const origin = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  const { token, id } = await create({ scope: 'mcp:write', owner_id: 'ann' })

  const large = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'set', arguments: { text: 'x'.repeat(100_000), deep: JSON.parse('['.repeat(40) + ']'.repeat(40)) } } }
  t.equal((await call(origin, token, large)).status, 200, 'larger and deeper than the management API takes')
  const presented = upstream.received[0]?.headers.authorization?.replace('Bearer ', '') ?? ''
  const { payload, protectedHeader } = await jwtVerify(presented, createRemoteJWKSet(new URL(`${origin}/.well-known/jwks.json`)), { audience: upstream.url, issuer: 'navis-keys' })
  t.match(payload, { sub: id, workspace_id: 'acme', owner_id: 'ann', scope: 'mcp:read mcp:write' })
  t.equal(protectedHeader.alg, 'ES256')
  t.equal((payload.exp ?? 0) - (payload.iat ?? 0), 60)
  const { keys } = await (await fetch(`${origin}/.well-known/jwks.json`)).json() as { keys: Array<Record<string, string>> }
  t.equal(keys.length, 2)
  t.notOk(keys.some((key) => 'd' in key), 'public halves only')

  const refused = await call(origin, `${token}x`, { jsonrpc: '2.0', id: 2, method: 'ping' })
  t.match(refused, { status: 401, json: { jsonrpc: '2.0', error: { data: { code: 'malformed' } } } })
  for (const path of ['/.well-known/oauth-protected-resource', '/.well-known/oauth-protected-resource/mcp', '/.well-known/oauth-authorization-server', '/.well-known/openid-configuration']) {
    const answer = await fetch(origin + path)
    t.equal(answer.status, 404)
    t.match(answer.headers.get('content-type'), /json/)
  }
  for (const path of ['/authorize?client_id=x', '/register', '/token']) {
    for (const method of ['GET', 'POST']) {
      const answer = await fetch(origin + path, { method, ...(method === 'POST' ? { body: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded' } } : {}) })
      t.equal(answer.status, 404)
      t.match(await answer.json(), { error_description: /does not use OAuth: put the key into the Authorization header/ })
    }
  }
  t.equal((await ask('GET', '/v1/workspaces/acme/keys')).status, 200, 'the rest of the service is as it was')
  t.match((await ask('GET', '/readyz')).body, { mcp_upstreams: [{ name: 'default', state: 'up', cause: null }] })
  const metrics = String((await ask('GET', '/metrics')).body)
  t.match(metrics, /navis_keys_mcp_calls_total\{upstream="default",method="tools\/call",decision="passed"\} 1/)
  t.match(metrics, /navis_keys_mcp_open_calls 0/)
  t.notMatch(metrics, new RegExp(id))
  const line = logs.map((text) => JSON.parse(text)).find(({ msg }) => msg === 'mcp call')
  t.match(line.mcp, { key_id: id, workspace_id: 'acme', upstream: 'default', method: 'tools/call', tool: 'set', decision: 'passed', status: 200 })
  t.match((await ask('GET', '/openapi.json')).body.paths, { '/mcp': { post: Object } })
})

test('an upstream gets the headers of the operator, on a path of the operator’s choice; nothing shows their values', async (t) => {
  const [plain, refusing] = [await recordingUpstream(t), await recordingUpstream(t, (request, response) => {
    response.writeHead(400, { 'content-type': 'text/plain' }).end(`this key is not good: ${request.headers['x-tenant-key']}`)
  })]
  const dir = t.testdir({ headers: JSON.stringify({ default: { apikey: 'hush-hush-1', 'X-Region': 'eu west, 1' }, crm: { 'x-tenant-key': 'hush-hush-2' } }) })
  const { app, create, ask, logs } = await setupApp(t, {
    environment: {
      MCP_UPSTREAM_URL: plain.url,
      MCP_UPSTREAMS: `crm=${refusing.url}`,
      MCP_UPSTREAM_HEADERS_FILE: `${dir}/headers`,
      MCP_PATHS: 'default=/functions/v1/mcp-server-v2'
    }
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const origin = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  const { token } = await create({ scope: 'mcp:write' })
  const ping = { jsonrpc: '2.0', id: 1, method: 'ping' }

  t.equal((await call(origin, token, ping, '/functions/v1/mcp-server-v2')).status, 200)
  t.equal((await call(origin, token, ping, '/functions/v1/mcp-server-v2/')).status, 200)
  t.match(plain.received[0]?.headers, { apikey: 'hush-hush-1', 'x-region': 'eu west, 1' })
  t.notOk(Object.keys(plain.received[0]?.headers ?? {}).includes('x-tenant-key'), 'headers of one upstream do not reach another')
  t.equal((await call(origin, token, ping)).status, 404, 'the path that was replaced')
  t.match((await ask('GET', '/openapi.json')).body.paths, { '/functions/v1/mcp-server-v2': { post: Object }, '/mcp/crm': { post: Object } })

  const refused = await call(origin, token, ping, '/mcp/crm')
  t.equal(refused.status, 400)
  t.equal(refusing.received[0]?.headers['x-tenant-key'], 'hush-hush-2')
  t.notMatch(JSON.stringify(refused.json), /hush/, 'what an upstream says of the credential is not passed on')
  app.log.info({ apikey: 'hush-hush-1' }, 'hush-hush-2')
  t.ok(logs.some((line) => line.includes('[redacted]')))
  t.notMatch(logs.join(), /hush/)
})

const betrayals: readonly { when: string, status: number, type?: string, body: (secret: string) => string, headers?: Record<string, string> }[] = [
  { when: 'as text', status: 400, type: 'text/plain', body: (secret) => `no: ${secret}` },
  { when: 'in an object that is no MCP', status: 403, body: (secret) => JSON.stringify({ message: `no: ${secret}` }) },
  { when: 'in a JSON-RPC error', status: 400, body: (secret) => JSON.stringify({ jsonrpc: '2.0', id: 1, error: { code: -32600, message: secret } }) },
  { when: 'in a JSON-RPC error, escaped', status: 404, body: (secret) => JSON.stringify({ jsonrpc: '2.0', id: 1, error: { code: -32600, message: secret } }).replaceAll('/', '\\/').replaceAll('h', '\\u0068') },
  { when: 'in an error of the server', status: 500, body: (secret) => JSON.stringify({ jsonrpc: '2.0', id: 1, error: { code: -32603, message: secret } }) },
  { when: 'behind 70 KB', status: 400, body: (secret) => JSON.stringify({ jsonrpc: '2.0', id: 1, error: { code: -32600, message: 'x'.repeat(70_000) + secret } }) },
  { when: 'compressed', status: 400, headers: { 'content-encoding': 'deflate' }, body: (secret) => JSON.stringify({ jsonrpc: '2.0', error: secret }) }
]

test('an upstream that repeats its credential in a refusal is not heard by the client, in any kind of body', async (t) => {
  const upstream = await recordingUpstream(t, ({ headers, body }, response) => {
    const { id } = JSON.parse(body) as { id: number }
    const { status, type = 'application/json', body: write, headers: more } = betrayals[id] ?? betrayals[0]!
    response.writeHead(status, { 'content-type': type, 'retry-after': '3', ...more }).end(write(String(headers['apikey'])))
  })
  const { app, create } = await setupApp(t, { environment: { MCP_UPSTREAM_URL: upstream.url, MCP_UPSTREAM_HEADERS: '{"default":{"apikey":"hush/hush/1"}}' } })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { token } = await create({ scope: 'mcp:write' })
  for (const [id, { when, status }] of betrayals.entries()) {
    const response = await fetch(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}/mcp`, {
      method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: JSON.stringify({ jsonrpc: '2.0', id, method: 'ping' })
    })
    t.equal(response.status, status, when)
    t.equal(response.headers.get('retry-after'), '3', when)
    const text = await response.text()
    t.strictSame(JSON.parse(text), { jsonrpc: '2.0', id, error: { code: status, message: `The upstream MCP server refused the request with status ${status}.`, data: { code: 'upstream_refused' } } }, when)
  }
})

test('without an upstream there is no gateway', async (t) => {
  const { ask } = await setupApp(t)
  t.equal((await ask('POST', '/mcp', { payload: {} })).status, 404)
})

const upstreams = { MCP_UPSTREAMS: 'crm=https://crm.example/mcp' }
const faulty: readonly { when: string, environment: Record<string, string>, says: RegExp }[] = [
  { when: 'a URL is none', environment: { MCP_UPSTREAM_URL: 'example' }, says: /upstream default must be http: or https:/ },
  { when: 'a URL is of another kind', environment: { MCP_UPSTREAM_URL: 'file:///etc' }, says: /upstream default must be http: or https:/ },
  { when: 'a URL holds a password', environment: { MCP_UPSTREAM_URL: 'http://a:hush@b/' }, says: /belongs in MCP_UPSTREAM_TOKEN/ },
  { when: 'a name has capitals', environment: { MCP_UPSTREAMS: 'CRM=http://a/' }, says: /MCP_UPSTREAMS must be name=url/ },
  { when: 'a name is used twice', environment: { MCP_UPSTREAMS: 'a=http://a/,a=http://b/' }, says: /occurs twice/ },
  { when: 'a token is for nobody', environment: { ...upstreams, MCP_UPSTREAM_TOKENS: 'cmr=hush-hush' }, says: /with the names of MCP_UPSTREAMS/ },
  { when: 'a token is short', environment: { ...upstreams, MCP_UPSTREAM_TOKENS: 'crm=hush' }, says: /8 or more/ },
  { when: 'headers are no JSON', environment: { ...upstreams, MCP_UPSTREAM_HEADERS: 'apikey: hush-hush' }, says: /must be a JSON object of headers by upstream/ },
  { when: 'headers are for no upstream in particular', environment: { ...upstreams, MCP_UPSTREAM_HEADERS: '{"apikey":"hush-hush"}' }, says: /must be a JSON object of headers by upstream/ },
  { when: 'headers are for an upstream that is not there', environment: { ...upstreams, MCP_UPSTREAM_HEADERS: '{"cmr":{"apikey":"hush-hush"}}' }, says: /MCP_UPSTREAM_HEADERS must use the names of MCP_UPSTREAMS/ },
  { when: 'a header is Authorization', environment: { ...upstreams, MCP_UPSTREAM_HEADERS: '{"crm":{"Authorization":"Basic hush-hush"}}' }, says: /belongs in MCP_UPSTREAM_TOKEN/ },
  { when: 'a header is the gateway’s', environment: { ...upstreams, MCP_UPSTREAM_HEADERS: '{"crm":{"X-Navis-Scopes":"hush-hush"}}' }, says: /must not have x-navis-scopes/ },
  { when: 'the value of a header is short', environment: { ...upstreams, MCP_UPSTREAM_HEADERS: '{"crm":{"apikey":"hush"}}' }, says: /8 or more/ },
  { when: 'the value of a header has a line end', environment: { ...upstreams, MCP_UPSTREAM_HEADERS: '{"crm":{"apikey":"hush-hush\\r\\nx: y"}}' }, says: /8 or more/ },
  { when: 'a header stands there twice', environment: { ...upstreams, MCP_UPSTREAM_HEADERS: '{"crm":{"apikey":"hush-hush","ApiKey":"hush-hush"}}' }, says: /occurs twice/ },
  { when: 'a path is for an upstream that is not there', environment: { ...upstreams, MCP_PATHS: 'cmr=/a' }, says: /MCP_PATHS must be name=path/ },
  { when: 'a path has dots to climb', environment: { ...upstreams, MCP_PATHS: 'crm=/a/../v1' }, says: /MCP_PATHS must be name=path/ },
  { when: 'a path has a parameter', environment: { ...upstreams, MCP_PATHS: 'crm=/a/:b' }, says: /MCP_PATHS must be name=path/ },
  { when: 'a path is one of the service', environment: { ...upstreams, MCP_PATHS: 'crm=/v1/verify' }, says: /begins like a path of this service/ },
  { when: 'two upstreams have one path', environment: { MCP_UPSTREAMS: 'a=http://a/,b=http://b/', MCP_PATHS: 'a=/mcp/b' }, says: /two upstreams have the same path/ },
  { when: 'an origin has a path', environment: { ...upstreams, MCP_ALLOWED_ORIGINS: 'https://a.example/' }, says: /MCP_ALLOWED_ORIGINS must be origins/ },
  { when: 'there is a policy for nothing', environment: { MCP_POLICY_FILE: '/x' }, says: /MCP_UPSTREAM_URL or MCP_UPSTREAMS is needed/ }
]

for (const { when, environment, says } of faulty) {
  test(`the service says what to do, and no secret, when ${when}`, async (t) => {
    try {
      readConfig(environment)
      t.fail('read')
    } catch (error) {
      t.ok(error instanceof ConfigError)
      t.match((error as Error).message, says)
      t.notMatch((error as Error).message, /hush/)
    }
  })
}

test('the service does not start with a policy or a signing key that it cannot use', async (t) => {
  const crm = [{ name: 'crm', url: 'http://crm.example/mcp' }]
  const dir = t.testdir({ 'policy.json': '{"upstreams":{"crm":{"tools":{"get_*":"read"}}}}' })
  await t.rejects(startGateway(t, { upstreams: crm, policyFile: `${dir}/policy.json` }), { message: /MCP_POLICY_FILE: \/upstreams\/crm\/tools\/get_\*: must be "mcp:read" or "mcp:write"/ })
  await t.rejects(startGateway(t, { upstreams: crm, policyFile: `${dir}/none.json` }), { message: /cannot be read \(ENOENT\)/ })
  await t.rejects(startGateway(t, { upstreams: crm, signingKeys: '-----BEGIN NOTHING-----' }), { message: /no private key in PEM/ })
})
