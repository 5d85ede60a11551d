import { createHash } from 'node:crypto'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import t from 'tap'
import { sql } from 'drizzle-orm'
import { connect } from '../../src/db/connect.ts'
import { TokenFormat } from '../../src/core/token.ts'
import { setupApp } from './setup.ts'

const keys = '/v1/workspaces/acme/keys'
const sha256 = (token: string, encoding: 'hex' | 'base64' = 'hex') => createHash('sha256').update(token).digest(encoding)

t.test('leaked tokens are refused when the answer is there, in whatever shape they are reported; a replay does no harm', async (t) => {
  const { ask, create, url } = await setupApp(t)
  const [one, two, graced, ended] = [await create(), await create(), await create(), await create()]
  const newest = (await ask('POST', `${keys}/${graced.id}/rotate`, { payload: { grace_seconds: 600 } })).body
  await ask('DELETE', `${keys}/${ended.id}`, { payload: { reason: 'lost' } })
  const stranger = new TokenFormat().mint().token
  const verify = async (token: string) => (await ask('POST', '/v1/verify', { payload: { token } })).body
  for (const { token } of [one, two, graced, newest]) t.match(await verify(token), { valid: true })
  const reports = [{ token: stranger }, { token: one.token, url: 'https://example.com/x', source: 'scanner' }, { token_sha256: sha256(two.token) }, { token_sha256: sha256(graced.token, 'base64') }, { token: ended.token }, { token: one.token }]
  const answer = await ask('POST', '/v1/leaks', { payload: reports })
  t.strictSame([answer.status, answer.body], [200, [
    { token_sha256: sha256(stranger), result: 'false_positive', revoked: false },
    { token_sha256: sha256(one.token), result: 'true_positive', revoked: true },
    { token_sha256: sha256(two.token), result: 'true_positive', revoked: true },
    { token_sha256: sha256(graced.token), result: 'true_positive', revoked: true },
    { token_sha256: sha256(ended.token), result: 'true_positive', revoked: false },
    { token_sha256: sha256(one.token), result: 'true_positive', revoked: true }
  ]])
  for (const { token } of [one, two, graced, newest, ended]) t.match(await verify(token), { valid: false, reason: 'revoked' })
  t.match((await ask('GET', `${keys}/${one.id}`)).body, { status: 'revoked', revoked_by: 'ops', revoke_reason: 'leaked' })
  t.match((await ask('GET', `${keys}/${ended.id}`)).body, { revoke_reason: 'lost' })
  t.match((await ask('POST', '/v1/leaks', { payload: reports })).body.map(({ revoked }: { revoked: boolean }) => revoked), reports.map(() => false))
  const { db, close } = connect({ url })
  t.teardown(() => close())
  const rows = await db.execute<{ type: string }>(sql`select type from navis_keys.events where key_id = ${one.id}::uuid order by seq`)
  t.strictSame(rows.map(({ type }) => type), ['key.created', 'key.leaked', 'key.revoked'])
  t.match((await ask('GET', `/v1/workspaces/acme/audit?key_id=${one.id}`)).body.entries[0], { action: 'key.leaked', details: { url: 'https://example.com/x', source: 'scanner' } })
})

t.test('a token that is reported as a line of a file has it is revoked, and one with more around it is not taken for none of ours', async (t) => {
  const { ask, create } = await setupApp(t)
  const { token } = await create()
  for (const more of [`Bearer ${token}`, `${token} ${token}`]) t.match(await ask('POST', '/v1/leaks', { payload: [{ token: more }] }), { status: 400, body: { errors: [{ pointer: '/0/token', detail: /token alone/ }] } })
  t.match((await ask('POST', '/v1/leaks', { payload: [{ token: ` ${token}\r\n` }] })).body, [{ token_sha256: sha256(token), result: 'true_positive', revoked: true }])
  t.match((await ask('POST', '/v1/verify', { payload: { token } })).body, { valid: false, reason: 'revoked' })
})

t.test('a report of what ended long ago writes nothing; of what ended just now it is waited for once more', async (t) => {
  const { ask, create, url } = await setupApp(t)
  const { db, close } = connect({ url })
  t.teardown(() => close())
  const [revoked, expired, rotated, living] = [await create(), await create(), await create(), await create()]
  await ask('DELETE', `${keys}/${revoked.id}`)
  await ask('POST', `${keys}/${rotated.id}/rotate`, { payload: {} })
  const position = async () => (await db.execute<{ seq: string }>(sql`select seq::text from navis_keys.revocation_clock`))[0]!.seq
  const report = async (...tokens: string[]) => {
    const before = await position()
    const { status, body } = await ask('POST', '/v1/leaks', { payload: tokens.map((token) => ({ token })) })
    t.equal(status, 200)
    t.ok(body.every(({ result }: { result: string }) => result === 'true_positive'))
    return { rows: Number(BigInt(await position()) - BigInt(before)), revoked: body.map(({ revoked }: { revoked: boolean }) => revoked) }
  }
  t.strictSame(await report(revoked.token), { rows: 1, revoked: [false] }, 'whoever revoked it may still be waiting')
  await db.execute(sql`update navis_keys.keys set revoked_at = clock_timestamp() - interval '61 minutes' where revoked_at is not null`)
  await db.execute(sql`update navis_keys.keys set expires_at = clock_timestamp() - interval '61 minutes', created_at = clock_timestamp() - interval '2 days' where id = ${expired.id}::uuid`)
  await db.execute(sql`update navis_keys.tokens set ends_at = clock_timestamp() - interval '61 minutes' where not is_current`)
  t.strictSame(await report(revoked.token, expired.token, rotated.token), { rows: 0, revoked: [false, false, false] })
  t.strictSame(await report(revoked.token, living.token), { rows: 1, revoked: [false, true] })
})

