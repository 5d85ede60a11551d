import { connect } from 'node:net'
import { drizzle } from 'drizzle-orm/postgres-js'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { openKeys, apiKeys, type ApiKeysOptions } from '../../src/plugins/api-keys.ts'
import { freshDatabase, freshRedis, until } from '../support/servers.ts'

/** An application of somebody else's, which knows nothing of the service. */
async function setup (t: Test, options: Partial<ApiKeysOptions> = {}) {
  const app = Fastify()
  await app.register(apiKeys, { databaseUrl: await freshDatabase(t), redisUrl: await freshRedis(t), ...options })
  app.get('/things', { onRequest: app.requireScope('mcp:read') }, async (request) => request.apiKey)
  app.post('/things', { onRequest: app.requireScope('mcp:write') }, async (request) => ({ by: request.apiKey.id }))
  app.get('/open', async (request) => request.apiKey.id)
  t.teardown(() => app.close())
  const make = async (scope: 'mcp:read' | 'mcp:write') => await app.apiKeys.service.create({ workspaceId: 'w1', actor: 'test', name: 'n', scope })
  const get = async (authorization?: string, url = '/things') => await app.inject({ url, headers: authorization === undefined ? {} : { authorization } })
  return { app, make, get }
}

t.test('a route behind a scope knows the key; it is frozen and prints no digest', async (t) => {
  const { app, make, get } = await setup(t)
  const { key, token } = await make('mcp:read')
  const answer = await get(`Bearer ${token}`)
  t.match(answer.json(), { id: key.id, workspaceId: 'w1', scope: 'mcp:read' })
  t.notOk('digest' in answer.json())
  t.equal((await app.inject({ method: 'POST', url: '/things', headers: { authorization: `Bearer ${token}` } })).statusCode, 403)
  await app.apiKeys.service.revoke({ workspaceId: 'w1', keyId: key.id, actor: 'test' })
  const refused = await get(`Bearer ${token}`)
  t.equal(refused.statusCode, 401)
  t.match(refused.json(), { code: 'revoked', status: 401 })
  t.match(refused.headers, { 'www-authenticate': /error="invalid_token"/, 'cache-control': 'no-store' })
})

t.test('an application that leaves the upkeep to others is told so when it starts; one with `retention` does it, and events get their place and go', async (t) => {
  const lines: string[] = []
  const logger = { level: 'info', stream: { write: (line: string) => { lines.push(line) } } }
  const databaseUrl = await freshDatabase(t)
  const start = async (options: Partial<ApiKeysOptions>) => {
    const app = Fastify({ logger })
    t.teardown(() => app.close())
    await app.register(apiKeys, { databaseUrl, ...options })
    return app
  }
  const says = () => lines.filter((line) => line.includes('`retention`')).length
  const alone = await start({})
  t.equal(says(), 1)
  await alone.apiKeys.service.create({ workspaceId: 'w1', actor: 'test', name: 'n', scope: 'mcp:read' })
  const client = postgres(databaseUrl, { max: 1 })
  t.teardown(() => client.end())
  await client`update navis_keys.events set at = clock_timestamp() - interval '31 days'`
  await start({ retention: { auditDays: null, usageDays: 90, callDays: 30, endedKeyDays: null } })
  t.equal(says(), 1)
  await until(async () => (await client`select from navis_keys.events`).length === 0)
})

t.test('a key with a list of addresses opens a route from these alone: 403 that says so from any other', async (t) => {
  const { app } = await setup(t)
  const { token } = await app.apiKeys.service.create({ workspaceId: 'w1', actor: 'test', name: 'n', scope: 'mcp:read', allowedCidrs: ['192.0.2.0/24', '2001:db8::/32'] })
  const from = async (remoteAddress: string) => await app.inject({ url: '/things', remoteAddress, headers: { authorization: `Bearer ${token}`, 'x-forwarded-for': '192.0.2.7' } })
  for (const address of ['192.0.2.7', '::ffff:192.0.2.7', '2001:db8::1']) t.equal((await from(address)).statusCode, 200, address)
  for (const address of ['198.51.100.7', '::ffff:198.51.100.7', '2001:db9::1']) {
    const answer = await from(address)
    t.match([answer.statusCode, answer.json(), answer.headers['www-authenticate']], [403, { code: 'address_not_allowed' }, /error="address_not_allowed"/], address)
  }
})

