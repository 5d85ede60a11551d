import t from 'tap'
import { connect } from '../../src/db/connect.ts'
import { sql } from 'drizzle-orm'
import { Child } from '../support/child.ts'
import { until } from '../support/until.ts'
import { freshRedis } from '../support/servers.ts'
import { management, setupApp } from './setup.ts'

const keys = '/v1/workspaces/acme/keys'
/** For the tests that look at no more than what they made themselves. */
const shared = await setupApp(t)
const soonFlushed = await setupApp(t, { environment: { LAST_USED_FLUSH_MS: '100' } })
const soon = (ms = 3_600_000) => new Date(Date.now() + ms).toISOString()

t.test('a key gets a new token, and the one before ends at once: one id, one history', async (t) => {
  const { ask, create } = await setupApp(t, { redis: true, environment: { LAST_USED_FLUSH_MS: '100' } })
  const made = await create({ name: 'ci', owner_id: 'auth0|abc+x@example.com' })
  const verify = async (token: string) => (await ask('POST', '/v1/verify', { payload: { token } })).body
  t.match(await verify(made.token), { valid: true })
  const rotated = await ask('POST', `${keys}/${made.id}/rotate`)
  t.match(rotated, { status: 201, headers: { 'cache-control': 'no-store' }, body: { id: made.id, token: /^nops_/, previous_token: null, owner_id: 'auth0|abc+x@example.com', created_at: made.created_at } })
  t.not(rotated.body.token, made.token)
  t.equal(rotated.body.hint, `${rotated.body.token.slice(5, 9)}…${rotated.body.token.slice(-4)}`)
  t.match(await verify(made.token), { valid: false, reason: 'revoked' })
  t.match(await verify(rotated.body.token), { valid: true, key: { id: made.id } })
  const { token, ...shown } = rotated.body
  await until(async () => (await ask('GET', `${keys}/${made.id}`)).body.last_used_at !== null)
  t.match((await ask('GET', `${keys}/${made.id}`)).body, { ...shown, last_used_at: /./ })

  const graced = (await ask('POST', `${keys}/${made.id}/rotate`, { payload: { grace_seconds: 3600 } })).body
  t.equal(graced.previous_token.hint, shown.hint)
  t.ok(Math.abs(Date.parse(graced.previous_token.ends_at) - Date.now() - 3_600_000) < 60_000)
  t.match(await verify(token), { valid: true, key: { id: made.id } })
  t.match(await verify(graced.token), { valid: true })
  t.match((await ask('GET', keys)).body.keys[0], { hint: graced.hint, previous_token: { hint: shown.hint } })

  const again = (await ask('POST', `${keys}/${made.id}/rotate`, { payload: { grace_seconds: 3600 } })).body
  t.match(await verify(token), { valid: false, reason: 'revoked' }, 'rotating again ends the older token at once')
  t.match(await verify(graced.token), { valid: true })
  t.equal(again.previous_token.hint, graced.hint)

  await ask('DELETE', `${keys}/${made.id}`)
  for (const ended of [token, graced.token, again.token]) t.match(await verify(ended), { valid: false, reason: 'revoked' })
  t.match((await ask('GET', `${keys}/${made.id}`)).body, { status: 'revoked', previous_token: null })
  t.match(await ask('POST', `${keys}/${made.id}/rotate`), { status: 409, body: { code: 'key_revoked' } })
  const { body: audit } = await ask('GET', `/v1/workspaces/acme/audit?key_id=${made.id}`)
  t.strictSame(audit.entries.map(({ action }: { action: string }) => action), ['key.revoked', 'key.rotated', 'key.rotated', 'key.rotated', 'key.created'])
})

