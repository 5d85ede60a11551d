import { createHash, randomBytes } from 'node:crypto'
import { sql } from 'drizzle-orm'
import t from 'tap'
import { connect } from '../../src/db/connect.ts'
import { TokenFormat } from '../../src/core/token.ts'
import { setupApp } from './setup.ts'

const path = '/v1/workspaces/acme/keys/import'
const sha256 = (token: string, encoding: 'hex' | 'base64' = 'hex') => createHash('sha256').update(token).digest(encoding)
const row = (token: string, fields: object = {}) => ({ token_sha256: sha256(token), name: 'imported', scope: 'mcp:read', ...fields })
const elsewhere = () => new TokenFormat().mint().token
const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000).toISOString()

t.test('imported tokens verify, with everything that was said of them; repeating changes nothing', async (t) => {
  const { ask, create, url } = await setupApp(t)
  const [one, two, three] = [elsewhere(), elsewhere(), elsewhere()]
  const mine = await create()
  const created = daysAgo(400)
  const expires = daysAgo(-30)
  const keys = [
    row(one, { name: 'shop', scope: 'mcp:write', hint: 'abcd…wxyz', owner_id: 'auth0|7', expires_at: expires, created_at: created, metadata: { from: 'unkey' } }),
    { ...row(two), token_sha256: sha256(two, 'base64') },
    { ...row(three), token_sha256: sha256(three, 'base64') },
    row(mine.token)
  ]
  const answer = await ask('POST', path, { payload: { keys } })
  t.strictSame([answer.status, answer.body], [201, { imported: 3, already_there: 1 }])
  const verify = async (token: string) => (await ask('POST', '/v1/verify', { payload: { token } })).body
  const { key } = await verify(one)
  t.match(key, { name: 'shop', scope: 'mcp:write', owner_id: 'auth0|7', expires_at: expires, metadata: { from: 'unkey' } })
  for (const token of [two, three]) t.match(await verify(token), { valid: true, key: { name: 'imported', expires_at: null, owner_id: null } })
  t.match((await ask('GET', `/v1/workspaces/acme/keys/${key.id}`)).body, { hint: 'abcd…wxyz', created_at: created, created_by: 'ops', rotated_at: null, status: 'active' })
  t.strictSame((await ask('POST', path, { payload: { keys } })).body, { imported: 0, already_there: 4 })
  t.match(await verify(mine.token), { valid: true, key: { name: 'a key' } }, 'what was there stays as it was')

  t.match((await ask('GET', `/v1/workspaces/acme/audit?key_id=${key.id}`)).body.entries, [{ action: 'key.imported', actor: 'ops', details: { name: 'shop' } }])
  const { db, close } = connect({ url })
  t.teardown(() => close())
  const events = await db.execute<{ type: string, data: { key: { hint: string } } }>(sql`select type, data from navis_keys.events where key_id = ${key.id}::uuid`)
  t.match([...events], [{ type: 'key.created', data: { key: { hint: 'abcd…wxyz' } } }])

  const rotated = (await ask('POST', `/v1/workspaces/acme/keys/${key.id}/rotate`)).body
  t.match(await verify(one), { valid: false, reason: 'revoked' }, 'an imported key is a key like any other')
  t.match(await verify(rotated.token), { valid: true })
})

t.test('a token that was refused as unknown a moment ago works as soon as it is imported', async (t) => {
  const { ask } = await setupApp(t)
  const verify = async (token: string) => (await ask('POST', '/v1/verify', { payload: { token } })).body
  const token = elsewhere()
  t.strictSame(await verify(token), { valid: false, reason: 'unknown' })
  t.match(await ask('POST', path, { payload: { keys: [row(token)] } }), { status: 201, body: { imported: 1 } })
  t.match(await verify(token), { valid: true, key: { name: 'imported' } })
})

t.test('all or none: a token of another workspace is told, and nothing is imported', async (t) => {
  const { ask, create } = await setupApp(t)
  const theirs = await create({}, 'other')
  const token = elsewhere()
  const answer = await ask('POST', path, { payload: { keys: [row(token), row(theirs.token)] } })
  t.match(answer, { status: 409, body: { code: 'token_taken', errors: [{ pointer: '/keys/1/token_sha256' }] } })
  t.equal(answer.body.errors.length, 1)
  t.match((await ask('POST', '/v1/verify', { payload: { token } })).body, { valid: false, reason: 'unknown' })
  t.match((await ask('POST', '/v1/verify', { payload: { token: theirs.token } })).body, { valid: true, key: { workspace_id: 'other' } })
})

