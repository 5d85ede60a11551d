import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import type { Description } from '../../src/reference/description.ts'
import { createClient, ServiceError, type ClientOptions } from '../../src/client/client.ts'
import { management, service, setupApp } from '../routes/setup.ts'
import { startFront, type Deed } from './front.ts'

const { app, ask, create: createIn } = await setupApp(t)
const url = await app.listen({ host: '127.0.0.1', port: 0 })
let workspaces = 0

/** A client of the service by way of a front of its own, and a workspace that no other test uses. */
async function setup (t: Test, options: Partial<ClientOptions> = {}) {
  const workspace = `w${++workspaces}`
  const front = await startFront(t, url)
  const client = createClient({ url: front.url, token: management, ...options })
  return { front, client, workspace, keys: client.workspace(workspace), create: (fields: object = {}) => createIn(fields, workspace) }
}

const unknown = `nops_${'0'.repeat(38)}`

t.test('verify and introspect tell whose token it is, and why it is refused', async (t) => {
  const { create, client, keys, workspace } = await setup(t, { token: service })
  const { id, token } = await create({ owner_id: 'ada', metadata: { team: 'one' } })
  t.match(await client.verify(token, { scope: 'mcp:read' }), {
    valid: true, key: { id, workspace_id: workspace, owner_id: 'ada', name: 'a key', scope: 'mcp:read', scopes: ['mcp:read'], expires_at: null, metadata: { team: 'one' } }
  })
  t.match(await client.introspect(token), { active: true, client_id: id, sub: 'ada', scope: 'mcp:read' })
  t.same(await client.introspect(token, { scope: 'mcp:write' }), { active: false })
  t.same(await client.introspect('not a token'), { active: false })
  t.same(await client.verify(token, { scope: 'mcp:write' }), { valid: false, reason: 'insufficient_scope' })
  t.same(await client.verify('not a token'), { valid: false, reason: 'malformed' })
  await t.rejects(keys.list(), { name: 'ServiceError', code: 'forbidden', status: 403 })
})

t.test('a key is made, found, changed and ended, and refused from the moment that its revocation resolves', async (t) => {
  const { client, keys } = await setup(t)
  const made = await keys.create({ name: 'one', scope: 'mcp:write', owner_id: 'ada' })
  await keys.create({ name: 'two', scope: 'mcp:read' })
  await keys.create({ name: 'three', scope: 'mcp:read' })
  const { token, ...key } = made
  t.same(await keys.get(made.id), key)
  const first = await keys.list({ limit: 2 })
  t.same(first.keys.map(({ name }) => name), ['three', 'two'])
  t.same((await keys.list({ limit: 2, cursor: first.next_cursor! })).keys, [key])
  const names: string[] = []
  for await (const { name } of keys.all({ status: 'active' })) names.push(name)
  t.same(names, ['three', 'two', 'one'])
  t.match(await keys.update(made.id, { name: 'renamed', expires_at: '2099-01-01T00:00:00Z' }), { name: 'renamed', expires_at: '2099-01-01T00:00:00.000Z' })
  t.match(await client.verify(token), { valid: true })
  const rotated = await keys.rotate(made.id)
  t.same(await client.verify(token), { valid: false, reason: 'revoked' })
  t.match(await client.verify(rotated.token), { valid: true, key: { id: made.id } })
  t.same(await keys.setPolicy({ max_lifetime_days: 36_500 }), await keys.policy())
  t.same((await keys.list({ q: 'RENAMED', scope: 'mcp:write' })).keys.map(({ id }) => id), [made.id])
  await keys.revoke(made.id, { reason: 'lost' })
  t.same(await client.verify(rotated.token), { valid: false, reason: 'revoked' })
  await keys.revoke(made.id)
  t.same(await keys.revokeAll({ reason: 'all of them' }), { revoked: 2 })
  t.match((await keys.audit({ limit: 1 })).entries, [{ actor: 'ops', action: 'workspace.revoked' }])
})

