import { request, type IncomingHttpHeaders } from 'node:http'
import type { Test } from 'tap'
import { startPostgres, freshRedis, until } from '../support/servers.ts'
import { TokenFormat } from '../../src/core/token.ts'
import { migrate } from '../../src/db/migrate.ts'
import { startService, type Service } from './service.ts'
import { startUpstream, valuesOf, type Upstream } from './upstream.ts'

interface ProxyUnderTest {
  /** Starts the proxy with the documented configuration; resolves to the port it listens on. */
  start (t: Test, ports: { keys: number, upstream: number }): Promise<number>
  /** What it answers when the service is not there at all. */
  readonly whenGone: number
}

const forged = {
  'x-auth-key-id': 'forged',
  'x-auth-workspace-id': 'forged',
  'x-auth-owner-id': 'forged',
  'x-auth-scopes': 'mcp:write forged'
}

async function setup (t: Test, proxy: ProxyUnderTest) {
  const postgres = await startPostgres(t)
  await migrate(postgres.url)
  const service = await startService(t, { DATABASE_URL: postgres.url, REDIS_URL: await freshRedis(t), TRUST_WINDOW_MS: '1000', TRUSTED_PROXIES: '127.0.0.1', UNKNOWN_TOKENS_PER_MINUTE: '20' })
  const upstream = await startUpstream(t)
  const port = await proxy.start(t, { keys: service.port, upstream: upstream.port })
  const url = `http://127.0.0.1:${port}`
  await until(async () => (await fetch(url)).status === 401)
  return { postgres, service, upstream, url }
}

interface Answer {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
}

/** What `fetch` cannot do: repeated headers, and another loopback address to come from. */
async function ask (url: string, headers: Record<string, string> | readonly string[], localAddress = '127.0.0.1'): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    request(url, { headers, localAddress, agent: false })
      .on('response', (response) => { response.resume().on('end', () => { resolve({ status: response.statusCode, headers: response.headers }) }) })
      .on('error', reject).end()
  })
}

function bearer (token: string): Record<string, string> {
  return { authorization: `Bearer ${token}` }
}

/** What the documented configuration of every proxy keeps, held by the proxy itself in front of the real service. */
export async function keepsPromises (t: Test, proxy: ProxyUnderTest): Promise<void> {
  const { postgres, service, upstream, url } = await setup(t, proxy)
  await t.test('a good key passes, and upstream learns whose it is', (t) => passes(t, { service, upstream, url }))
  await t.test('upstream never sees identity headers that the client forged', (t) => dropsForgeries(t, { service, upstream, url }))
  await t.test('upstream never sees the token', (t) => keepsToken(t, { service, upstream, url }))
  await t.test('refusals keep their status and their challenge, and do not reach upstream', (t) => refuses(t, { service, upstream, url }))
  await t.test('a read key may read and not write', (t) => separatesScopes(t, { service, upstream, url }))
  await t.test('two Authorization headers do not pass', (t) => refusesTwo(t, { service, upstream, url }))
  await t.test('an answer of upstream is passed on as it is', (t) => passesAnswers(t, { service, url }))
  await t.test('after a revoke has returned, the next request is a 401', (t) => refusesRevoked(t, { service, upstream, url }))
  await t.test('not knowing is a 503 with Retry-After, and heals by itself', async (t) => {
    const key = await service.create({ scope: 'mcp:read' })
    await postgres.stop()
    await until(async () => (await fetch(url, { headers: bearer(key.token) })).status !== 200)
    const before = upstream.seen.length
    const response = await fetch(url, { headers: bearer(key.token) })
    t.equal(response.status, 503)
    t.match(response.headers.get('retry-after'), /^\d+$/)
    t.equal(upstream.seen.length, before)
    await postgres.start()
    await until(async () => (await fetch(url, { headers: bearer(key.token) })).status === 200)
  })
  await t.test('too many unknown tokens are a 429 with Retry-After, for the address that they come from', (t) => limits(t, { upstream, url }))
  await t.test('nothing passes while the key service is gone', async (t) => {
    const key = await service.create({ scope: 'mcp:read' })
    await service.stop()
    const before = upstream.seen.length
    t.equal((await fetch(url, { headers: bearer(key.token) })).status, proxy.whenGone)
    t.equal(upstream.seen.length, before)
  })
}

interface Scene {
  readonly service: Service
  readonly upstream: Upstream
  readonly url: string
}

async function passes (t: Test, { service, upstream, url }: Scene): Promise<void> {
  const key = await service.create({ scope: 'mcp:write', owner_id: 'ada@example.com' })
  const response = await fetch(`${url}/things?a=1&scope=openid`, { method: 'POST', headers: { ...bearer(key.token), 'content-type': 'application/json' }, body: '{"a":1}' })
  t.equal(response.status, 200)
  t.equal(await response.text(), 'from upstream')
  const seen = upstream.seen.at(-1)
  t.match(seen, { method: 'POST', url: '/things?a=1&scope=openid', body: '{"a":1}' })
  t.same(valuesOf(seen, 'x-auth-key-id'), [key.id])
  t.same(valuesOf(seen, 'x-auth-workspace-id'), ['acme'])
  t.same(valuesOf(seen, 'x-auth-owner-id'), ['ada@example.com'])
  t.same(valuesOf(seen, 'x-auth-scopes'), ['mcp:read mcp:write'])
}