t.test('an Authorization header in every shape', async (t) => {
  const { app, make, get } = await setup(t)
  const { token } = await make('mcp:read')
  const shapes: Array<{ header: string | undefined, status: number, code?: string }> = [
    { header: `bearer ${token}`, status: 200 },
    { header: `BEARER   ${token}`, status: 200 },
    { header: undefined, status: 401, code: 'unauthenticated' },
    { header: '', status: 401, code: 'unauthenticated' },
    { header: 'Basic dXNlcjpwYXNz', status: 401, code: 'unauthenticated' },
    { header: 'Bearer', status: 401, code: 'malformed' },
    { header: 'Bearer ', status: 401, code: 'malformed' },
    { header: token, status: 401, code: 'malformed' },
    { header: `Basic ${token}`, status: 401, code: 'malformed' },
    { header: `Bearer: ${token}`, status: 401, code: 'malformed' },
    { header: `Bearer\t${token}`, status: 401, code: 'malformed' },
    { header: `Bearer "${token}"`, status: 401, code: 'malformed' },
    { header: `Bearer ${token} ${token}`, status: 401, code: 'malformed' },
    { header: `Bearer ${token}, Bearer ${token}`, status: 401, code: 'malformed' },
    { header: `Bearer ${token.toUpperCase()}`, status: 401, code: 'malformed' },
    { header: `Bearer ${'x'.repeat(10_000)}`, status: 401, code: 'malformed' }
  ]
  for (const { header, status, code } of shapes) {
    const answer = await get(header)
    const shape = header?.replaceAll(token, '<token>').slice(0, 40) ?? 'none'
    t.equal(answer.statusCode, status, shape)
    if (code !== undefined) t.match(answer.json(), { code }, shape)
    t.notMatch(answer.body + JSON.stringify(answer.headers), token, shape)
  }
  t.equal((await get(undefined, `/things?token=${token}`)).statusCode, 401)
  t.equal((await get(`Bearer ${token}`, '/things?token=csrf')).statusCode, 200, 'a parameter of the application\'s own')
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as { port: number }
  t.equal(await rawStatus(port, [`authorization: Bearer ${token}`]), 200)
  t.equal(await rawStatus(port, [`authorization: Bearer ${token}`, 'Authorization: Bearer other']), 401, 'two headers')
})

t.test('request.apiKey on an unverified request, and a scope that does not exist, are mistakes that say so', async (t) => {
  const { app, get } = await setup(t)
  const answer = await get(undefined, '/open')
  t.equal(answer.statusCode, 500)
  t.match(answer.json().message, /requireScope/)
  t.throws(() => app.requireScope('mcp:admin' as 'mcp:read'), /mcp:read/)
})

t.test('clients that are handed in are used, left as they were, and left open', async (t) => {
  const client = postgres(await freshDatabase(t), { max: 4 })
  const redis = new Redis(await freshRedis(t))
  t.teardown(async () => { await client.end(); redis.disconnect() })
  const app = Fastify()
  await app.register(apiKeys, { db: drizzle(client), redis })
  const { token } = await app.apiKeys.service.create({ workspaceId: 'w1', actor: 'test', name: 'n', scope: 'mcp:read' })
  t.match(await app.apiKeys.verifier.verify(token), { valid: true })
  t.match(app.apiKeys.health(), { postgres: 'up', redis: 'up', window: 'open' })
  await app.close()
  t.same((await client`select count(*)::int as n from navis_keys.window_members where dead_at is null`)[0], { n: 0 })
  t.equal(await redis.ping(), 'PONG')
})

t.test('Redis away at the start is tolerated; Postgres away is told so', async (t) => {
  const keys = await openKeys({ databaseUrl: await freshDatabase(t), redisUrl: 'redis://127.0.0.1:1' })
  t.teardown(() => keys.close())
  const { token } = await keys.service.create({ workspaceId: 'w1', actor: 'test', name: 'n', scope: 'mcp:read' })
  t.match(await keys.verifier.verify(token), { valid: true })
  t.match(keys.health(), { redis: 'down', postgres: 'up' })
  await t.rejects(openKeys({ databaseUrl: 'postgres://127.0.0.1:1/x' }), { code: 'unavailable' })
  await t.rejects(openKeys({}), /databaseUrl/)
  const renaming = postgres('postgres://127.0.0.1:1/x', { transform: postgres.camel })
  await t.rejects(openKeys({ db: drizzle(renaming) }), { name: 'TypeError', message: /option `transform`/ })
})