t.test('errors say by their code what happened, and where', async (t) => {
  const { keys } = await setup(t)
  await t.rejects(keys.get('nobody'), { code: 'not_found', status: 404 })
  await t.rejects(keys.create({ name: '', scope: 'mcp:read' }), { code: 'invalid_request', status: 400, faults: [{ pointer: '/name' }] })
  await t.rejects(createClient({ url, token: 'wrong'.repeat(8) }).verify('x'), { code: 'unauthenticated', status: 401 })
  for (const url of ['not a URL', 'ftp://x', 'http://user:secret@x', 'http://x/?a=b']) {
    t.throws(() => createClient({ url, token: service }), { name: 'TypeError', message: /^`url` must be/ })
  }
  t.throws(() => createClient({ url, token: '' }), /`token`/)
  t.throws(() => createClient({ url, token: 'two\nlines' }), /`token`/)
})

const away: ReadonlyArray<{ when: string, deed: Deed }> = [
  { when: 'the connection is cut', deed: 'cut' },
  { when: 'the answer is lost', deed: 'lose' },
  { when: 'the service says that it does not know', deed: { status: 503, headers: { 'retry-after': '0' }, body: '{"code":"unavailable","detail":"Not now."}' } },
  { when: 'a proxy finds nobody behind it', deed: { status: 502, body: '<html>' } }
]

for (const { when, deed } of away) {
  t.test(`what may be repeated is repeated when ${when}, and then holds`, async (t) => {
    const { client, keys, front, create } = await setup(t)
    const { id, token } = await create()
    front.plan.push(deed, deed)
    t.match(await client.verify(token), { valid: true })
    front.plan.push(deed)
    await keys.revoke(id)
    t.same(await client.verify(token), { valid: false, reason: 'revoked' })
    t.same(front.seen.map((line) => line.split(' ')[0]), ['POST', 'POST', 'POST', 'DELETE', 'DELETE', 'POST'])
  })
}

t.test('a service that stays away is told as "unavailable" after three attempts', async (t) => {
  const { client, front } = await setup(t)
  front.plan.push('cut', 'cut', 'cut')
  await t.rejects(client.verify(unknown), { code: 'unavailable', status: undefined })
  t.equal(front.seen.length, 3)
})

t.test('making a key again after its answer was lost makes no second one, and says which one there is', async (t) => {
  const { keys, front } = await setup(t)
  front.plan.push('cut')
  t.match(await keys.create({ name: 'first', scope: 'mcp:read' }), { name: 'first', token: /^nops_/ })
  front.plan.push('lose')
  const error = await keys.create({ name: 'second', scope: 'mcp:read' }).then(() => undefined, (error: unknown) => error as ServiceError)
  t.match(error, { code: 'already_created', status: 409 })
  const { keys: found } = await keys.list()
  t.same(found.map(({ id, name }) => ({ id, name })).slice(0, 1), [{ id: error?.keyId, name: 'second' }])
  t.equal(found.length, 2)
})

t.test('the time of a call ends, its caller may end it sooner, and one silent attempt does not use it up', async (t) => {
  const { front, create } = await setup(t)
  const { token } = await create()
  const client = createClient({ url: front.url, token: service, timeoutMs: 5000 })
  front.plan.push('hang')
  t.match(await client.verify(token), { valid: true }, 'the second attempt is answered')
  const quick = createClient({ url: front.url, token: service, timeoutMs: 100 })
  front.plan.push('hang', 'hang', 'hang')
  await t.rejects(quick.verify(token), { code: 'unavailable', message: 'The service did not answer in time.' })
  front.plan.length = 0
  front.plan.push('hang')
  const reason = new Error('enough')
  const stop = new AbortController()
  const asked = client.verify(token, { signal: stop.signal })
  stop.abort(reason)
  await t.rejects(asked, reason)
  await t.rejects(createClient({ url, token: service }).verify(token, { signal: AbortSignal.abort(reason) }), reason)
})

t.test('a Retry-After that is longer than the time left is handed on, not waited for', async (t) => {
  const { client, front } = await setup(t)
  front.plan.push({ status: 503, headers: { 'retry-after': '60' }, body: '{"code":"unavailable","detail":"Not now."}' })
  await t.rejects(client.verify(unknown), { code: 'unavailable', retryAfterS: 60, message: 'Not now.' })
  t.equal(front.seen.length, 1)
})

