import { createHash } from 'node:crypto'
import { sql } from 'drizzle-orm'
import t, { type Test } from 'tap'
import { TokenFormat } from '../../src/core/token.ts'
import { connect } from '../../src/db/connect.ts'
import { markExpired } from '../../src/db/queries/expiry.ts'
import { countLongerThan } from '../../src/db/queries/overview.ts'
import { setupApp } from './setup.ts'

const dayMs = 86_400_000
const keys = '/v1/workspaces/acme/keys'
const policyPath = '/v1/workspaces/acme/policy'
const days = (ms: string | null, from = Date.now()) => ms === null ? null : Math.round((Date.parse(ms) - from) / dayMs)
const inDays = (count: number) => new Date(Date.now() + count * dayMs).toISOString()

async function setup (t: Test, environment: Record<string, string> = {}) {
  const service = await setupApp(t, { environment: { TRUST_WINDOW_MS: '1000', ...environment } })
  const set = async (payload: object) => await service.ask('PUT', policyPath, { payload })
  return { ...service, set }
}

t.test('a policy is shown as it was set, the whole is replaced, and what is left out is none', async (t) => {
  const { ask, set } = await setup(t)
  const none = { max_lifetime_days: null, default_lifetime_days: null, unused_days: null }
  t.match(await ask('GET', policyPath), { status: 200, body: none })
  t.strictSame((await set({ max_lifetime_days: 90, default_lifetime_days: 30, unused_days: 60 })).body, { max_lifetime_days: 90, default_lifetime_days: 30, unused_days: 60 })
  t.strictSame((await set({ max_lifetime_days: 90, unused_days: null })).body, { ...none, max_lifetime_days: 90 })
  t.strictSame((await ask('GET', policyPath)).body, { ...none, max_lifetime_days: 90 })
  t.strictSame((await ask('GET', '/v1/workspaces/other/policy')).body, none)
  t.match((await ask('GET', '/v1/workspaces/acme/audit')).body.entries, [{ action: 'policy.changed', actor: 'ops', details: { max_lifetime_days: 90, default_lifetime_days: null } }, { action: 'policy.changed' }])
})

t.test('the maximum and the default bind making, editing and rotating', async (t) => {
  const { ask, create, set } = await setup(t)
  const endless = await create()
  await set({ max_lifetime_days: 90, default_lifetime_days: 30 })
  t.equal(days((await create()).expires_at), 30)
  t.equal(days((await create({ expires_at: inDays(89) })).expires_at), 89)
  const post = async (payload: object) => await ask('POST', keys, { payload: { name: 'n', scope: 'mcp:read', ...payload } })
  t.match(await post({ expires_at: inDays(91) }), { status: 400, body: { errors: [{ pointer: '/expires_at', detail: /90 days/ }] } })
  t.match(await post({ expires_at: null }), { status: 400, body: { errors: [{ pointer: '/expires_at', detail: /90 days/ }] } })
  t.equal((await ask('GET', `${keys}/${endless.id}`)).body.expires_at, null, 'what exists is left alone')
  t.match(await ask('PATCH', `${keys}/${endless.id}`, { payload: { expires_at: null } }), { status: 400, body: { errors: [{ pointer: '/expires_at' }] } })
  t.match(await ask('PATCH', `${keys}/${endless.id}`, { payload: { expires_at: inDays(91) } }), { status: 400 })
  t.match(await ask('PATCH', `${keys}/${endless.id}`, { payload: { name: 'renamed' } }), { status: 200 })
  t.equal(days((await ask('POST', `${keys}/${endless.id}/rotate`, { payload: {} })).body.expires_at), 90, 'a rotation gives an endless key the maximum')
  const short = await create({ expires_at: inDays(10) })
  t.equal(days((await ask('POST', `${keys}/${short.id}/rotate`, { payload: {} })).body.expires_at), 10, 'a rotation lengthens no life')
  await set({ max_lifetime_days: 60 })
  t.equal(days((await create()).expires_at), 60, 'without a default: the maximum')
})

t.test('the stricter of setting and workspace counts, but for the default', async (t) => {
  const { create, set, ask } = await setup(t, { KEY_MAX_LIFETIME_DAYS: '100', KEY_DEFAULT_LIFETIME_DAYS: '50' })
  t.equal(days((await create()).expires_at), 50)
  await set({ max_lifetime_days: 200, default_lifetime_days: 150 })
  t.equal(days((await create()).expires_at), 100)
  t.match(await ask('POST', keys, { payload: { name: 'n', scope: 'mcp:read', expires_at: inDays(150) } }), { status: 400, body: { errors: [{ detail: /100 days/ }] } })
  await set({ max_lifetime_days: 20 })
  t.equal(days((await create()).expires_at), 20)
})