t.test('reports that are none are refused with a pointer', async (t) => {
  const { ask } = await setupApp(t)
  for (const [payload, pointer] of [[[], ''], [[{}], '/0'], [[{ token: 'x', token_sha256: sha256('x') }], '/0'], [[{ token: 'x' }, { token_sha256: 'abc' }], '/1/token_sha256'], [[{ token: 'x', who: 1 }], '/0/who'], [[{ token: 'x', url: `https://x/?t=${new TokenFormat().mint().token}` }], '/0/url'], [Array.from({ length: 1001 }, () => ({ token: 'x' })), '']] as const) {
    t.match(await ask('POST', '/v1/leaks', { payload: payload as object }), { status: 400, body: { errors: [{ pointer }] } }, pointer)
  }
})

t.test('whoever has a token may end it: the newest ends the key, one in its grace ends alone (RFC 7009)', async (t) => {
  const { ask, create } = await setupApp(t)
  const { id, token } = await create()
  const rotated = (await ask('POST', `${keys}/${id}/rotate`, { payload: { grace_seconds: 600 } })).body
  const verify = async (token: string) => (await ask('POST', '/v1/verify', { payload: { token } })).body
  const end = (payload: string) => ask('POST', '/v1/revoke', { payload, headers: { authorization: '', 'content-type': 'application/x-www-form-urlencoded' } })
  for (const one of [token, rotated.token]) t.match(await verify(one), { valid: true })
  t.equal((await end(`token=${token}&token_type_hint=access_token`)).status, 200)
  t.match(await verify(token), { valid: false, reason: 'revoked' })
  t.match(await verify(rotated.token), { valid: true })
  for (let i = 0; i < 2; i++) {
    t.equal((await end(`token=${rotated.token}`)).status, 200)
    t.match(await verify(rotated.token), { valid: false, reason: 'revoked' })
  }
  for (let i = 0; i < 2; i++) t.equal((await end(`token=${token}`)).status, 200)
  const audited = (await ask('GET', `/v1/workspaces/acme/audit?key_id=${id}`)).body.entries.filter(({ actor }: { actor: string }) => actor === 'token')
  t.strictSame(audited.map(({ action }: { action: string }) => action), ['key.revoked', 'key.token_ended'], 'repeats fill no audit trail')
  t.match((await ask('GET', `${keys}/${id}`)).body, { status: 'revoked', revoked_by: 'token', revoke_reason: 'self' })
  for (const unknown of [new TokenFormat().mint().token, 'x', 'x'.repeat(5000)]) t.equal((await end(`token=${unknown}`)).status, 200, 'what is unknown is nothing to be done about (RFC 7009, section 2.2)')
  t.match(await end('x=1'), { status: 400 })
})

t.test('who ends a key by its newest token ends the one in its grace as well, in every cache', async (t) => {
  const { ask, create } = await setupApp(t)
  const { id, token } = await create()
  const rotated = (await ask('POST', `${keys}/${id}/rotate`, { payload: { grace_seconds: 600 } })).body
  const verify = async (token: string) => (await ask('POST', '/v1/verify', { payload: { token } })).body
  for (const one of [token, rotated.token]) t.match(await verify(one), { valid: true })
  await ask('POST', '/v1/revoke', { payload: `token=${rotated.token}`, headers: { authorization: '', 'content-type': 'application/x-www-form-urlencoded' } })
  for (const one of [token, rotated.token]) t.match(await verify(one), { valid: false, reason: 'revoked' })
})

t.test('oauth4webapi and openid-client end a token, whatever client authentication they send along', async (t) => {
  const { app, ask, create } = await setupApp(t)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const server: oauth.AuthorizationServer = { issuer: url, revocation_endpoint: `${url}/v1/revoke` }
  const isValid = async (token: string) => (await ask('POST', '/v1/verify', { payload: { token } })).body.valid as boolean
  for (const auth of [oauth.None(), oauth.ClientSecretBasic('any'), oauth.ClientSecretPost('any')]) {
    const { token } = await create()
    t.equal(await isValid(token), true)
    await oauth.processRevocationResponse(await oauth.revocationRequest(server, { client_id: 'any' }, auth, token, { additionalParameters: { token_type_hint: 'refresh_token' }, [oauth.allowInsecureRequests]: true }))
    t.equal(await isValid(token), false)
  }
  for (const auth of [openid.None(), openid.ClientSecretBasic('any'), openid.ClientSecretPost('any')]) {
    const { token } = await create()
    const config = new openid.Configuration({ issuer: url, revocation_endpoint: `${url}/v1/revoke` }, 'any', undefined, auth)
    openid.allowInsecureRequests(config)
    await openid.tokenRevocation(config, token)
    t.equal(await isValid(token), false)
  }
})
