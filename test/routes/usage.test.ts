import t from 'tap'
import { v7 as uuidv7 } from 'uuid'
import { management, setupApp } from './setup.ts'
import { serviceToken, verificationApp } from './verification-app.ts'

type Use = (token: string) => Promise<boolean>

t.test('a rate limit holds on forward-auth and verify, says so on each answer, and a refusal for want of scope does not count', async (t) => {
  const { app } = await setupApp(t)
  const headers = { authorization: `Bearer ${management}` }
  const made = (await app.inject({ method: 'POST', url: '/v1/workspaces/acme/keys', headers, payload: { name: 'n', scope: 'mcp:read', rate_limit: { requests: 3, window_seconds: 3600 } } })).json()
  const bearer = { authorization: `Bearer ${made.token}` }
  const ask = (query = '') => app.inject({ url: `/forward-auth${query}`, headers: bearer })
  t.equal((await ask('?scope=mcp:write')).statusCode, 403)
  const first = await ask()
  t.match(first, { statusCode: 200, headers: { ratelimit: '"key";r=2;t=1200', 'ratelimit-policy': '"key";q=3;w=3600' } })
  t.match((await app.inject({ method: 'POST', url: '/v1/verify', headers, payload: { token: made.token } })).json(), { valid: true }, 'verifying counts as a use')
  t.equal((await ask()).statusCode, 200)
  const refused = await ask()
  t.equal(refused.statusCode, 429)
  t.match(refused.json(), { code: 'rate_limited', status: 429 })
  t.match(refused.headers, { 'retry-after': '1200', ratelimit: '"key";r=0;t=3600', 'cache-control': 'no-store' })
  t.match((await app.inject({ method: 'POST', url: '/v1/verify', headers, payload: { token: made.token } })).json(), { valid: false, reason: 'rate_limited' })

  const { key_id: _, ...usage } = (await app.inject({ url: `/v1/workspaces/acme/keys/${made.id}/usage`, headers })).json()
  t.same(usage, { days: [], tools: [], last: null }, 'nothing is written yet')
  await app.apiKeys.usage.flush()
  const written = (await app.inject({ url: `/v1/workspaces/acme/keys/${made.id}/usage`, headers })).json()
  t.match(written, { days: [{ accepted: 3, refused: { insufficient_scope: 1, rate_limited: 2 } }], tools: [], last: { address: '127.0.0.1', client: 'lightMyRequest' } })

  const csv = await app.inject({ url: `/v1/workspaces/acme/keys/${made.id}/usage`, headers: { ...headers, accept: 'text/csv' } })
  t.match(csv.headers['content-type'], /text\/csv/)
  t.equal(csv.body, `day,accepted,revoked,expired,insufficient_scope,address_not_allowed,rate_limited\n${written.days[0].day},3,,,1,,2\n`)
  for (const [query, pointer] of [['from=2026-13-01', '/from'], ['to=yesterday!', '/to'], ['from=2026-02-01&to=2026-01-01', '/from']] as const) {
    t.match((await app.inject({ url: `/v1/workspaces/acme/keys/${made.id}/usage?${query}`, headers })).json(), { status: 400, errors: [{ pointer }] }, query)
  }
  t.equal((await app.inject({ url: `/v1/workspaces/other/keys/${made.id}/usage`, headers })).statusCode, 404)

  const between = async (query: string) => (await app.inject({ url: `/v1/workspaces/acme/keys/${made.id}/usage?${query}`, headers })).json()
  t.match(await between('from=2026-01-01&to=2027-02-05'), { days: [] }, '400 days before')
  t.match(await between('from=2025-12-31&to=2027-02-05'), { status: 400, errors: [{ pointer: '/from', detail: 'Must be at most 400 days before "to".' }] })
  const inDays = (count: number) => new Date(Date.parse(written.days[0].day) + count * 86_400_000).toISOString().slice(0, 10)
  t.match((await between(`to=${inDays(29)}`)).days, [{ accepted: 3 }], 'the first of 30 days')
  t.strictSame((await between(`to=${inDays(30)}`)).days, [])
})