async function dropsForgeries (t: Test, { service, upstream, url }: Scene): Promise<void> {
  const key = await service.create({ scope: 'mcp:read' })
  const response = await fetch(url, { headers: { ...bearer(key.token), ...forged } })
  t.equal(response.status, 200)
  const seen = upstream.seen.at(-1)
  t.same(valuesOf(seen, 'x-auth-key-id'), [key.id])
  t.same(valuesOf(seen, 'x-auth-workspace-id'), ['acme'])
  t.same(valuesOf(seen, 'x-auth-owner-id').filter((value) => value !== ''), [], 'a key without an owner has none')
  t.same(valuesOf(seen, 'x-auth-scopes'), ['mcp:read'])
}

async function keepsToken (t: Test, { service, upstream, url }: Scene): Promise<void> {
  const key = await service.create({ scope: 'mcp:read' })
  t.equal((await fetch(url, { headers: bearer(key.token) })).status, 200)
  t.notOk(JSON.stringify(upstream.seen.at(-1)).includes(key.token))
  t.same(valuesOf(upstream.seen.at(-1), 'authorization'), [])
}

async function refuses (t: Test, { upstream, url }: Scene): Promise<void> {
  const before = upstream.seen.length
  const cases = [
    { when: 'there is no key', headers: {}, challenge: /^Bearer realm="navis-keys"$/ },
    { when: 'the identity is forged and there is no key', headers: forged, challenge: /^Bearer realm="navis-keys"$/ },
    { when: 'the token is malformed', headers: bearer('nops_x'), challenge: /error="invalid_token"/ },
    { when: 'the token is unknown', headers: bearer(new TokenFormat().mint().token), challenge: /error="invalid_token"/ }
  ]
  for (const { when, headers, challenge } of cases) {
    const response = await fetch(url, { headers })
    t.equal(response.status, 401, when)
    t.match(response.headers.get('www-authenticate'), challenge, when)
    t.equal(response.headers.get('www-authenticate')?.match(/realm=/g)?.length, 1, 'one challenge, not two')
  }
  t.equal(upstream.seen.length, before)
}

async function separatesScopes (t: Test, { service, upstream, url }: Scene): Promise<void> {
  const key = await service.create({ scope: 'mcp:read' })
  for (const method of ['GET', 'HEAD', 'OPTIONS']) {
    t.equal((await fetch(url, { method, headers: bearer(key.token) })).status, 200, method)
  }
  const before = upstream.seen.length
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
    const response = await fetch(`${url}/?scope=mcp:read`, { method, headers: bearer(key.token) })
    t.equal(response.status, 403, method)
    t.match(response.headers.get('www-authenticate'), /^Bearer realm="navis-keys",.* ?error="insufficient_scope",.*scope="mcp:write"/)
  }
  t.equal(upstream.seen.length, before)
}

async function refusesTwo (t: Test, { service, upstream, url }: Scene): Promise<void> {
  const key = await service.create({ scope: 'mcp:read' })
  const before = upstream.seen.length
  const { status } = await ask(url, ['Host', 'x', 'Authorization', `Bearer ${key.token}`, 'Authorization', 'Bearer other'])
  t.ok(status === 400 || status === 401, String(status))
  t.equal(upstream.seen.length, before)
}

async function limits (t: Test, { upstream, url }: Pick<Scene, 'upstream' | 'url'>): Promise<void> {
  const before = upstream.seen.length
  let refusal: Answer | undefined
  for (let i = 0; i < 50 && refusal?.status !== 429; i++) refusal = await ask(url, { ...bearer(new TokenFormat().mint().token) })
  t.equal(refusal?.status, 429)
  t.match(refusal?.headers['retry-after'], /^[1-9]\d*$/)
  t.equal((await ask(url, bearer(new TokenFormat().mint().token), '127.0.0.2')).status, 401, 'another client of the same proxy')
  t.equal(upstream.seen.length, before)
}

async function passesAnswers (t: Test, { service, url }: Pick<Scene, 'service' | 'url'>): Promise<void> {
  const key = await service.create({ scope: 'mcp:read' })
  const response = await fetch(`${url}/teapot`, { headers: bearer(key.token) })
  t.equal(response.status, 418)
  t.equal(await response.text(), 'from upstream')
}

async function refusesRevoked (t: Test, { service, upstream, url }: Scene): Promise<void> {
  for (let round = 0; round < 10; round++) {
    const key = await service.create({ scope: 'mcp:read' })
    t.equal((await fetch(url, { headers: bearer(key.token) })).status, 200)
    await service.revoke(key)
    const before = upstream.seen.length
    const response = await fetch(url, { headers: bearer(key.token) })
    t.equal(response.status, 401)
    t.match(response.headers.get('www-authenticate'), /error="invalid_token".*revoked/)
    t.equal(upstream.seen.length, before)
  }
}