t.test('a rotation lengthens no life, and a key that has ended is not rotated', async (t) => {
  const { ask, create } = shared
  const expires = soon()
  const { id, token } = await create({ expires_at: expires })
  const rotated = (await ask('POST', `${keys}/${id}/rotate`, { payload: { grace_seconds: 2_592_000 } })).body
  t.equal(rotated.expires_at, expires)
  t.equal(rotated.previous_token.ends_at, expires, 'nor does the grace')
  const near = Date.now() + 2000
  t.equal((await ask('PATCH', `${keys}/${id}`, { payload: { expires_at: new Date(near).toISOString() } })).status, 200)
  await until(() => Date.now() > near + 20)
  t.match((await ask('POST', '/v1/verify', { payload: { token } })).body, { valid: false, reason: 'expired' })
  t.match(await ask('POST', `${keys}/${id}/rotate`), { status: 409, body: { code: 'key_expired' } })
  t.match(await ask('POST', `/v1/workspaces/other/keys/${id}/rotate`), { status: 404 })
  t.match(await ask('POST', `${keys}/none/rotate`), { status: 404 })
})

t.test('a grace that begins at the first use begins when a use of the new token has been written down', async (t) => {
  const { ask, create } = soonFlushed
  const { id, token } = await create()
  const valid = async (token: string) => (await ask('POST', '/v1/verify', { payload: { token } })).body.valid
  const rotated = (await ask('POST', `${keys}/${id}/rotate`, { payload: { grace_starts: 'first_use', grace_seconds: 0 } })).body
  t.ok(Date.parse(rotated.previous_token.ends_at) > Date.now() + 29 * 86_400_000, 'until then the bound is shown')
  for (let i = 0; i < 3; i++) t.equal(await valid(token), true)
  await until(async () => (await ask('GET', `${keys}/${id}`)).body.last_used_at !== null)
  t.equal(await valid(token), true, 'uses of the old token begin nothing')
  t.equal(await valid(rotated.token), true)
  await until(async () => !await valid(token))
  t.equal((await ask('GET', `${keys}/${id}`)).body.previous_token, null)
  t.equal(await valid(rotated.token), true)
})

t.test('a grace that begins at the first use is counted from that use, and never goes beyond the key', async (t) => {
  const { ask, create } = soonFlushed
  const valid = async (token: string) => (await ask('POST', '/v1/verify', { payload: { token } })).body.valid
  const expires = soon(7_200_000)
  for (const { fields, latest } of [{ fields: {}, latest: 3_600_000 }, { fields: { expires_at: expires }, latest: 7_200_000 }]) {
    const { id, token } = await create(fields)
    const rotated = (await ask('POST', `${keys}/${id}/rotate`, { payload: { grace_starts: 'first_use', grace_seconds: latest === 3_600_000 ? 3600 : 2_592_000 } })).body
    if (latest === 7_200_000) t.equal(rotated.previous_token.ends_at, expires, 'the 30 days end with the key')
    const used = Date.now()
    t.equal(await valid(rotated.token), true)
    const endsAt = async () => Date.parse((await ask('GET', `${keys}/${id}`)).body.previous_token.ends_at)
    await until(async () => (await ask('GET', `${keys}/${id}`)).body.last_used_at !== null && await endsAt() <= used + latest + 60_000)
    t.ok(Math.abs(await endsAt() - used - latest) < 60_000, 'an hour after the use, or the end of the key')
    t.equal(await valid(token), true)
  }
})

t.test('an Idempotency-Key rotates once; the repeat says so, another body is told', async (t) => {
  const { ask, create } = shared
  const { id } = await create()
  const once = (payload: object = {}) => ask('POST', `${keys}/${id}/rotate`, { payload, headers: { 'idempotency-key': 'r 1' } })
  const all = await Promise.all([once(), once(), once(), once()])
  t.strictSame(all.map(({ status }) => status).sort(), [201, 409, 409, 409])
  for (const { status, body } of all) if (status === 409) t.match(body, { code: 'already_rotated', key_id: id })
  t.match(await once({ grace_seconds: 5 }), { status: 422, body: { code: 'idempotency_key_reused' } })
  t.match(await ask('POST', keys, { payload: { name: 'x', scope: 'mcp:read' }, headers: { 'idempotency-key': 'r 1' } }), { status: 201 }, 'a create is another matter')
})