t.test('each refusal of a key counts, however often the same token comes within a second', async (t) => {
  const { app } = await setupApp(t)
  const headers = { authorization: `Bearer ${management}` }
  const url = '/v1/workspaces/acme/keys'
  const make = async () => (await app.inject({ method: 'POST', url, headers, payload: { name: 'n', scope: 'mcp:read' } })).json()
  const [rotated, gone] = [await make(), await make()]
  await app.inject({ method: 'POST', url: `${url}/${rotated.id}/rotate`, headers })
  await app.inject({ method: 'DELETE', url: `${url}/${gone.id}`, headers })
  for (let i = 0; i < 5; i++) {
    for (const { token } of [rotated, gone]) t.equal((await app.inject({ url: '/forward-auth', headers: { authorization: `Bearer ${token}` } })).statusCode, 401)
  }
  await app.apiKeys.usage.flush()
  for (const { id } of [rotated, gone]) t.match((await app.inject({ url: `${url}/${id}/usage`, headers })).json(), { days: [{ accepted: 0, refused: { revoked: 5 } }] })
})

t.test('the calls of the gateway are found by key, tool and decision, a page at a time, and as a spreadsheet', async (t) => {
  const { app } = await setupApp(t)
  const headers = { authorization: `Bearer ${management}` }
  const [one, two] = [uuidv7(), uuidv7()]
  const call = { workspaceId: 'acme', upstream: 'default', method: 'tools/call', decision: 'passed' as const, status: 200, ms: 7 }
  for (let i = 0; i < 5; i++) app.apiKeys.calls.note({ ...call, id: uuidv7(), keyId: i % 2 === 0 ? one : two, tool: i === 4 ? '=cmd' : 'search' }, performance.now() - 100 * i)
  await app.apiKeys.calls.flush()
  const ask = async (query: string, accept = 'application/json') => await app.inject({ url: `/v1/workspaces/acme/calls?${query}`, headers: { ...headers, accept } })
  t.equal((await ask('')).json().calls.length, 5)
  t.equal((await ask(`key_id=${one}`)).json().calls.length, 3)
  t.equal((await ask('tool=search')).json().calls.length, 4)
  t.equal((await ask('decision=denied')).json().calls.length, 0)
  t.equal((await ask('key_id=nonsense')).json().calls.length, 0)
  const page = (await ask('limit=3')).json()
  t.match(page.calls[0], { key_id: one, upstream: 'default', method: 'tools/call', tool: 'search', decision: 'passed', status: 200, ms: 7 })
  t.equal((await ask(`limit=3&cursor=${page.next_cursor}`)).json().calls.length, 2)
  t.match((await ask(`limit=3&tool=search&cursor=${page.next_cursor}`)).json(), { code: 'invalid_cursor' }, 'a cursor is of one list')
  const csv = await ask('limit=3', 'text/csv')
  t.equal(csv.body.split('\n').length, 5)
  t.match(csv.headers['link'], /cursor=.*; rel="next"/)
  t.match((await ask('limit=3', 'text/csv;q=0')).headers['content-type'], /json/)
  t.match((await ask('limit=3', '*/*')).headers['content-type'], /json/)
  t.match((await ask('tool=%3Dcmd', 'text/csv')).body, /,'=cmd,/, 'what a spreadsheet would run is escaped')
  t.equal((await app.inject({ url: '/v1/workspaces/acme/calls' })).statusCode, 401)
})

t.test('a time range that is none is refused with its pointer and what to do, and nothing is listed', async (t) => {
  const { ask } = await setupApp(t)
  for (const list of ['calls', 'audit']) {
    for (const [query, pointer, detail] of [
      ['from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z', '/from', 'Must not be later than "to".'],
      ['from=2026-02-01', '/from', 'Must be a time such as 2027-01-31T12:00:00Z.'],
      ['to=tomorrow', '/to', 'Must be a time such as 2027-01-31T12:00:00Z.']
    ] as const) {
      t.match(await ask('GET', `/v1/workspaces/acme/${list}?${query}`), { status: 400, body: { errors: [{ pointer, detail }] } }, `${list}?${query}`)
    }
    t.equal((await ask('GET', `/v1/workspaces/acme/${list}?from=2026-02-01T00:00:00Z&to=2026-02-01T00:00:00Z`)).status, 200)
  }
  t.match(await ask('POST', '/v1/verify', { payload: { token: 'x', address: 'localhost' } }), { status: 400, body: { errors: [{ pointer: '/address', detail: 'Must be an IPv4 or IPv6 address.' }] } })
  t.match(await ask('POST', '/v1/workspaces/acme/keys?x=1', { payload: { name: 'n', scope: 'mcp:read' } }), { status: 400, body: { errors: [{ pointer: '/x' }] } })
  t.match(await ask('POST', '/v1/leaks?x=1', { payload: [{ token: 'x' }] }), { status: 400, body: { errors: [{ pointer: '/x' }] } })
})

t.test('a refused request is no use of its key on the other surfaces either', async (t) => {
  const { app, keys } = await verificationApp(t)
  app.get('/plugin', { onRequest: app.requireScope('mcp:write') }, async () => 'written')
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
  const verified = async (token: string, scope: string) => {
    const { valid } = (await app.inject({ method: 'POST', url: '/v1/verify', headers: bearer(serviceToken), payload: { token, scope } })).json()
    return valid as boolean
  }
  const introspected = async (token: string, scope: string) => {
    const headers = { ...bearer(serviceToken), 'content-type': 'application/x-www-form-urlencoded' }
    return (await app.inject({ method: 'POST', url: '/v1/introspect', headers, payload: new URLSearchParams({ token, scope }).toString() })).json().active as boolean
  }
  const passed = async (url: string, token: string) => (await app.inject({ url, headers: bearer(token) })).statusCode === 200
  for (const { surface, refused, accepted } of [
    { surface: 'plugin', refused: (token) => passed('/plugin', token), accepted: undefined },
    { surface: 'forward-auth', refused: (token) => passed('/forward-auth?scope=mcp:write', token), accepted: (token) => passed('/forward-auth?scope=mcp:read', token) },
    { surface: 'verify', refused: (token) => verified(token, 'mcp:write'), accepted: (token) => verified(token, 'mcp:read') },
    { surface: 'introspect', refused: (token) => introspected(token, 'mcp:read mcp:write'), accepted: (token) => introspected(token, 'mcp:read') },
    { surface: 'introspect, a scope that does not exist', refused: (token) => introspected(token, 'all'), accepted: (token) => introspected(token, '') }
  ] satisfies ReadonlyArray<{ surface: string, refused: Use, accepted: Use | undefined }>) {
    const { key: { id: keyId } } = await keys.service.create({ workspaceId: 'w1', actor: 'test', name: surface, scope: 'mcp:read' })
    const { token } = await keys.service.rotate({ workspaceId: 'w1', keyId, actor: 'test', graceStarts: 'first_use', graceSeconds: 3600 })
    const told = async () => {
      await keys.usage.flush()
      const { days, last } = await keys.reports.usage({ workspaceId: 'w1', keyId })
      const { lastUsedAt, previousToken: previous } = await keys.service.get({ workspaceId: 'w1', keyId })
      return { accepted: days[0]?.accepted, refused: days[0]?.refused, isUsed: last !== null && lastUsedAt !== null, isFirstUsed: previous !== null && previous.endsAt < Date.now() + 2 * 3_600_000 }
    }
    t.equal(await refused(token), false, surface)
    t.strictSame(await told(), { accepted: 0, refused: { insufficient_scope: 1 }, isUsed: false, isFirstUsed: false }, surface)
    if (accepted === undefined) continue
    t.equal(await accepted(token), true, surface)
    t.strictSame(await told(), { accepted: 1, refused: { insufficient_scope: 1 }, isUsed: true, isFirstUsed: true }, surface)
  }
})
