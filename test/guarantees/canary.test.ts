import t, { type Test } from 'tap'
import { connect as connectSocket, type AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import { sql } from 'drizzle-orm'
import { connect } from '../../src/db/connect.ts'
import { until } from '../support/servers.ts'
import { management, service, setupApp } from '../routes/setup.ts'

/** Sends bytes as they are and resolves to all that comes back. */
function sendRaw (port: number, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectSocket(port, '127.0.0.1', () => { socket.write(bytes) })
    let text = ''
    socket.on('data', (chunk) => { text += chunk.toString() })
    socket.on('error', () => {})
    socket.on('close', () => { resolve(text) })
  })
}

function requestText (method: string, path: string, { headers = {}, body = '' }: { headers?: Record<string, string>, body?: string } = {}): string {
  const lines = Object.entries({ host: 'x', connection: 'close', 'content-length': String(Buffer.byteLength(body)), ...headers }).map(([name, value]) => `${name}: ${value}`)
  return [`${method} ${path} HTTP/1.1`, ...lines, '', body].join('\r\n')
}

/** A request for every place that a secret can be put in. */
function requestsWith (secret: string, authorization: string): string[] {
  const auth = { authorization }
  const json = { ...auth, 'content-type': 'application/json' }
  const keys = '/v1/workspaces/acme/keys'
  const good = { name: 'x', scope: 'mcp:read' }
  const post = (body: object, path = keys) => requestText('POST', path, { headers: json, body: JSON.stringify(body) })
  const escaped = secret.replace('_', '%5F')
  return [
    ...[secret, escaped, `%zz${secret}`].flatMap((text) => [
      requestText('GET', `/${text}`, { headers: auth }), requestText('GET', `/v1/workspaces/${text}/keys`, { headers: auth }),
      requestText('GET', `${keys}/${text}`, { headers: auth }), requestText('DELETE', `${keys}/${text}`, { headers: auth }), requestText('PUT', `${keys}/${text}`, { headers: auth }),
      requestText('GET', `/forward-auth/${text}`), requestText('GET', `/.well-known/${text}`)
    ]),
    ...['access_token', 'token', 'cursor', 'status', 'limit', 'x', secret].flatMap((name) => [keys, '/forward-auth', '/readyz', '/nothing', '/v1/workspaces/acme/audit'].flatMap((path) => [
      requestText('GET', `${path}?${name}=${secret}`, { headers: auth }), requestText('GET', `${path}?${name}=${escaped}`, { headers: auth })
    ])),
    ...['x-request-id', 'idempotency-key', 'user-agent', 'cookie', 'referer', 'x-forwarded-for', 'content-type', 'accept', 'origin', 'expect', 'x-original-uri', secret.replace(/[^A-Za-z0-9_-]/g, '')].map((name) =>
      requestText('POST', keys, { headers: { ...json, [name]: secret }, body: JSON.stringify(good) })),
    ...[`Bearer ${secret}`, `Basic ${secret}`, secret, `Bearer ${secret} ${secret}`, `Token ${secret}`].flatMap((header) =>
      [keys, '/forward-auth', '/nothing'].map((path) => requestText('GET', path, { headers: { authorization: header } }))),
    requestText('GET', keys, { headers: { authorization: `Bearer ${secret}`, Authorization: `Bearer ${secret}` } }),
    post({ ...good, name: secret }), post({ ...good, name: `see ${secret}!` }), post({ ...good, owner_id: secret }), post({ ...good, expires_at: secret }), post({ ...good, scope: secret }),
    post({ ...good, metadata: { a: secret } }), post({ ...good, metadata: { [secret]: 'a' } }), post({ ...good, metadata: { a: { b: secret } } }), post({ ...good, [secret]: 1 }), post([secret]),
    post({ reason: secret }, `${keys}/revoke-all`), post({ token: secret, scope: secret }, '/v1/verify'), post({ token: secret, x: secret }, '/v1/verify'), post({ token: secret }, '/v1/verify'),
    requestText('DELETE', `${keys}/01920000-0000-7000-8000-000000000000`, { headers: json, body: JSON.stringify({ reason: secret }) }),
    requestText('PATCH', `${keys}/01920000-0000-7000-8000-000000000000`, { headers: json, body: JSON.stringify({ name: secret }) }),
    requestText('POST', keys, { headers: json, body: `{"name": "${secret}` }), requestText('POST', keys, { headers: json, body: secret }),
    requestText('POST', keys, { headers: { ...auth, 'content-type': 'text/plain' }, body: secret }),
    requestText('POST', keys, { headers: { ...auth, 'content-type': 'application/x-www-form-urlencoded' }, body: `name=${secret}` }),
    requestText('POST', '/v1/introspect', { headers: { ...auth, 'content-type': 'application/x-www-form-urlencoded' }, body: `token=${secret}&x=${secret}` }),
    requestText('GET', '/livez', { headers: { 'x-large': secret.repeat(1000) } }),
    `GET ${secret}\r\n\r\n`, `${secret} / HTTP/1.1\r\n\r\n`, `GET / HTTP/1.1\r\n${secret}\r\n\r\n`
  ]
}