t.test('a wrong name and a wrong value of an option are mistakes that say so', async (t) => {
  const policy = { maxLifetimeDays: null, defaultLifetimeDays: null, unusedDays: null }
  const retention = { auditDays: null, usageDays: 90, callDays: 30, endedKeyDays: null }
  const whole = 'must be a whole number above 0'
  for (const [options, message] of [
    [{ migrates: false }, '`migrates` is no option of navis-keys. There are: databaseUrl, '],
    [{ trustWindowMS: 2000 }, '`trustWindowMS` is no option'],
    [{ toString: 'x' }, '`toString` is no option'],
    [{ trustWindowMs: -1 }, `\`trustWindowMs\` ${whole}.`],
    [{ trustWindowMs: '2000' }, `\`trustWindowMs\` ${whole}.`],
    [{ memoryEntriesMax: 0 }, `\`memoryEntriesMax\` ${whole}.`],
    [{ lastUsedFlushMs: NaN }, `\`lastUsedFlushMs\` ${whole}.`],
    [{ usageAddresses: 'none' }, "`usageAddresses` must be 'full' or 'prefix' or 'off'."],
    [{ acks: 'none' }, "`acks` must be 'all' or 'postgres' or 'off'."],
    [{ cache: 'off' }, '`cache` must be `true` or `false`.'],
    [{ migrate: 'false' }, '`migrate` must be `true` or `false`.'],
    [{ redisUrl: null }, '`redisUrl` must be a text.'],
    [{ tokenPrefixesAccepted: 'old_' }, '`tokenPrefixesAccepted` must be an array of texts.'],
    [{ log: true }, '`log` must be an object.'],
    [{ policy: { ...policy, maxLifetimeDays: -1 } }, `\`policy.maxLifetimeDays\` ${whole}, or null.`],
    [{ policy: { unusedDays: 9 } }, '`policy.maxLifetimeDays` must be '],
    [{ policy: { ...policy, maxLifeDays: 9 } }, '`policy.maxLifeDays` is no option'],
    [{ retention: { ...retention, usageDays: null } }, `\`retention.usageDays\` ${whole}.`],
    [{ retention: { ...retention, auditDays: undefined } }, '`retention.auditDays` must be ']
  ] as const) {
    const refused = await openKeys({ databaseUrl: 'postgres://127.0.0.1:1/x', ...options as object }).catch((error: Error) => error)
    t.ok(refused instanceof TypeError && refused.message.startsWith(message), (refused as Error).message)
  }
  for (const apiKeyHeader of ['x api key', 7]) {
    await t.rejects(async () => await Fastify().register(apiKeys, { databaseUrl: 'postgres://127.0.0.1:1/x', apiKeyHeader: apiKeyHeader as string }), { name: 'TypeError', message: /apiKeyHeader/ })
  }
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(apiKeys, { databaseUrl: await freshDatabase(t), redisUrl: undefined, policy, retention, prefix: '/api', logLevel: 'warn', logSerializers: {} })
  t.equal(app.apiKeys.isStarted, true, 'what register itself takes is none of ours')

  await t.rejects(async () => await Fastify().register(apiKeys, { keys: app.apiKeys, trustWindowMs: 2000 }), { name: 'TypeError', message: '`trustWindowMs` has no effect beside `keys`: give it to `openKeys`.' })
  const second = Fastify()
  t.teardown(() => second.close())
  await second.register(apiKeys, { keys: app.apiKeys, trustWindowMs: undefined, apiKeyHeader: 'x-key', decoratorPrefix: 'partner', prefix: '/api' })
  t.equal(second.getDecorator('partnerApiKeys'), app.apiKeys)
})

t.test('an empty database is made ready; two replicas share it; CACHE=off answers the same', async (t) => {
  const databaseUrl = await freshDatabase(t, { migrated: false })
  const [one, other] = [await openKeys({ databaseUrl }), await openKeys({ databaseUrl, cache: false })]
  t.teardown(async () => { await one.close(); await other.close() })
  const { token, key } = await one.service.create({ workspaceId: 'w1', actor: 'test', name: 'n', scope: 'mcp:read' })
  for (const keys of [one, other]) t.match(await keys.verifier.verify(token), { valid: true })
  t.match(other.verifier.verify(token), Promise, 'nothing is remembered')
  await other.service.revoke({ workspaceId: 'w1', keyId: key.id, actor: 'test' })
  for (const keys of [one, other]) t.same(await keys.verifier.verify(token), { valid: false, reason: 'revoked' })
})

async function rawStatus (port: number, headers: readonly string[]): Promise<number> {
  return await new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(['GET /things HTTP/1.1', 'host: x', 'connection: close', ...headers, '', ''].join('\r\n'))
    })
    let text = ''
    socket.setEncoding('latin1').on('data', (part) => { text += part }).on('end', () => resolve(Number(text.split(' ')[1]))).on('error', reject)
  })
}

for (const { apiKeyHeader, read, ignored } of [
  { apiKeyHeader: undefined, read: 'x-api-key', ignored: 'x-workspace-key' },
  { apiKeyHeader: 'X-Workspace-Key', read: 'x-workspace-key', ignored: 'x-api-key' },
  { apiKeyHeader: '', read: undefined, ignored: 'x-api-key' }
]) {
  t.test(`with apiKeyHeader ${apiKeyHeader === undefined ? 'unset' : `"${apiKeyHeader}"`} the plugin reads a key from ${read ?? 'no second header'}`, async (t) => {
    const { app, make } = await setup(t, { apiKeyHeader })
    const [one, other] = [await make('mcp:read'), await make('mcp:read')]
    const get = async (headers: Record<string, string>) => await app.inject({ url: '/things', headers })
    t.equal((await get({ authorization: `Bearer ${one.token}` })).json().id, one.key.id)
    t.equal((await get({ [ignored]: one.token })).statusCode, 401)
    t.equal((await get({ authorization: `Bearer ${one.token}`, [ignored]: other.token })).json().id, one.key.id, 'the other header decides nothing')
    if (read === undefined) return
    t.equal((await get({ [read]: one.token })).json().id, one.key.id)
    const two = await get({ authorization: `Bearer ${one.token}`, [read]: other.token })
    t.equal(two.statusCode, 401)
    t.match(two.headers['www-authenticate'], /two different tokens/)
    t.equal((await app.inject({ method: 'POST', url: '/things', headers: { [read]: one.token } })).statusCode, 403, 'its scope holds here too')
  })
}
