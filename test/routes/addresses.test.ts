import t from 'tap'
import { isAllowed, isPublic, parseCidr } from '../../src/core/addresses.ts'
import { setupApp } from './setup.ts'
import { verificationApp, serviceToken } from './verification-app.ts'

t.test('ranges are read in one form only, and IPv4 in the clothes of IPv6 is IPv4', async (t) => {
  for (const [text, cidr] of [
    ['192.0.2.7', '192.0.2.7/32'], ['10.0.0.0/8', '10.0.0.0/8'], ['0.0.0.0/0', '0.0.0.0/0'], ['2001:DB8::/32', '2001:db8::/32'],
    ['2001:db8::1', '2001:db8::1/128'], ['::ffff:10.0.0.0/104', '10.0.0.0/8'], ['::ffff:192.0.2.1', '192.0.2.1/32'],
    ['::10.1.1.1', '::a01:101/128'], ['::10.0.0.0/104', '::a00:0/104']
  ] as const) t.strictSame(parseCidr(text), { cidr }, text)
  for (const text of ['', 'x', '10.0.0.1/8', '10.0.0.0/33', '10.0.0.0/08', '10.0.0.0/', '10.0.0.0/8/8', '010.0.0.0/8', '0x0a.0.0.0/8', '10.1/16', '2001:db8::1/64', '::/129', 'fe80::1%eth0', '::ffff:0:0/90', '10.0.0.0/-1', ' 10.0.0.0/8']) {
    t.match(parseCidr(text), { fault: /./ }, text)
  }
  t.match(parseCidr('10.1.2.3/8'), { fault: /10\.0\.0\.0\/8/ }, 'it says what would be right')
})

t.test('an address is in a range or it is not', async (t) => {
  const cidrs = ['10.0.0.0/8', '192.0.2.7/32', '2001:db8::/33']
  for (const address of ['10.0.0.0', '10.255.255.255', '192.0.2.7', '::ffff:10.1.2.3', '2001:db8:7fff::1']) t.equal(isAllowed(address, cidrs), true, address)
  for (const address of ['9.255.255.255', '11.0.0.0', '192.0.2.8', '2001:db8:8000::', '::1', '::ffff:11.0.0.0', '::10.1.1.1', '::a01:101', 'x', '', undefined]) t.equal(isAllowed(address, cidrs), false, String(address))
  t.equal(isAllowed('10.0.0.1', []), false, 'an empty list allows nothing')
  for (const address of ['::10.1.1.1', '::a01:101']) t.equal(isAllowed(address, ['::a00:0/104']), true, `${address}, one address in two forms`)
  for (const address of ['::127.0.0.1', '::7f00:1', '::1', '10.0.0.1']) t.equal(isPublic(address), false, address)
})

t.test('a key with a list of addresses is refused from any other, on every surface, after everything else', async (t) => {
  const { app, keys } = await verificationApp(t)
  const make = (allowedCidrs: string[], scope: 'mcp:read' | 'mcp:write' = 'mcp:read') => keys.service.create({ workspaceId: 'w1', actor: 'test', name: 'n', scope, allowedCidrs })
  const { token, key } = await make(['192.0.2.0/24', '::1'])
  const verify = async (body: object) => (await app.inject({ method: 'POST', url: '/v1/verify', headers: { authorization: `Bearer ${serviceToken}` }, payload: body })).json()
  const introspect = async (form: string) => (await app.inject({ method: 'POST', url: '/v1/introspect', headers: { authorization: `Bearer ${serviceToken}`, 'content-type': 'application/x-www-form-urlencoded' }, payload: form })).json()
  const forward = async (remoteAddress: string, query = '') => await app.inject({ url: `/forward-auth${query}`, remoteAddress, headers: { authorization: `Bearer ${token}` } })
  for (let i = 0; i < 2; i++) {
    t.match(await verify({ token, address: '192.0.2.9' }), { valid: true })
    t.match(await verify({ token, address: '198.51.100.1' }), { valid: false, reason: 'address_not_allowed' })
    t.match(await verify({ token }), { valid: false, reason: 'address_not_allowed' })
    t.match(await verify({ token, address: '198.51.100.1', scope: 'mcp:write' }), { reason: 'insufficient_scope' })
    t.match(await introspect(`token=${token}&address=192.0.2.9&client_id=x&resource=https://a.example`), { active: true })
    t.match(await introspect(`token=${token}&address=192.0.3.9`), { active: false })
    t.match(await introspect(`token=${token}`), { active: false })
    t.equal((await forward('192.0.2.1')).statusCode, 200)
    const refused = await forward('192.0.3.1')
    t.equal(refused.statusCode, 403)
    t.match(refused.json(), { code: 'address_not_allowed' })
    t.match(refused.headers['www-authenticate'], /error="address_not_allowed"/)
  }
  t.match(await verify({ token, address: 'localhost' }), { code: 'invalid_request', errors: [{ pointer: '/address' }] })
  await keys.service.update({ workspaceId: 'w1', keyId: key.id, actor: 'test', allowedCidrs: ['198.51.100.0/24'] })
  t.equal((await forward('192.0.2.1')).statusCode, 403, 'in force when the change returns')
  t.equal((await forward('198.51.100.2')).statusCode, 200)
  await keys.service.update({ workspaceId: 'w1', keyId: key.id, actor: 'test', allowedCidrs: null })
  t.equal((await forward('192.0.2.1')).statusCode, 200)
})

t.test('an empty list is refused, when a key is made and when it is edited: it would open the key to every address, or to none', async (t) => {
  const { ask, create } = await setupApp(t)
  const { id } = await create({ allowed_cidrs: ['192.0.2.0/24'] })
  const wanted = { status: 400, body: { code: 'invalid_request', errors: [{ pointer: '/allowed_cidrs', detail: /null: every address/ }] } }
  t.match(await ask('POST', '/v1/workspaces/acme/keys', { payload: { name: 'n', scope: 'mcp:read', allowed_cidrs: [] } }), wanted)
  t.match(await ask('PATCH', `/v1/workspaces/acme/keys/${id}`, { payload: { allowed_cidrs: [] } }), wanted)
  t.strictSame((await ask('GET', `/v1/workspaces/acme/keys/${id}`)).body.allowed_cidrs, ['192.0.2.0/24'])
})
