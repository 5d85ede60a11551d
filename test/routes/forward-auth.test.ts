import { METHODS, request as httpRequest } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import type { Teardowns } from '../support/servers.ts'
import { setupApp } from './setup.ts'
import { verificationApp } from './verification-app.ts'

async function setup (t: Teardowns, options?: { unknownTokensPerMinute?: number }) {
  const { app, ...rest } = await verificationApp(t, options)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const ask = (path: string, token?: string, { method = 'GET', headers = {} as Record<string, string>, body = '' } = {}) =>
    new Promise<{ status: number, headers: Record<string, unknown>, body: string }>((resolve, reject) => {
      const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` }
      httpRequest({ port, path, method, headers: { ...authorization, ...headers } }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (part) => { text += part }).on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body: text }))
      }).on('error', reject).end(body)
    })
  const askWith = async (...lines: string[]) => {
    const socket = connect(port, '127.0.0.1')
    socket.write(['GET /forward-auth HTTP/1.1', 'Host: x', 'Connection: close', ...lines, '', ''].join('\r\n'))
    return Number((await text(socket)).split(' ')[1])
  }
  return { ask, askWith, ...rest }
}

/** For the tests that leave its two keys as they are. */
const shared = await setup(t)

t.test('a good key is let through with whose it is, for every method that node parses', async (t) => {
  const { ask, reading, writing } = shared
  for (const method of METHODS.filter((method) => method !== 'CONNECT')) {
    const { status, headers } = await ask('/forward-auth', reading.token, { method })
    t.equal(status, 200, method)
    t.match(headers, {
      'x-auth-key-id': reading.key.id, 'x-auth-workspace-id': 'w1', 'x-auth-owner-id': 'u1', 'x-auth-scopes': 'mcp:read', 'cache-control': 'no-store'
    })
  }
  t.match((await ask('/forward-auth/a/b?x=1', writing.token)).headers, { 'x-auth-owner-id': '', 'x-auth-scopes': 'mcp:read mcp:write' })
})

t.test('however many headers there are, each counts', async (t) => {
  const { askWith, reading } = shared
  const good = `Authorization: Bearer ${reading.token}`
  const many = new Array<string>(1100).fill('a:b')
  t.equal(await askWith(good, ...many, 'Authorization: Bearer other'), 401, 'a second one, far behind')
  t.equal(await askWith(...many, good), 200, 'the only one, far behind')
})

t.test('a body of any type and length is not read', async (t) => {
  const { ask, reading } = shared
  for (const type of ['application/json', 'text/x-anything', 'multipart/form-data; boundary=x', '']) {
    const { status } = await ask('/forward-auth', reading.token, { method: 'POST', headers: { 'content-type': type }, body: '{'.repeat(100_000) })
    t.equal(status, 200, type)
  }
})

t.test('refusals speak RFC 6750 and end the request', async (t) => {
  const { ask, keys, reading, writing } = shared
  const gone = await keys.service.create({ workspaceId: 'w1', actor: 'test', name: 'gone', scope: 'mcp:read' })
  t.equal((await ask('/forward-auth', gone.token)).status, 200)
  await keys.service.revoke({ workspaceId: 'w1', keyId: gone.key.id, actor: 'test' })
  const cases = [
    { when: 'there is no token', token: undefined, status: 401, code: 'unauthenticated', challenge: /^Bearer realm="navis-keys"$/ },
    { when: 'it is malformed', token: 'nops_x', status: 401, code: 'malformed', challenge: /error="invalid_token", error_description="The token is malformed/ },
    { when: 'it is unknown', token: keys.tokens.mint().token, status: 401, code: 'unknown', challenge: /error="invalid_token", error_description="The token is unknown/ },
    { when: 'it is revoked', token: gone.token, status: 401, code: 'revoked', challenge: /error="invalid_token", error_description="The key was revoked/ },
    { when: 'it lacks the scope', token: reading.token, status: 403, code: 'insufficient_scope', challenge: /error="insufficient_scope".*scope="mcp:write"$/ }
  ]
  for (const { when, token, status, code, challenge } of cases) {
    const answer = await ask('/forward-auth?scope=mcp:write', token)
    t.equal(answer.status, status, when)
    t.match(answer.headers['www-authenticate'], challenge, when)
    t.match(answer.headers['content-type'], /^application\/problem\+json/)
    t.match(JSON.parse(answer.body), { status, code }, when)
  }
  t.equal((await ask('/forward-auth?scope=mcp:write', writing.token)).status, 200)
})

t.test('a scope that does not exist lets nobody in, and a client can only ask for more', async (t) => {
  const { ask, reading, writing } = shared
  t.equal((await ask('/forward-auth?scope=mcp:wirte', writing.token)).status, 400, 'mistyped in the proxy\'s configuration')
  t.equal((await ask('/forward-auth?scope=', writing.token)).status, 400, 'left empty there')
  t.equal((await ask('/forward-auth?scope=mcp:read&scope=mcp:write', reading.token)).status, 400, 'given twice there')
  for (const query of ['Scope=mcp:write', 'scope[]=mcp:write', 'scope%5B%5D=mcp:write', 'scopes=', 'scope=mcp:read&x', '__proto__=mcp:write']) {
    t.equal((await ask(`/forward-auth?${query}`, writing.token)).status, 400, query)
  }
  t.equal((await ask('/forward-auth/x?Scope=mcp:write', reading.token)).status, 200, 'the application\'s own, too')
  t.equal((await ask('/forward-auth/x?scope=mcp:wirte', writing.token)).status, 400, 'mistyped below')
  t.equal((await ask('/forward-auth/search?scope=all', reading.token)).status, 200, 'the application\'s own parameter')
  t.equal((await ask('/forward-auth/x?scope=mcp:write&scope=mcp:read', reading.token)).status, 403, 'the greater of two')
})

t.test('the path that a client chose need be none that can be decoded', async (t) => {
  const { ask, reading } = shared
  for (const path of ['/100%', '/%e9', '/a%2', '/%zz?x=%']) {
    t.equal((await ask(`/forward-auth${path}`, reading.token)).status, 200, path)
    t.equal((await ask(`/forward-auth${path}`)).status, 401, path)
  }
})

t.test('a token in the query is refused, also beside a good header, and X-Forwarded-Uri decides nothing', async (t) => {
  const { ask, reading } = shared
  for (const query of [`a=${reading.token}`, `a=${reading.token.replace('_', '%5F')}`, 'access_token=x']) {
    t.equal((await ask(`/forward-auth/x?${query}`, reading.token)).status, 401, query.slice(0, 6))
  }
  t.equal((await ask(`/forward-auth?token=${reading.token}`)).status, 401)
  t.equal((await ask('/forward-auth', undefined, { headers: { 'x-forwarded-uri': `/?access_token=${reading.token}` } })).status, 401)
  t.equal((await ask('/forward-auth', reading.token, { headers: { 'x-forwarded-uri': '/livez', 'x-forwarded-method': 'GET' } })).status, 200)
})

t.test('who invents tokens is answered 429 with Retry-After, and keys go on', async (t) => {
  const { ask, keys, reading, writing } = await setup(t, { unknownTokensPerMinute: 3 })
  t.equal((await ask('/forward-auth', reading.token)).status, 200)
  for (let i = 0; i < 3; i++) t.equal((await ask('/forward-auth', keys.tokens.mint().token)).status, 401)
  const { status, headers, body } = await ask('/forward-auth', keys.tokens.mint().token)
  t.equal(status, 429)
  t.match(headers['retry-after'], /^\d+$/)
  t.match(JSON.parse(body), { code: 'too_many_unknown_tokens' })
  t.equal((await ask('/forward-auth', reading.token)).status, 200, 'a key that is in memory')
  t.equal((await ask('/forward-auth', writing.token)).status, 200, 'one that is not')
  t.equal((await ask('/forward-auth', 'nops_mistyped')).status, 401, 'a wrong checksum costs no budget')
})

const keyHeaders: ReadonlyArray<{ set: string | undefined, read: string | undefined, ignored: string }> = [
  { set: undefined, read: 'x-api-key', ignored: 'x-workspace-key' },
  { set: 'X-Workspace-Key', read: 'x-workspace-key', ignored: 'x-api-key' },
  { set: '', read: undefined, ignored: 'x-api-key' }
]

for (const { set, read, ignored } of keyHeaders) {
  t.test(`with API_KEY_HEADER ${set === undefined ? 'unset' : `"${set}"`} a key is read from ${read ?? 'no second header'}`, async (t) => {
    const { app, create } = await setupApp(t, { environment: set === undefined ? {} : { API_KEY_HEADER: set } })
    const [one, other] = [await create(), await create()]
    const ask = async (headers: Record<string, string>) => await app.inject({ url: '/forward-auth', headers })
    t.equal((await ask({ authorization: `Bearer ${one.token}` })).statusCode, 200)
    t.equal((await ask({ [ignored]: one.token })).statusCode, 401)
    t.equal((await ask({ authorization: `Bearer ${one.token}`, [ignored]: other.token })).headers['x-auth-key-id'], one.id, 'the other header decides nothing')
    if (read === undefined) return
    t.equal((await ask({ [read]: one.token })).headers['x-auth-key-id'], one.id)
    t.equal((await ask({ [read]: `Bearer ${one.token}` })).statusCode, 200)
    t.equal((await ask({ authorization: `Bearer ${one.token}`, [read]: one.token })).statusCode, 200, 'the same one twice')
    t.equal((await ask({ authorization: 'Basic YTpi', [read]: one.token })).statusCode, 200, 'another scheme may be meant for a proxy')
    const two = await ask({ authorization: `Bearer ${one.token}`, [read]: other.token })
    t.equal(two.statusCode, 401)
    t.match(two.headers['www-authenticate'], /two different tokens/)
    t.equal((await ask({ [read]: 'nops_REPLACE_WITH_YOUR_KEY' })).statusCode, 401)
  })
}
