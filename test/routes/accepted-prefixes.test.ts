import { createHash } from 'node:crypto'
import t from 'tap'
import { TokenFormat } from '../../src/core/token.ts'
import { Scrubber } from '../../src/http/scrubber.ts'
import { freshDatabase } from '../support/servers.ts'
import { management, setupApp } from './setup.ts'

const path = '/v1/workspaces/acme/keys/import'
const accepted = { TOKEN_PREFIXES_ACCEPTED: 'nops_\nsk_live_,ab.c+/' }
const row = (token: string) => ({ token_sha256: createHash('sha256').update(token).digest('hex'), name: 'imported', scope: 'mcp:read' })

t.test('a token lives on when TOKEN_PREFIX changes, and imported ones work under their own beginnings, on every surface', async (t) => {
  const databaseUrl = await freshDatabase(t)
  const before = await setupApp(t, { databaseUrl })
  const { token: older } = await before.create()
  const { app, ask, create, logs } = await setupApp(t, { databaseUrl, environment: { TOKEN_PREFIX: 'acme_', ...accepted } })
  const foreign = ['sk_live_4eC39HqLyjWDarjtT1zdp7dc', 'sk_live_12345678', `sk_live_${'x'.repeat(504)}`, 'ab.c+/~-_0123456789==']
  t.match(await ask('POST', path, { payload: { keys: foreign.map(row) } }), { status: 201, body: { imported: 4 } })
  for (const token of [older, ...foreign, (await create()).token]) {
    t.match((await ask('POST', '/v1/verify', { payload: { token } })).body, { valid: true }, token.slice(0, 40))
    const form = { headers: { 'content-type': 'application/x-www-form-urlencoded' }, payload: new URLSearchParams({ token }).toString() }
    t.match((await ask('POST', '/v1/introspect', form)).body, { active: true })
    t.match(await ask('GET', '/forward-auth', { headers: { authorization: `Bearer ${token}` } }), { status: 200 })
    t.match(await ask('GET', `/forward-auth?x=${encodeURIComponent(token)}`, { headers: { authorization: `Bearer ${token}` } }), { status: 401 }, 'never in a query string')
    t.match(await ask('GET', '/v1/workspaces/acme/keys', { headers: { authorization: `Bearer ${token}` } }), { status: 403 }, 'keys never manage keys')
    t.match(await ask('POST', '/v1/workspaces/acme/keys', { payload: { name: token.slice(0, 90), scope: 'mcp:read' } }), { status: 400 }, 'nor are they names')
  }
  for (const [token, reason] of [['sk_live_short', 'malformed'], [`sk_live_${'x'.repeat(505)}`, 'malformed'], ['sk_live_with a space', 'malformed'], ['sk_live_=in=the=middle', 'malformed'], ['sk_test_4eC39HqLyjWDarjtT1zdp7dc', 'malformed'], ['sk_live_4eC39HqLyjWDarjtT1zdp7dX', 'unknown'], [`${older.slice(0, -1)}-`, 'unknown']] as const) {
    t.match((await ask('POST', '/v1/verify', { payload: { token } })).body, { valid: false, reason }, token.slice(0, 40))
  }
  t.match((await before.ask('POST', '/v1/verify', { payload: { token: foreign[0] } })).body, { valid: false, reason: 'malformed' }, 'where the beginning is not accepted')
  const { body: ended } = await ask('POST', '/v1/leaks', { payload: [{ token: foreign[0] }] })
  t.match(ended, [{ result: 'true_positive', revoked: true }])
  t.match((await ask('POST', '/v1/verify', { payload: { token: foreign[0] } })).body, { valid: false, reason: 'revoked' })
  app.log.info({ url: `/x?y=${encodeURIComponent(foreign[1]!)}` }, `they sent ${foreign[1]!} and ${foreign[3]!}`)
  for (const line of logs) for (const token of foreign) if (line.includes(token)) t.fail(`a log line holds ${token.slice(0, 8)}…`)
  t.notOk(logs.some((line) => line.includes(management)))
})

t.test('the scrubber knows accepted beginnings however they are spelled; without any it knows them not', async (t) => {
  const scrubber = new Scrubber({ tokenPrefix: 'nops_', tokenPrefixesAccepted: ['sk_live_', 'ab.c+/'], secrets: [] })
  for (const text of ['sk_live_12345678', 'sk%5Flive%5F12345678', 'sk%255flive%255F12345678', 'sk\\u005flive\\u005F12345678', 'ab.c+/0123456789', 'ab.c%2B%2f0123456789']) {
    t.equal(scrubber.scrub(`x ${text} y`), 'x [redacted] y', text)
  }
  for (const text of ['sk_live_1234567 8', 'abxc+/0123456789']) t.equal(scrubber.finds(text), false, text)
  t.equal(new Scrubber({ tokenPrefix: 'nops_', secrets: [] }).finds('sk_live_12345678'), false)
})

t.test('a beginning that no token can have is refused', async (t) => {
  for (const beginning of ['', 'x', 'a b', 'é_', 'a'.repeat(65)]) t.throws(() => new TokenFormat('nops_', [beginning]), /prefix/)
})