t.test('many rotations, edits and revocations of one key at once leave one living token, or none', async (t) => {
  const { ask, create, url } = await setupApp(t)
  const { id } = await create()
  const all = await Promise.all(Array.from({ length: 12 }, (_, i) => i % 4 === 3
    ? ask('PATCH', `${keys}/${id}`, { payload: { name: `n${i}` } })
    : ask('POST', `${keys}/${id}/rotate`, { payload: { grace_seconds: i } })))
  const tokens = all.filter(({ status }) => status === 201).map(({ body }) => body.token as string)
  t.equal(tokens.length, 9)
  const verify = async (token: string) => (await ask('POST', '/v1/verify', { payload: { token } })).body.valid as boolean
  t.ok((await Promise.all(tokens.map(verify))).filter(Boolean).length <= 2, 'the newest, and the one before it in its grace')
  const { db, close } = connect({ url })
  t.teardown(() => close())
  const [row] = await db.execute(sql`select count(*) filter (where is_current)::int as current, count(*)::int as rows from navis_keys.tokens`)
  t.strictSame({ ...row }, { current: 1, rows: 10 })
  const rest = await Promise.all([ask('POST', `${keys}/${id}/rotate`, { payload: { grace_seconds: 60 } }), ask('DELETE', `${keys}/${id}`), ask('POST', `${keys}/${id}/rotate`, { payload: { grace_seconds: 60 } })])
  for (const { body } of rest) if (body?.token !== undefined) tokens.push(body.token)
  for (const token of tokens) t.equal(await verify(token), false, 'however they fell, the key is revoked')
})

t.test('thirty rotations and a revocation of one key at once: none fails because others came first', async (t) => {
  const { ask, create, logs } = shared
  for (let round = 0; round < 3; round++) {
    const { id } = await create()
    const rotations = Array.from({ length: 30 }, () => ask('POST', `${keys}/${id}/rotate`, { payload: { grace_seconds: 60 } }))
    const revocation = ask('DELETE', `${keys}/${id}`)
    // A busy machine may not have done them all within the time that the database is given.
    for (const { status, body } of await Promise.all(rotations)) t.ok(status === 201 || status === 503 || (status === 409 && body.code === 'key_revoked'), `${status} ${body?.code}`)
    t.ok([204, 503].includes((await revocation).status))
  }
  t.notOk(logs.some((line) => line.includes('"level":50')), 'no internal error')
})

t.test('with one replica frozen, a rotation is in force on the others when it returns, and on that one when it wakes', async (t) => {
  const environment = { TRUST_WINDOW_MS: '1500', LAST_USED_FLUSH_MS: '500' }
  const redisUrl = await freshRedis(t)
  const { ask, create, url } = await setupApp(t, { environment: { ...environment, REDIS_URL: redisUrl } })
  const frozen = new Child(t, {
    file: 'dist/main.js',
    env: { ...environment, PORT: '0', DATABASE_URL: url, REDIS_URL: redisUrl, MANAGEMENT_TOKENS: `ops=${management}` }
  })
  const [, origin] = await frozen.printed(/(http:\/\/127\.0\.0\.1:\d+)/)
  const asked = async (token: string) => {
    const answer = await fetch(`${origin}/v1/verify`, { method: 'POST', headers: { authorization: `Bearer ${management}`, 'content-type': 'application/json' }, body: JSON.stringify({ token }) })
    return await answer.json() as { valid: boolean }
  }
  const { id, token } = await create()
  // It listens before it is ready. Then the key is in its memory.
  await until(async () => (await asked(token)).valid)
  frozen.process.kill('SIGSTOP')
  const rotated = (await ask('POST', `${keys}/${id}/rotate`)).body
  t.match((await ask('POST', '/v1/verify', { payload: { token } })).body, { valid: false, reason: 'revoked' })
  const waking = asked(token)
  frozen.process.kill('SIGCONT')
  t.not((await waking).valid, true, 'the frozen replica accepts nothing of before')
  await until(async () => (await asked(rotated.token)).valid)
  t.match(await asked(token), { valid: false, reason: 'revoked' })
})