const strange: ReadonlyArray<{ what: string, deed: Deed }> = [
  { what: 'a page', deed: { status: 200, body: '<html>welcome</html>' } },
  { what: 'another object', deed: { status: 200, body: '{"valid":"true","key":{"id":"1","workspace_id":"w"}}' } },
  { what: 'a verdict without its key', deed: { status: 200, body: '{"valid":true}' } },
  { what: 'nothing', deed: { status: 204 } },
  { what: 'an array', deed: { status: 200, body: '[true]' } },
  { what: 'a redirect', deed: { status: 307, headers: { location: '/v1/verify' } } },
  { what: 'another 404', deed: { status: 404, body: 'no' } }
]

for (const { what, deed } of strange) {
  t.test(`${what} in the place of a verdict lets nobody in`, async (t) => {
    const failures: ServiceError[] = []
    const { client, front, create } = await setup(t, { onFailure: (error) => { failures.push(error) } })
    const { token } = await create()
    front.plan.push(deed)
    await t.rejects(client.verify(token), { name: 'ServiceError', code: 'unexpected_answer' })
    front.plan.push(deed)
    const answer = await client.requireKey(new Request('http://x/', { headers: { authorization: `Bearer ${token}` } }), 'mcp:read')
    t.equal((answer as Response).status, 503)
    t.match(failures, [{ code: 'unexpected_answer' }])
    t.equal(front.seen.length, 2, 'a redirect is not followed')
  })
}

t.test('requireKey gives the very answers of forward-auth', async (t) => {
  const { client, workspace, create } = await setup(t)
  const { id, token } = await create()
  const revoked = await create()
  await ask('DELETE', `/v1/workspaces/${workspace}/keys/${revoked.id}`)
  const requests: ReadonlyArray<{ headers: Record<string, string>, query?: string, scope?: 'mcp:write' }> = [
    { headers: {} },
    { headers: { authorization: 'Basic eDp5' } },
    { headers: { authorization: `Bearer ${token} ${token}` } },
    { headers: { authorization: 'Bearer nops_short' } },
    { headers: { authorization: `Bearer ${unknown}` } },
    { headers: { authorization: `Bearer ${revoked.token}` } },
    { headers: { authorization: `Bearer ${token}` }, scope: 'mcp:write' },
    { headers: { 'x-api-key': revoked.token } },
    { headers: { 'x-api-key': 'nops_short' } },
    { headers: { 'x-api-key': `${token}, ${token}` } },
    { headers: { authorization: `Bearer ${token}`, 'x-api-key': revoked.token } },
    { headers: { 'x-api-key': '<your key>' } },
    { headers: {}, query: `access_token=${token}` },
    { headers: { authorization: `Bearer ${token}` }, query: `x=${token}` }
  ]
  for (const { headers, query = '', scope = 'mcp:read' } of requests) {
    const there = await fetch(`${url}/forward-auth/x?${query}&scope=${scope}`, { headers })
    const here = await client.requireKey(new Request(`http://app/x?${query}`, { headers }), scope)
    if (!(here instanceof Response)) return t.fail('let in')
    t.equal(here.status, there.status)
    for (const name of ['www-authenticate', 'cache-control']) t.equal(here.headers.get(name), there.headers.get(name))
    t.equal(there.headers.get('content-type'), `${here.headers.get('content-type')}; charset=utf-8`)
    t.equal(await here.text(), await there.text())
  }
  for (const header of [`Bearer ${token}`, `bearer ${token}`]) {
    t.match(await client.requireKey(new Request('http://app/x', { headers: { authorization: header } }), 'mcp:read'), { id, workspace_id: workspace })
  }
  for (const headers of [{ 'x-api-key': token }, { 'X-API-Key': token, authorization: `Bearer ${token}` }]) {
    t.match(await client.requireKey(new Request('http://app/x', { headers }), 'mcp:read'), { id, workspace_id: workspace })
  }
  const other = createClient({ url, token: service, apiKeyHeader: 'x-navis-key' })
  t.match(await other.requireKey(new Request('http://app/x', { headers: { 'x-navis-key': token } }), 'mcp:read'), { id })
  for (const none of [createClient({ url, token: service, apiKeyHeader: '' }), other]) {
    t.equal((await none.requireKey(new Request('http://app/x', { headers: { 'x-api-key': token } }), 'mcp:read') as Response).status, 401)
  }
  await t.rejects(client.requireKey(new Request('http://app/x'), 'mcp:all' as 'mcp:read'), TypeError)
})

