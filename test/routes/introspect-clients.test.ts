import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import t from 'tap'
import { management, service, setupApp } from './setup.ts'

/** The status that a library tells of a refusal. */
async function refusedWith (answer: Promise<unknown>): Promise<number | undefined> {
  try {
    await answer
    return undefined
  } catch (error) {
    return (error as { status?: number }).status
  }
}

t.test('oauth4webapi introspects with client_secret_basic and client_secret_post, by a service or a management token', async (t) => {
  const { app, ask, create } = await setupApp(t)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const { token, id } = await create({ owner_id: 'ada' })
  const server: oauth.AuthorizationServer = { issuer: url, introspection_endpoint: `${url}/v1/introspect` }
  const introspect = async (clientId: string, auth: oauth.ClientAuth, asked = token) => {
    const client: oauth.Client = { client_id: clientId }
    return await oauth.processIntrospectionResponse(server, client, await oauth.introspectionRequest(server, client, auth, asked, { [oauth.allowInsecureRequests]: true }))
  }
  for (const [name, secret] of [['gateway', service], ['ops', management]] as const) {
    for (const auth of [oauth.ClientSecretBasic(secret), oauth.ClientSecretPost(secret)]) {
      t.match(await introspect(name, auth), { active: true, client_id: id, sub: 'ada' }, name)
      t.strictSame({ ...await introspect(name, auth, `${token}x`) }, { active: false })
    }
  }
  for (const [name, secret] of [['gateway', management], ['ops', service], ['gateway', 'x'.repeat(48)], ['nobody', service], ['gateway', token]] as const) {
    for (const auth of [oauth.ClientSecretBasic(secret), oauth.ClientSecretPost(secret)]) t.equal(await refusedWith(introspect(name, auth)), 401, `${name} has another secret`)
  }
  const form = (fields: Record<string, string>, headers: Record<string, string> = {}) =>
    app.inject({ method: 'POST', url: '/v1/introspect', headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers }, payload: new URLSearchParams(fields).toString() })
  t.equal((await form({ token })).statusCode, 401, 'no credential at all')
  t.equal((await form({ token, client_id: 'gateway' })).statusCode, 401)
  t.equal((await form({ token, client_secret: service })).statusCode, 401)
  t.equal((await form({ token, client_id: 'gateway', client_secret: service }, { authorization: `Bearer ${service}` })).statusCode, 400, 'two credentials')
  for (const authorization of ['Basic', 'Basic ', 'Basic !!!', `Basic ${Buffer.from('gateway').toString('base64')}`, `Basic ${Buffer.from('gateway:%').toString('base64')}`]) t.equal((await form({ token }, { authorization })).statusCode, 401, authorization)
  for (const authorization of [`Basic ${Buffer.from('gateway:wrong').toString('base64')}`, 'Basic !!!']) t.equal((await form({ token }, { authorization })).headers['www-authenticate'], 'Basic realm="navis-keys"', 'RFC 6749, section 5.2: the scheme that the client has used')
  for (const headers of [{ authorization: `Bearer ${'x'.repeat(48)}` }, {}]) t.equal((await form({ token }, headers)).headers['www-authenticate'], 'Bearer realm="navis-keys"')
  t.equal((await form({ token, resource: 'https://example.com', client_id: 'anything' }, { authorization: `Bearer ${service}` })).statusCode, 200)
  t.match(await ask('POST', '/v1/verify', { payload: { token }, headers: { authorization: `Basic ${Buffer.from(`gateway:${service}`).toString('base64')}` } }), { status: 401 }, 'nowhere else')
})

t.test('openid-client introspects as it is documented', async (t) => {
  const { app, create } = await setupApp(t)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const { token, id } = await create({ owner_id: 'ada' })
  for (const auth of [openid.ClientSecretBasic(service), openid.ClientSecretPost(service)]) {
    const config = new openid.Configuration({ issuer: url, introspection_endpoint: `${url}/v1/introspect` }, 'gateway', undefined, auth)
    openid.allowInsecureRequests(config)
    t.match(await openid.tokenIntrospection(config, token), { active: true, client_id: id, sub: 'ada', scope: 'mcp:read' })
    t.strictSame({ ...await openid.tokenIntrospection(config, 'nops_unknown') }, { active: false })
    t.match(await openid.tokenIntrospection(config, token, { token_type_hint: 'access_token', resource: 'https://mcp.example.com/' }), { active: true })
  }
})

