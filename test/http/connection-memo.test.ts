import { Agent, request } from 'node:http'
import { connect } from 'node:http2'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { apiKeys, type ApiKeysOptions } from '../../src/plugins/api-keys.ts'
import { freshDatabase } from '../support/servers.ts'

interface Partner {
  partnerApiKeys: FastifyInstance['apiKeys']
  partnerRequireScope: FastifyInstance['requireScope']
}

async function setup (t: Test, options: Partial<ApiKeysOptions> = {}) {
  const app = Fastify()
  const databaseUrl = await freshDatabase(t)
  t.teardown(() => app.close())
  await app.register(apiKeys, { databaseUrl, ...options })
  app.get('/things', { onRequest: app.requireScope('mcp:read') }, async (request) => request.apiKey.id)
  app.post('/things', { onRequest: app.requireScope('mcp:write') }, async (request) => request.apiKey.id)
  const make = async (fields = {}) => await app.apiKeys.service.create({ workspaceId: 'w1', actor: 'test', name: 'n', scope: 'mcp:read', ...fields })
  return { app, make, databaseUrl, repeated: () => app.apiKeys.stats().verifier.repeated }
}

/** Requests over one connection, one after the other. */
async function connection (t: Test, app: FastifyInstance) {
  if (!app.server.listening) await app.listen({ port: 0, host: '127.0.0.1' })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => { agent.destroy() })
  const { port } = app.server.address() as AddressInfo
  return async (token: string, { method = 'GET', path = '/things' } = {}) => {
    const asked = request({ agent, port, host: '127.0.0.1', method, path, headers: { authorization: `Bearer ${token}` } }).end()
    const [answer] = await once(asked, 'response')
    return { status: answer.statusCode as number, body: await text(answer) }
  }
}

t.test('a connection that repeats its token is looked up once, and is refused as soon as its key is revoked', async (t) => {
  const { app, make, repeated } = await setup(t)
  const [{ key, token }, other] = [await make(), await make()]
  const send = await connection(t, app)
  for (let i = 0; i < 5; i++) t.strictSame(await send(token), { status: 200, body: key.id })
  t.ok(repeated() >= 3)
  t.equal((await send(token, { method: 'POST' })).status, 403, 'a scope that it lacks')
  t.strictSame(await send(other.token), { status: 200, body: other.key.id }, 'another token is another key')
  t.strictSame(await send(token), { status: 200, body: key.id })
  t.equal((await send(`${token}x`)).status, 401)
  await send(token)
  await app.apiKeys.service.revoke({ workspaceId: 'w1', keyId: key.id, actor: 'test' })
  const refused = await send(token)
  t.equal(refused.status, 401)
  t.match(JSON.parse(refused.body), { code: 'revoked' })
})

t.test('a rate limit counts each repeated token, and each is a use', async (t) => {
  const { app, make } = await setup(t)
  const { token } = await make({ rateLimit: { requests: 5, windowSeconds: 3600 } })
  const send = await connection(t, app)
  const statuses: number[] = []
  for (let i = 0; i < 8; i++) statuses.push((await send(token)).status)
  t.strictSame(statuses, [200, 200, 200, 200, 200, 429, 429, 429])
  t.equal(app.apiKeys.stats().verifier.accepted, 5)
})

t.test('two engines in one application do not believe what the other has found out over the same connection', async (t) => {
  const { app, make } = await setup(t)
  const { token } = await make()
  await app.register(apiKeys, { databaseUrl: await freshDatabase(t), decoratorPrefix: 'partner' })
  app.get('/partner', { onRequest: (app as unknown as Partner).partnerRequireScope('mcp:read') }, async () => 'let in')
  const send = await connection(t, app)
  for (let i = 0; i < 3; i++) {
    t.equal((await send(token)).status, 200)
    t.equal((await send(token, { path: '/partner' })).status, 401)
  }
})

t.test('over HTTP/2 the session remembers', async (t) => {
  const { make, app: { apiKeys: { stats } }, databaseUrl } = await setup(t)
  const { token, key } = await make()
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  await app.register(apiKeys as never, { databaseUrl } as never)
  const own = app as unknown as FastifyInstance
  own.get('/things', { onRequest: own.requireScope('mcp:read') }, async (request) => request.apiKey.id)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  t.teardown(() => { session.destroy() })
  for (let i = 0; i < 4; i++) t.equal(await text(session.request({ ':path': '/things', authorization: `Bearer ${token}` })), key.id)
  t.ok(own.apiKeys.stats().verifier.repeated >= 2)
  t.equal(stats().verifier.repeated, 0)
})