t.test('requireKey answers 503 while the service is away or refuses the token of the application, and never 401', async (t) => {
  const failures: ServiceError[] = []
  const { front, create } = await setup(t)
  const { token } = await create()
  const request = () => new Request('http://app/', { headers: { authorization: `Bearer ${token}` } })
  const onFailure = (error: ServiceError) => { failures.push(error) }
  front.plan.push('cut', 'cut', 'cut')
  const away = await createClient({ url: front.url, token: service, onFailure }).requireKey(request(), 'mcp:read') as Response
  t.equal(away.status, 503)
  t.match(away.headers.get('retry-after'), /^\d+$/)
  t.match(await away.json(), { code: 'unavailable' })
  const wrong = await createClient({ url, token: 'wrong'.repeat(8), onFailure }).requireKey(request(), 'mcp:read') as Response
  t.equal(wrong.status, 503)
  t.same(failures.map(({ code }) => code), ['unavailable', 'unauthenticated'])
  t.notMatch(JSON.stringify([...failures.map(({ message }) => message)]), token)
})

t.test('keys are imported, their use and calls are told, events follow one another, and what leaked is ended', async (t) => {
  const { client, keys, workspace, create } = await setup(t)
  const foreign = `nops_${'A'.repeat(32)}`
  const digest = createHash('sha256').update(foreign).digest('hex')
  t.same(await keys.import([{ token_sha256: digest, name: 'from elsewhere', scope: 'mcp:read', owner_id: 'ada' }]), { imported: 1, already_there: 0 })
  t.same(await keys.import([{ token_sha256: digest, name: 'from elsewhere', scope: 'mcp:read', owner_id: 'ada' }]), { imported: 0, already_there: 1 })
  const { id, token } = await create()
  app.apiKeys.usage.noteCall(id, 'search', 'passed')
  app.apiKeys.calls.note({ id: '01994f6e-5a3d-7c20-8b11-7a3e5f9d1c23', workspaceId: workspace, keyId: id, upstream: 'default', method: 'tools/call', tool: 'search', decision: 'passed', status: 200, ms: 41 }, performance.now())
  await Promise.all([app.apiKeys.usage.flush(), app.apiKeys.calls.flush()])
  t.match((await keys.usage(id)).tools, [{ tool: 'search', calls: 1, denied: 0, failed: 0 }])
  t.match((await keys.calls({ tool: 'search' })).calls, [{ key_id: id, status: 200 }])
  t.same((await keys.calls({ decision: 'denied' })).calls, [])

  const first = await client.events({ limit: 1 })
  const rest = await client.events({ after: first.next_after!, limit: 1000 })
  t.equal(rest.events.some((event) => event.id === first.events[0]!.id), false)
  t.ok(rest.events.some(({ type, data }) => type === 'key.created' && data.key_id === id))
  await t.rejects(client.events({ after: 'nothing' }), { code: 'invalid_request', faults: [{ pointer: '/after' }] })

  t.match(await client.reportLeaks([{ token, url: 'https://example.com/a', source: 'a test' }, { token_sha256: 'f'.repeat(64) }]), [{ result: 'true_positive', revoked: true }, { result: 'false_positive', revoked: false }])
  t.same(await client.verify(token), { valid: false, reason: 'revoked' })
  const other = await create()
  await client.revokeToken(other.token)
  t.same(await client.verify(other.token), { valid: false, reason: 'revoked' })
  t.match((await keys.audit({ key_id: id })).entries.at(-1), { action: 'key.created' })
  t.same((await keys.audit({ actor: 'nobody' })).entries, [])
})