t.test('each fault is told with its pointer, and nothing is imported', async (t) => {
  const { ask } = await setupApp(t)
  const token = elsewhere()
  const faults: ReadonlyArray<readonly [object, string]> = [
    [{ token_sha256: 'abcd' }, 'token_sha256'],
    [{ token_sha256: 'a'.repeat(63) }, 'token_sha256'],
    [{ token_sha256: token }, 'token_sha256'],
    [{ token_sha256: sha256(token) }, 'token_sha256'],
    [{ token_sha256: undefined }, 'token_sha256'],
    [{ name: '' }, 'name'],
    [{ name: elsewhere() }, 'name'],
    [{ scope: 'admin' }, 'scope'],
    [{ hint: 'abcdwxyz' }, 'hint'],
    [{ hint: 'ab…yz' }, 'hint'],
    [{ owner_id: 'a b' }, 'owner_id'],
    [{ expires_at: daysAgo(1) }, 'expires_at'],
    [{ expires_at: 'soon' }, 'expires_at'],
    [{ created_at: daysAgo(-1) }, 'created_at'],
    [{ created_at: null }, 'created_at'],
    [{ expires_at: '2099-12-31T23:59:60Z' }, 'expires_at'],
    [{ created_at: '2016-12-31T23:59:60Z' }, 'created_at'],
    [{ metadata: { a: 1 } }, 'metadata/a'],
    [{ metadata: { a: 'x'.repeat(2049) } }, 'metadata'],
    [{ token: 'x' }, 'token']
  ]
  for (const [fields, pointer] of faults) {
    const answer = await ask('POST', path, { payload: { keys: [row(token), row(elsewhere(), fields)] } })
    t.match(answer, { status: 400, body: { code: 'invalid_request', errors: [{ pointer: `/keys/1/${pointer}` }] } }, JSON.stringify(fields))
  }
  for (const payload of [{}, { keys: [] }, { keys: Array.from({ length: 1001 }, () => row(token)) }]) t.match(await ask('POST', path, { payload }), { status: 400, body: { errors: [{ pointer: '/keys' }] } })
  t.match(await ask('POST', path, { payload: { keys: [row(token, { metadata: { a: 'x'.repeat(1024 * 1024) } })] } }), { status: 413 })
  t.match((await ask('POST', '/v1/verify', { payload: { token } })).body, { valid: false, reason: 'unknown' })
})

t.test('the policy binds an import: its maximum counts from the making of the key', async (t) => {
  const { ask } = await setupApp(t)
  await ask('PUT', '/v1/workspaces/acme/policy', { payload: { max_lifetime_days: 90, default_lifetime_days: 30 } })
  const one = async (fields: object) => await ask('POST', path, { payload: { keys: [row(elsewhere(), fields)] } })
  t.match(await one({ expires_at: null }), { status: 400, body: { errors: [{ pointer: '/keys/0/expires_at', detail: /90 days/ }] } })
  t.match(await one({ expires_at: daysAgo(-91) }), { status: 400, body: { errors: [{ pointer: '/keys/0/expires_at' }] } })
  t.match(await one({ expires_at: daysAgo(-50), created_at: daysAgo(60) }), { status: 400, body: { errors: [{ pointer: '/keys/0/expires_at' }] } })
  t.match(await one({ created_at: daysAgo(91) }), { status: 400, body: { errors: [{ pointer: '/keys/0/created_at' }] } })
  t.match(await one({ name: 'given', expires_at: daysAgo(-20), created_at: daysAgo(60) }), { status: 201 })
  t.match(await one({ name: 'default' }), { status: 201 })
  t.match(await one({ name: 'shortened', created_at: daysAgo(80) }), { status: 201 })
  const { keys } = (await ask('GET', '/v1/workspaces/acme/keys')).body as { keys: Array<{ name: string, expires_at: string }> }
  for (const [name, days] of [['given', 20], ['default', 30], ['shortened', 10]] as const) {
    const ends = Date.parse(keys.find((key) => key.name === name)!.expires_at)
    t.ok(Math.abs(ends - Date.now() - days * 86_400_000) < 120_000, name)
  }
})

t.test('a thousand at once, and imports that meet, in any order: each token once', async (t) => {
  const { ask, url } = await setupApp(t)
  const keys = Array.from({ length: 1000 }, (_, i) => row(`sk_${randomBytes(16).toString('hex')}`, { name: `key ${i}` }))
  const answers = await Promise.all([keys, [...keys].reverse(), keys.slice(0, 500)].map((keys) => ask('POST', path, { payload: { keys } })))
  t.strictSame(answers.map(({ status }) => status), [201, 201, 201])
  t.equal(answers.reduce((sum, { body }) => sum + body.imported, 0), 1000)
  t.equal(answers.reduce((sum, { body }) => sum + body.imported + body.already_there, 0), 2500)
  const { db, close } = connect({ url })
  t.teardown(() => close())
  const [count] = await db.execute(sql`select (select count(*)::int from navis_keys.keys) as keys, (select count(*)::int from navis_keys.tokens) as tokens, (select count(*)::int from navis_keys.audit) as audit, (select count(*)::int from navis_keys.events) as events`)
  t.strictSame({ ...count }, { keys: 1000, tokens: 1000, audit: 1000, events: 1000 })
})