/** Everything that Postgres and Redis hold, as text; bytes also as Latin-1. */
async function everythingStored (t: Test, url: string, redisUrl: string): Promise<string> {
  const { db, close } = connect({ url })
  t.teardown(() => close())
  const texts: string[] = []
  for (const table of Object.values(db.tables)) {
    if (typeof table === 'string') continue
    for (const row of await db.execute(sql`select * from ${table}`)) {
      texts.push(JSON.stringify(row), ...Object.values(row).flatMap((value) => value instanceof Uint8Array ? [Buffer.from(value).toString('latin1')] : []))
    }
  }
  const redis = new Redis(redisUrl)
  for (const name of await redis.keys('*')) texts.push(name, (await redis.getBuffer(name))?.toString('latin1') ?? '')
  redis.disconnect()
  return texts.join('\n')
}

t.test('no token and no configured secret is found in any log line, answer, metric or row, wherever in a request it was put', async (t) => {
  const { app, ask, create, logs, url, redisUrl } = await setupApp(t, { redis: true })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const { id, token } = await create()
  const revoked = await create()
  await ask('DELETE', `/v1/workspaces/acme/keys/${revoked.id}`)
  const secrets = [token, revoked.token, management, service]
  let asked = 0
  for (const secret of secrets) {
    const requests = requestsWith(secret, `Bearer ${management}`)
    for (let i = 0; i < requests.length; i += 20) {
      const answers = await Promise.all(requests.slice(i, i + 20).map((text) => sendRaw(port, text)))
      for (const [j, answer] of answers.entries()) {
        asked++
        if (answer.includes(secret)) t.fail(`the answer to request ${i + j} shows what was put into it: ${answer.slice(0, 200)}`)
        if (/^HTTP\/1.1 5/.test(answer)) t.fail(`request ${i + j} is answered with ${answer.slice(0, 400)}`)
      }
    }
  }
  t.ok(asked > 400, `${asked} requests`)
  await until(() => logs.length > asked / 2)
  const { body: metrics } = await ask('GET', '/metrics')
  const stored = await everythingStored(t, url, redisUrl!)
  t.ok(stored.includes(id), 'the search does find what is stored')
  for (const secret of secrets) {
    // The random part alone: it counts as found however the underscore is written.
    const part = secret.startsWith('nops_') ? secret.slice(5) : secret
    t.notOk(logs.join('').includes(part), 'in no log line')
    t.notOk(metrics.includes(part), 'in no metric')
    t.notOk(stored.includes(part), 'in no row')
  }
  t.notOk(metrics.includes(id), 'no key has a metric of its own')
})

t.test('what the HTTP parser refuses is answered with a problem that has a code', async (t) => {
  const { app } = await setupApp(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  t.match(await sendRaw(port, requestText('GET', '/livez', { headers: { 'x-large': 'x'.repeat(64 * 1024) } })), /^HTTP\/1.1 431[^]*application\/problem\+json[^]*"headers_too_large"/)
  t.match(await sendRaw(port, 'GET\r\n\r\n'), /^HTTP\/1.1 400[^]*application\/problem\+json[^]*"invalid_request"/)
  const answer = await sendRaw(port, `GET /v1/workspaces/acme/keys HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${management}\r\nAuthorization: Bearer ${management}\r\n\r\n`)
  t.match(answer, /^HTTP\/1.1 400[^]*"invalid_request"/, 'two Authorization headers')
  t.notMatch(answer, /^server:/im, 'no banner')
})