t.test('requireKey takes the second header as the service does, unless it is told another name or none', async (t) => {
  const { front, create } = await setup(t)
  const [{ id, token }, other] = [await create(), await create()]
  const asked = async (headers: Record<string, string>, options: Partial<ClientOptions> = {}, query = '') =>
    await createClient({ url: front.url, token: service, ...options }).requireKey(new Request(`http://app/x${query}`, { headers }), 'mcp:read')
  t.match(await asked({ 'x-api-key': token }), { id })
  t.match(await asked({ 'x-api-key': token, authorization: `Bearer ${token}` }), { id })
  t.equal((await asked({ 'x-api-key': token, authorization: `Bearer ${other.token}` }) as Response).status, 401, 'two different tokens')
  t.match(await asked({ 'x-workspace-key': token }, { apiKeyHeader: 'X-Workspace-Key' }), { id })
  t.equal((await asked({ 'x-api-key': token }, { apiKeyHeader: 'X-Workspace-Key' }) as Response).status, 401)
  t.equal((await asked({ 'x-api-key': token }, { apiKeyHeader: '' }) as Response).status, 401)
  // A token of another system in a query string is known by its beginning alone.
  const query = '?anything=sk_live_0123456789abcdef'
  t.match(await asked({ 'x-api-key': token }, {}, query), { id })
  t.equal((await asked({ 'x-api-key': token }, { tokenPrefixesAccepted: ['sk_live_'] }, query) as Response).status, 401)
  t.throws(() => createClient({ url, token: service, tokenPrefixesAccepted: ['x'] }), /`tokenPrefixesAccepted`/)
  t.throws(() => createClient({ url, token: service, apiKeyHeader: 'a b' }), /`apiKeyHeader`/)
})

/** Operations that no program needs a client for: probes and scrapes, what proxies ask, what GitHub sends, what MCP clients speak. */
const forOthers = ['livez', 'readyz', 'metrics', 'reportLeaksByGithub', 'callMcp', 'openMcpStream', 'endMcpSession']

t.test('the client has every operation of the description, with every parameter', async (t) => {
  const { paths = {} } = JSON.parse(readFileSync('docs/openapi.json', 'utf8')) as Description
  const sent = new Set<string>()
  const client = createClient({
    url: 'http://service',
    token: service,
    fetch: async (input, init) => {
      const { pathname, searchParams } = new URL(String(input))
      sent.add(`${init!.method} ${pathname}`)
      for (const name of searchParams.keys()) sent.add(`${init!.method} ${pathname} ${name}`)
      for (const name of new Headers(init!.headers).keys()) sent.add(`${init!.method} ${pathname} ${name}`)
      return Response.json(pathname === '/v1/introspect' ? { active: false } : { valid: false, reason: 'unknown' })
    }
  })
  const keys = client.workspace('{workspace_id}')
  const id = '{key_id}'
  const page = { limit: 1, cursor: 'c' }
  await Promise.all([
    client.verify('t'), client.introspect('t'), client.revokeToken('t'), client.reportLeaks([]), client.events({ after: 'a', limit: 1 }),
    keys.create({ name: 'n', scope: 'mcp:read' }), keys.import([]), keys.get(id), keys.update(id, {}), keys.revoke(id), keys.rotate(id), keys.revokeAll(), keys.policy(), keys.setPolicy({}),
    keys.list({ status: 'all', owner_id: 'o', scope: 'mcp:read', q: 'q', unused_days: 1, expires_within_days: 1, ...page }),
    keys.usage(id, { from: 'f', to: 't' }), keys.calls({ key_id: 'k', tool: 't', decision: 'passed', from: 'f', to: 't', ...page }), keys.audit({ key_id: 'k', actor: 'a', from: 'f', to: 't', ...page })
  ])
  for (const [path, item] of Object.entries(paths)) {
    for (const [method, { operationId = '', parameters = [] }] of Object.entries(item)) {
      if (operationId.startsWith('forwardAuth') || forOthers.includes(operationId)) continue
      const encoded = new URL(path, 'http://service').pathname
      t.ok(sent.has(`${method.toUpperCase()} ${encoded}`), operationId)
      for (const { name, in: place } of parameters) if (place !== 'path') t.ok(sent.has(`${method.toUpperCase()} ${encoded} ${name}`), `${operationId}: ${name}`)
    }
  }
})