t.test('apply: all shortens what exists, in force when it returns, tells of each key, and lengthens nothing', async (t) => {
  const { ask, create, set } = await setup(t)
  const [endless, long, short, revoked] = [await create(), await create({ expires_at: inDays(300) }), await create({ expires_at: inDays(5) }), await create()]
  await ask('DELETE', `${keys}/${revoked.id}`)
  const elsewhere = await create({}, 'other')
  t.equal((await set({ max_lifetime_days: 90, apply: 'all' })).status, 200)
  const expiry = async (id: string, workspace = 'acme') => days((await ask('GET', `/v1/workspaces/${workspace}/keys/${id}`)).body.expires_at)
  t.strictSame(await Promise.all([endless, long, short, revoked].map(({ id }) => expiry(id))), [90, 90, 5, null])
  t.equal(await expiry(elsewhere.id, 'other'), null)
  t.match((await ask('POST', '/v1/verify', { payload: { token: endless.token } })).body, { valid: true, key: { expires_at: /^20/ } })
  const told = (await ask('GET', '/v1/events')).body.events.filter(({ type }: { type: string }) => type === 'key.updated')
  t.strictSame(told.map(({ data }: any) => data.key_id).sort(), [endless.id, long.id].sort())
  t.match((await ask('GET', '/v1/workspaces/acme/audit')).body.entries[0], { action: 'policy.applied', details: { shortened: 2 } })
  const { expires_at: expiresAt } = (await ask('GET', `/v1/workspaces/acme/keys/${long.id}`)).body
  t.match((await ask('GET', `/v1/workspaces/acme/audit?key_id=${long.id}`)).body.entries[0], { action: 'key.changed', actor: 'ops', details: { expires_at: expiresAt, part_of: 'policy.applied' } })
})

t.test('apply: all ends a key that is older than the maximum at the moment of the call, and leaves keys that had expired as they were', async (t) => {
  const { ask, create, set, url } = await setup(t)
  const { db, close } = connect({ url })
  t.teardown(() => close())
  const imported = new TokenFormat().mint().token
  await ask('POST', `${keys}/import`, { payload: { keys: [{ token_sha256: createHash('sha256').update(imported).digest('hex'), name: 'old', scope: 'mcp:read', created_at: inDays(-100) }] } })
  const [told, untold] = [await create(), await create()]
  const expire = async (id: string) => await db.execute(sql`update ${db.tables.keys} set created_at = clock_timestamp() - interval '60 days', expires_at = date_trunc('second', clock_timestamp()) - interval '2 days' where id = ${id}::uuid`)
  await expire(told.id)
  t.equal(await markExpired(db, 10), 1)
  await expire(untold.id)
  const shown = async () => (await ask('GET', `${keys}?status=all`)).body.keys as Array<{ id: string, name: string, status: string, expires_at: string }>
  const before = await shown()
  t.strictSame(await countLongerThan(db, { workspaceId: 'acme', days: 30 }), { count: 1, isExact: true }, 'what the page of the policy foretells')

  const askedAt = Date.now()
  t.equal((await set({ max_lifetime_days: 30, apply: 'all' })).status, 200)
  t.match((await ask('POST', '/v1/verify', { payload: { token: imported } })).body, { valid: false, reason: 'expired' })
  t.match((await ask('GET', '/v1/workspaces/acme/audit')).body.entries[0], { action: 'policy.applied', details: { shortened: 1 } })
  const after = await shown()
  const old = after.find(({ name }) => name === 'old')!
  t.equal(old.status, 'expired')
  t.ok(Math.abs(Date.parse(old.expires_at) - askedAt) < 60_000, old.expires_at)
  t.strictSame(after.filter(({ name }) => name !== 'old'), before.filter(({ name }) => name !== 'old'))

  await set({ max_lifetime_days: 20, apply: 'all' })
  t.match((await ask('GET', '/v1/workspaces/acme/audit')).body.entries[0], { action: 'policy.applied', details: { shortened: 0 } }, 'it is not ended again')
  t.equal((await shown()).find(({ name }) => name === 'old')!.expires_at, old.expires_at)
  t.equal(await markExpired(db, 10), 2)
  const events = (await ask('GET', '/v1/events')).body.events as Array<{ type: string, data: { key_id: string } }>
  const of = (type: string) => events.filter((event) => event.type === type).map(({ data }) => data.key_id).sort()
  t.strictSame(of('key.updated'), [old.id])
  t.strictSame(of('key.expired'), [told.id, untold.id, old.id].sort())
})

t.test('a policy that is none is refused with its pointer and what to do', async (t) => {
  const { set, ask } = await setup(t)
  for (const [payload, pointer] of [
    [{ max_lifetime_days: 0 }, '/max_lifetime_days'],
    [{ default_lifetime_days: -1 }, '/default_lifetime_days'],
    [{ unused_days: 1.5 }, '/unused_days'],
    [{ unused_days: 36_501 }, '/unused_days'],
    [{ max_lifetime_days: '90' }, '/max_lifetime_days'],
    [{ max_lifetime_days: 10, default_lifetime_days: 11 }, '/default_lifetime_days'],
    [{ apply: 'some' }, '/apply'],
    [{ lifetime: 1 }, '/lifetime']
  ] as const) {
    const { status, body } = await set(payload)
    t.match({ status, body }, { status: 400, body: { errors: [{ pointer }] } }, JSON.stringify(payload))
    t.match(body.errors[0].detail, /Must|Unknown field/)
  }
  t.strictSame((await ask('GET', policyPath)).body, { max_lifetime_days: null, default_lifetime_days: null, unused_days: null })
})
