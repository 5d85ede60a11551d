import jwt from '@fastify/jwt'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { apiKeys, type PrefixedApiKey, type PrefixedApiKeys } from '../../src/plugins/api-keys.ts'
import { freshDatabase } from '../support/servers.ts'

declare module 'fastify' {
  interface FastifyInstance extends PrefixedApiKeys<'partner'> {}
  interface FastifyRequest extends PrefixedApiKey<'partner'> {}
}

function host (t: Test): FastifyInstance {
  const app = Fastify()
  t.teardown(() => app.close())
  return app
}

async function tokenOf ({ service }: FastifyInstance['apiKeys'], workspaceId: string): Promise<string> {
  return (await service.create({ workspaceId, actor: 'test', name: 'n', scope: 'mcp:read' })).token
}

async function statusOf (app: FastifyInstance, url: string, token: string): Promise<number> {
  return (await app.inject({ url, headers: { authorization: `Bearer ${token}` } })).statusCode
}

t.test('beside @fastify/jwt each credential opens its own routes and no others', async (t) => {
  const app = host(t)
  await app.register(jwt, { secret: 'a secret of the host, long enough for it' })
  await app.register(apiKeys, { databaseUrl: await freshDatabase(t) })
  app.get('/me', { onRequest: async (request) => { await request.jwtVerify() } }, async (request) => request.user)
  app.get('/things', { onRequest: app.requireScope('mcp:read') }, async (request) => request.apiKey.workspaceId)
  const key = await tokenOf(app.apiKeys, 'w1')
  const session = app.jwt.sign({ sub: 'ada' })
  t.same(await Promise.all([statusOf(app, '/me', session), statusOf(app, '/things', key)]), [200, 200])
  t.same(await Promise.all([statusOf(app, '/me', key), statusOf(app, '/things', session)]), [401, 401])
})

t.test('contexts beside each other have instances and databases of their own, and the context above has none', async (t) => {
  const app = host(t)
  const tokens: Record<string, string> = {}
  for (const name of ['one', 'two']) {
    await app.register(async (child) => {
      await child.register(apiKeys, { databaseUrl: await freshDatabase(t) })
      child.get(`/${name}`, { onRequest: child.requireScope('mcp:read') }, async (request) => request.apiKey.workspaceId)
      tokens[name] = await tokenOf(child.apiKeys, name)
    })
  }
  await app.ready()
  t.notOk(app.hasDecorator('apiKeys'))
  t.same(await Promise.all([statusOf(app, '/one', tokens['one']!), statusOf(app, '/two', tokens['two']!)]), [200, 200])
  t.same(await Promise.all([statusOf(app, '/one', tokens['two']!), statusOf(app, '/two', tokens['one']!)]), [401, 401])
})

t.test('two instances in one context never take the key of one for that of the other', async (t) => {
  const app = host(t)
  await app.register(apiKeys, { databaseUrl: await freshDatabase(t) })
  await app.register(apiKeys, { databaseUrl: await freshDatabase(t), decoratorPrefix: 'partner', tokenPrefix: 'partner_' })
  app.get('/ours', { onRequest: app.requireScope('mcp:read') }, async (request) => request.apiKey.workspaceId)
  app.get('/partners', { onRequest: app.partnerRequireScope('mcp:read') }, async (request) => request.partnerApiKey.workspaceId)
  app.get('/mixed', { onRequest: app.partnerRequireScope('mcp:read') }, async (request) => request.apiKey.workspaceId)
  const ours = await tokenOf(app.apiKeys, 'ours')
  const partner = await tokenOf(app.partnerApiKeys, 'partner')
  t.match(partner, /^partner_/)
  t.same(await Promise.all([statusOf(app, '/ours', ours), statusOf(app, '/partners', partner)]), [200, 200])
  t.same(await Promise.all([statusOf(app, '/ours', partner), statusOf(app, '/partners', ours)]), [401, 401])
  t.equal(await statusOf(app, '/mixed', partner), 500, 'a key that was let in by one is no key of the other')
})

t.test('a name that is taken is told before anything is opened, with what to do', async (t) => {
  const databaseUrl = 'postgres://nobody@127.0.0.1:1/nowhere'
  const taken = host(t)
  taken.decorate('requireScope' as string, () => {})
  await t.rejects(async () => await taken.register(apiKeys, { databaseUrl }), /`app.requireScope` already.*`decoratorPrefix`/)
  const other = host(t)
  other.decorateRequest('apiKey' as string, null)
  await t.rejects(async () => await other.register(apiKeys, { databaseUrl }), /`request.apiKey` already/)
  for (const decoratorPrefix of ['', 'Partner', 'a-b', '__proto__']) {
    await t.rejects(async () => await host(t).register(apiKeys, { databaseUrl, decoratorPrefix }), /`decoratorPrefix` must be/)
  }
})