t.test('the request that Spring Security sends is answered as it expects', async (t) => {
  const { app, create } = await setupApp(t)
  const { token } = await create({})
  // SpringOpaqueTokenIntrospector: POST, Basic with both parts form-encoded, Accept: application/json, the form `token=…`; it wants 200 and application/json.
  const basic = Buffer.from(`${encodeURIComponent('gateway')}:${encodeURIComponent(service)}`).toString('base64')
  for (const [asked, active] of [[token, true], [`${token}x`, false]]) {
    const answer = await app.inject({
      method: 'POST',
      url: '/v1/introspect',
      headers: { accept: 'application/json', authorization: `Basic ${basic}`, 'content-type': 'application/x-www-form-urlencoded;charset=UTF-8' },
      payload: `token=${asked}`
    })
    t.match(answer, { statusCode: 200, headers: { 'content-type': /^application\/json/, 'cache-control': 'no-store' } })
    t.equal(answer.json().active, active)
  }
})

t.test('a secret with every sign that a secret may have goes through Basic as RFC 6749 encodes it', async (t) => {
  const secret = 'a+b/c=d!e#f$g&h%i*j:k;l<m>n?o@p^q~r'
  const { app, create } = await setupApp(t, { environment: { SERVICE_TOKENS: `gate.way=${secret}` } })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const { token } = await create({})
  const server: oauth.AuthorizationServer = { issuer: url, introspection_endpoint: `${url}/v1/introspect` }
  const client: oauth.Client = { client_id: 'gate.way' }
  for (const auth of [oauth.ClientSecretBasic(secret), oauth.ClientSecretPost(secret)]) {
    const answer = await oauth.introspectionRequest(server, client, auth, token, { [oauth.allowInsecureRequests]: true })
    t.match(await oauth.processIntrospectionResponse(server, client, answer), { active: true })
  }
})

t.test('iss is PUBLIC_URL, whatever the proxy in front calls the service', async (t) => {
  const { ask, create } = await setupApp(t, { environment: { PUBLIC_URL: 'https://keys.example.com/' } })
  const { token } = await create()
  const { body } = await ask('POST', '/v1/introspect', { headers: { 'content-type': 'application/x-www-form-urlencoded', host: 'keys-7d9f.cluster.local' }, payload: `token=${token}` })
  t.match(body, { active: true, iss: 'https://keys.example.com' })
})

t.test('without PUBLIC_URL, iss is where the request was sent, and left out if a proxy tells no valid scheme and host', async (t) => {
  const { ask, create } = await setupApp(t, { environment: { TRUSTED_PROXIES: '127.0.0.1' } })
  const { token } = await create()
  const rows = [
    { headers: { host: 'keys.example:8080' }, iss: 'http://keys.example:8080' },
    { headers: { 'x-forwarded-host': 'keys.example', 'x-forwarded-proto': 'https' }, iss: 'https://keys.example' },
    { headers: { 'x-forwarded-host': '"><evil' }, iss: undefined },
    { headers: { 'x-forwarded-host': 'ada@keys.example' }, iss: undefined },
    { headers: { 'x-forwarded-proto': 'javascript' }, iss: undefined }
  ]
  for (const { headers, iss } of rows) {
    const { status, body } = await ask('POST', '/v1/introspect', { headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers }, payload: `token=${token}` })
    t.match({ status, active: body.active }, { status: 200, active: true })
    t.equal(body.iss, iss, JSON.stringify(headers))
  }
  t.match(await ask('POST', '/v1/introspect', { headers: { 'content-type': 'application/x-www-form-urlencoded', host: '"><evil' }, payload: `token=${token}` }), { status: 400, body: { code: 'invalid_request' } })
})
