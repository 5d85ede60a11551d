import t, { type Test } from 'tap'
import { serviceToken, verificationApp } from './verification-app.ts'

async function setup (t: Test) {
  const { app, ...rest } = await verificationApp(t)
  const bearer = { authorization: `Bearer ${serviceToken}` }
  const verify = async (payload: object) => await app.inject({ method: 'POST', url: '/v1/verify', headers: bearer, payload })
  const introspect = async (form: string, headers: Record<string, string> = {}) => await app.inject({
    method: 'POST',
    url: '/v1/introspect',
    headers: { ...bearer, 'content-type': 'application/x-www-form-urlencoded', host: 'keys.example', ...headers },
    payload: form
  })
  return { app, verify, introspect, ...rest }
}

t.test('verify tells whose key it is, or why it is refused', async (t) => {
  const { verify, keys, reading, writing } = await setup(t)
  const good = await verify({ token: reading.token, scope: 'mcp:read' })
  t.equal(good.headers['cache-control'], 'no-store')
  t.same(good.json(), {
    valid: true,
    key: { id: reading.key.id, workspace_id: 'w1', owner_id: 'u1', name: 'mcp:read', scope: 'mcp:read', scopes: ['mcp:read'], expires_at: null, metadata: { team: 'a' } }
  })
  t.match((await verify({ token: writing.token, scope: 'mcp:read' })).json(), { valid: true, key: { owner_id: null, scopes: ['mcp:read', 'mcp:write'] } })
  t.same((await verify({ token: reading.token, scope: 'mcp:write' })).json(), { valid: false, reason: 'insufficient_scope' })
  t.same((await verify({ token: '' })).json(), { valid: false, reason: 'malformed' })
  t.same((await verify({ token: keys.tokens.mint().token })).json(), { valid: false, reason: 'unknown' })
  await keys.service.revoke({ workspaceId: 'w1', keyId: reading.key.id, actor: 'test' })
  t.same((await verify({ token: reading.token })).json(), { valid: false, reason: 'revoked' })
})

t.test('verify and introspect refuse strangers, keys, and bodies that are not as they have to be', async (t) => {
  const { app, verify, introspect, reading } = await setup(t)
  for (const url of ['/v1/verify', '/v1/introspect']) {
    t.equal((await app.inject({ method: 'POST', url })).statusCode, 401, url)
    t.equal((await app.inject({ method: 'POST', url, headers: { authorization: `Bearer ${reading.token}` } })).statusCode, 403, url)
  }
  for (const body of [{}, { token: 1 }, { token: 'x', scope: 'all' }, { token: 'x', more: 1 }]) t.equal((await verify(body)).statusCode, 400)
  t.equal((await introspect('{"token":"x"}', { 'content-type': 'application/json' })).statusCode, 415)
  for (const headers of [{ 'content-encoding': 'gzip' }, { 'content-type': 'application/x-www-form-urlencoded; charset=utf-16' }, { 'content-type': 'application/x-www-form-urlencoded; charset' }]) {
    t.equal((await introspect('token=x', headers)).statusCode, 415, JSON.stringify(headers))
  }
  for (const form of ['', 'token=', 'token=a&token=b', 'token=a&more=1', 'scope=mcp:read']) t.equal((await introspect(form)).statusCode, 400, form)
})

t.test('introspect answers as RFC 7662 has it', async (t) => {
  const { introspect, keys, reading, writing } = await setup(t)
  const expiresAt = Date.now() + 3_600_000
  const ending = await keys.service.create({ workspaceId: 'w1', actor: 'test', name: 'ends', scope: 'mcp:write', expiresAt })
  t.same((await introspect(`token=${reading.token}&token_type_hint=access_token`)).json(), {
    active: true,
    scope: 'mcp:read',
    sub: 'u1',
    client_id: reading.key.id,
    workspace_id: 'w1',
    iat: Math.floor(reading.key.createdAt / 1000),
    iss: 'http://keys.example',
    token_type: 'Bearer'
  })
  t.match((await introspect(`token=${ending.token}`)).json(), { active: true, exp: Math.floor(expiresAt / 1000) })
  t.match((await introspect(`token=${writing.token}&scope=mcp:read`)).json(), { active: true, scope: 'mcp:read mcp:write', sub: writing.key.id })
  t.same((await introspect(`token=${reading.token}&scope=mcp:read+mcp:write`)).json(), { active: false })
  t.same((await introspect('token=anything')).json(), { active: false })
})
