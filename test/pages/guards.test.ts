import t, { type Test } from 'tap'
import type { InjectOptions, LightMyRequestResponse as Response } from 'fastify'
import { TokenFormat } from '../../src/core/token.ts'
import { exactDay } from '../../src/pages/views/times.ts'
import { managementToken, servePages } from './support/pages.ts'

const host = '127.0.0.1:8080'
const own = { host, origin: `http://${host}`, 'sec-fetch-site': 'same-origin', 'content-type': 'application/x-www-form-urlencoded' }

// For all tests that need no options and no database of their own. Each has a workspace of its own.
const shared = await servePages(t)
let workspaces = 0

async function setup (t: Test, options?: Parameters<typeof servePages>[1]) {
  const pages = options === undefined ? shared : await servePages(t, options)
  const ownWorkspace = options === undefined ? `workspace-${++workspaces}` : 'acme'
  const get = async (url: string, headers: InjectOptions['headers'] = {}) => await pages.app.inject({ url, headers: { host, ...headers } })
  // Follows the redirect to an invalid form, as browsers do.
  const post = async (url: string, fields: Record<string, string>, headers: InjectOptions['headers'] = {}) => {
    const answer = await pages.app.inject({ method: 'POST', url, headers: { ...own, ...headers }, payload: new URLSearchParams(fields).toString() })
    const { location } = answer.headers
    return answer.statusCode === 303 && location?.includes('again=yes') ? await get(location, headers) : answer
  }
  const signIn = async (workspaceId = ownWorkspace) => await post('/settings/sign-in', { management_token: managementToken, workspace_id: workspaceId })
  return { ...pages, get, post, signIn, workspaceId: ownWorkspace }
}

function sessionCookie (response: Response): string {
  const cookie = response.cookies.find(({ name }) => name === '__Host-navis-session')
  return `__Host-navis-session=${cookie?.value ?? ''}`
}

function formTokenIn (page: string): string {
  return /name="form_token" value="([^"]+)"/.exec(page)![1]!
}

function createFields (page: string, name: string): Record<string, string> {
  return { form_token: formTokenIn(page), form_id: /name="form_id" value="([^"]+)"/.exec(page)![1]!, name, scope: 'mcp:read', expiry: 'never' }
}

t.test('every page tells the browser to load nothing from elsewhere, to keep nothing and to show it in no frame', async (t) => {
  const { get, signIn } = await setup(t)
  const cookie = sessionCookie(await signIn())
  for (const url of ['/settings/sign-in', '/settings/connected-apps', '/settings/connected-apps/new', '/settings/signed-out', '/settings/nothing', '/settings/connected-apps/x/revoke']) {
    const { headers } = await get(url, { cookie })
    const policy = String(headers['content-security-policy'])
    t.match(policy, "default-src 'none'", url)
    t.match(policy, "frame-ancestors 'none'", url)
    t.notMatch(policy, /unsafe|https?:|\*/, url)
    t.match(headers, { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', 'referrer-policy': 'same-origin' }, url)
  }
})

t.test('the name, the picture and the colours of someone\'s own product stand on every page', async (t) => {
  const folder = t.testdir({ 'acme.svg': '<svg xmlns="http://www.w3.org/2000/svg"/>', 'acme.css': ':root { --brand-accent: #7a1fa2; }' })
  const { get } = await setup(t, { brand: { name: 'Acme <Cloud>', logoFile: `${folder}/acme.svg`, cssFile: `${folder}/acme.css` } })
  const { body } = await get('/settings/sign-in')
  t.match(body, '<title>Sign in · Acme &lt;Cloud&gt;</title>')
  const [, logo] = /<img class="logo" src="([^"]+)" alt="">/.exec(body)!
  t.match(await get(logo!), { statusCode: 200, headers: { 'content-type': 'image/svg+xml' } })
  const [, css] = /href="([^"]+brand\.css)"/.exec(body)!
  t.match(await get(css!), { statusCode: 200, body: /--brand-accent: #7a1fa2/, headers: { 'content-type': 'text/css; charset=utf-8' } })
  t.match((await get(/href="([^"]+settings\.css)"/.exec(body)![1]!)).body, 'var(--brand-accent,')
  await t.rejects(setup(t, { brand: { name: 'x', logoFile: '/nowhere/x.png', cssFile: undefined } }), { message: 'BRAND_LOGO_FILE names a file that cannot be read.' })
})

t.test('pages for people who are signed in lead everyone else to the sign-in', async (t) => {
  const { get, post } = await setup(t)
  const paths = ['/settings/connected-apps', '/settings/connected-apps?show=all', '/settings/connected-apps/new', '/settings/connected-apps/019ab000-0000-7000-8000-000000000001/revoke']
  for (const cookie of ['', '__Host-navis-session=', `__Host-navis-session=${'a'.repeat(43)}`]) {
    for (const path of paths) t.match(await get(path, { cookie }), { statusCode: 303, headers: { location: '/settings/sign-in' } }, path)
    for (const path of [paths[0]!, paths[3]!, '/settings/sign-out']) t.match(await post(path, {}, { cookie }), { statusCode: 303, headers: { location: '/settings/sign-in' } }, `POST ${path}`)
  }
})

t.test('a form that arrives after its session is told to have changed nothing', async (t) => {
  const { get, post, signIn, service, workspaceId } = await setup(t)
  const cookie = sessionCookie(await signIn())
  const { key } = await service.create({ workspaceId, ownerId: 'ada', actor: 'test', name: 'kept', scope: 'mcp:read' })
  const revoke = `/settings/connected-apps/${key.id}/revoke`
  const fields = { form_token: formTokenIn((await get(revoke, { cookie })).body) }
  await post('/settings/sign-out', fields, { cookie })
  const { statusCode, headers } = await post(revoke, fields, { cookie })
  t.strictSame([statusCode, headers.location], [303, '/settings/sign-in?unsent=yes'])
  t.match((await get('/settings/sign-in?unsent=yes')).body, /role="alert"[^]*no key was created, changed or revoked/)
  t.equal((await service.get({ workspaceId, keyId: key.id })).status, 'active')
  t.equal((await get(revoke, { cookie })).headers.location, '/settings/sign-in', 'a page that was only opened says nothing of forms')
  t.notMatch((await get('/settings/sign-in')).body, 'role="alert"')
})

// Reviewed: these pages have only public content.
const open = /^\/settings(\/\*|\/sign-in|\/signed-out|\/assets\/:version\/[a-z0-9.-]+)?$/

t.test('every route but the reviewed ones leads strangers to the sign-in', async (t) => {
  const routes: Array<{ method: string, url: string }> = []
  const { app } = await setup(t, { onRoute: ({ method, url }) => { routes.push(...[method].flat().map((one) => ({ method: one, url }))) } })
  t.ok(routes.length > 10)
  for (const { method, url } of routes) {
    if (open.test(url)) continue
    const answer = await app.inject({ method: method as 'GET', url: url.replace(':keyId', '019ab000-0000-7000-8000-000000000001'), headers: { ...own }, ...(method === 'POST' && { payload: '' }) })
    t.match(answer, { statusCode: 303, headers: { location: '/settings/sign-in' } }, `${method} ${url}`)
  }
})

t.test('signing in never takes up a session that the browser brought along, and ends it', async (t) => {
  const { get, post, signIn, workspaceId } = await setup(t)
  const planted = `__Host-navis-session=${'f'.repeat(43)}`
  const first = sessionCookie(await post('/settings/sign-in', { management_token: managementToken, workspace_id: workspaceId }, { cookie: planted }))
  t.not(first, planted)
  t.equal((await get('/settings/connected-apps', { cookie: planted })).statusCode, 303)
  const second = sessionCookie(await post('/settings/sign-in', { management_token: managementToken, workspace_id: workspaceId }, { cookie: first }))
  t.not(second, first)
  t.equal((await get('/settings/connected-apps', { cookie: first })).statusCode, 303)
  t.equal((await get('/settings/connected-apps', { cookie: second })).statusCode, 200)
  t.match((await signIn()).headers['set-cookie'], /^__Host-navis-session=[\w-]{43}; Max-Age=600; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
})

t.test('a token in the field for the workspace is refused, not shown again, and stored nowhere', async (t) => {
  const { signIn, database } = await setup(t, {})
  const { token } = new TokenFormat().mint()
  for (const workspace of [managementToken, token, `x.${token}`]) {
    const answer = await signIn(workspace)
    t.match(answer, { statusCode: 422, body: /The workspace field contains a token/ })
    t.notMatch(answer.body, workspace)
  }
  t.same([...await database.sql`select count(*)::int as count from navis_keys.sessions`], [{ count: 0 }])
  t.equal((await signIn('acme')).statusCode, 303)
})

t.test('signing out ends the session itself, not only the cookie', async (t) => {
  const { get, post, signIn } = await setup(t)
  const cookie = sessionCookie(await signIn())
  const page = (await get('/settings/connected-apps', { cookie })).body
  const out = await post('/settings/sign-out', { form_token: formTokenIn(page) }, { cookie })
  t.match(out, { statusCode: 303, headers: { location: '/settings/signed-out' } })
  t.match(String(out.headers['set-cookie']), '__Host-navis-session=; Max-Age=0')
  t.equal((await get('/settings/connected-apps', { cookie })).statusCode, 303)
})

t.test('a form from another site, from nowhere, or without this session\'s token does nothing', async (t) => {
  const { get, post, signIn, service, workspaceId } = await setup(t)
  const cookie = sessionCookie(await signIn())
  const { key } = await service.create({ workspaceId, actor: 'test', name: 'stays', scope: 'mcp:read' })
  const { body: page } = await get('/settings/connected-apps/new', { cookie })
  const { body: foreignPage } = await get('/settings/connected-apps/new', { cookie: sessionCookie(await signIn('other')) })
  const fields = createFields(page, 'forged')
  const forgeries = [
    { when: 'another site', headers: { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' } },
    { when: 'another port of this machine', headers: { origin: 'http://127.0.0.1:9999', 'sec-fetch-site': 'same-site' } },
    { when: 'the other scheme', headers: { origin: `https://${host}` } },
    { when: 'a sandboxed frame', headers: { origin: 'null' } },
    { when: 'an empty origin', headers: { origin: '' } },
    { when: 'an origin of ours, but a site that is not', headers: { 'sec-fetch-site': 'cross-site' } },
    { when: 'no form token', headers: {}, fields: { form_token: '' } },
    { when: 'the form token of another session', headers: {}, fields: { form_token: formTokenIn(foreignPage) } }
  ]
  for (const { when, headers, fields: other } of forgeries) {
    for (const path of ['/settings/connected-apps', `/settings/connected-apps/${key.id}/revoke`, '/settings/sign-out']) {
      t.equal((await post(path, { ...fields, ...other }, { cookie, ...headers })).statusCode, 403, `${when}: ${path}`)
    }
  }
  t.match(await service.list({ workspaceId, status: 'all', limit: 10 }), { keys: [{ name: 'stays', status: 'active' }] })
  t.equal((await get('/settings/connected-apps', { cookie })).statusCode, 200, 'and nobody was signed out')
  t.equal((await post('/settings/connected-apps', fields, { cookie })).statusCode, 201, 'the very same form from the page itself is taken')
})

t.test('the pages answer only under names of this machine until their address is configured', async (t) => {
  const { app } = await setup(t)
  for (const name of ['localhost:8080', '127.0.0.1:8080', '[::1]:8080']) t.equal((await app.inject({ url: '/settings/sign-in', headers: { host: name } })).statusCode, 200, name)
  for (const name of ['rebound.example:8080', 'localhost.evil.example', '127.0.0.1.evil.example', '192.168.1.20:8080', '127.0.0.1:8080@evil.example']) {
    t.equal((await app.inject({ url: '/settings/sign-in', headers: { host: name } })).statusCode, 403, name)
  }
})

t.test('wrong management tokens are told apart from right ones only ten times a minute', async (t) => {
  const { post, signIn } = await setup(t, {})
  const wrong = async () => await post('/settings/sign-in', { management_token: managementToken.slice(1), workspace_id: 'acme' })
  for (let i = 0; i < 10; i++) t.equal((await wrong()).statusCode, 401)
  const blocked = await wrong()
  t.equal(blocked.statusCode, 429)
  t.ok(Number(blocked.headers['retry-after']) >= 1)
  t.equal((await signIn()).statusCode, 303, 'the right one is not locked out')
  t.equal((await wrong()).statusCode, 429, 'and gives wrong ones no new budget')
  t.notMatch(blocked.body, managementToken.slice(1), 'what was typed is not shown again')
})

t.test('one form makes one key, and its token is in one answer', async (t) => {
  const { get, post, signIn, service, workspaceId } = await setup(t)
  const cookie = sessionCookie(await signIn())
  const fields = { ...createFields((await get('/settings/connected-apps/new', { cookie })).body, 'CI pipeline'), expiry: '7' }
  const [first, second] = await Promise.all([post('/settings/connected-apps', fields, { cookie }), post('/settings/connected-apps', fields, { cookie })])
  const third = await post('/settings/connected-apps', fields, { cookie })
  t.same([first.statusCode, second.statusCode].sort(), [201, 409])
  t.equal(third.statusCode, 409)
  const holding = [first, second, third].filter(({ body }) => /nops_[0-9A-Za-z]{38}/.test(body))
  t.equal(holding.length, 1)
  t.equal(holding[0]!.headers['cache-control'], 'no-store')
  t.equal((await service.list({ workspaceId, status: 'all', limit: 10 })).keys.length, 1)
})

const wrongForms: ReadonlyArray<{ when: string, fields: Record<string, string>, says: string }> = [
  { when: 'no name', fields: { name: '   ' }, says: 'Enter a name for the key.' },
  { when: 'a name of 101 characters', fields: { name: 'x'.repeat(101) }, says: 'The name must be 1 to 100 characters' },
  { when: 'a name with a newline', fields: { name: 'a\nb' }, says: 'The name must be' },
  { when: 'no scope', fields: { scope: '' }, says: 'Choose what the key may do.' },
  { when: 'a scope of another world', fields: { scope: 'admin' }, says: 'Choose what the key may do.' },
  { when: 'no expiry', fields: { expiry: '' }, says: 'Choose when the key expires.' },
  { when: 'a past day', fields: { expiry: 'date', expiry_date: '2020-01-01' }, says: 'Choose today or a later day.' },
  { when: 'a day that is none', fields: { expiry: 'date', expiry_date: '2999-02-31' }, says: 'Choose today or a later day.' },
  { when: 'no day', fields: { expiry: 'date', expiry_date: '' }, says: 'Choose today or a later day.' }
]

t.test('a form with something wrong in it is shown again and says what', async (t) => {
  const { get, post, signIn, service, workspaceId } = await setup(t)
  const cookie = sessionCookie(await signIn())
  const fields = createFields((await get('/settings/connected-apps/new', { cookie })).body, 'CI pipeline')
  for (const { when, fields: wrong, says } of wrongForms) {
    const answer = await post('/settings/connected-apps', { ...fields, ...wrong }, { cookie })
    t.equal(answer.statusCode, 422, when)
    t.match(answer.body, says, when)
  }
  t.same((await service.list({ workspaceId, status: 'all', limit: 10 })).keys, [])
})

t.test('the form offers what the policy of the workspace allows, and nothing else is taken', async (t) => {
  const { get, post, signIn, service, store, workspaceId } = await setup(t)
  await store.setPolicy({ workspaceId, actor: 'test', policy: { maxLifetimeDays: 20, defaultLifetimeDays: 14, unusedDays: null } })
  const cookie = sessionCookie(await signIn())
  const { body } = await get('/settings/connected-apps/new', { cookie })
  t.match(body, 'live for 20 days at most')
  t.match(body, 'value="14" checked')
  const fields = createFields(body, 'CI pipeline')
  for (const expiry of ['never', '90']) t.match(await post('/settings/connected-apps', { ...fields, expiry }, { cookie }), { statusCode: 422, body: /Choose when the key expires/ }, expiry)
  t.match(await post('/settings/connected-apps', { ...fields, expiry: 'date', expiry_date: '2999-12-31' }, { cookie }), { statusCode: 422, body: /at the latest: the policy allows no later one/ })
  t.equal((await post('/settings/connected-apps', { ...fields, expiry: '14' }, { cookie })).statusCode, 201)
  const { keys: [key] } = await service.list({ workspaceId, status: 'all', limit: 1 })
  t.equal(Math.round((key!.expiresAt! - key!.createdAt) / 86_400_000), 14)
})

t.test('a key\'s page renames it, moves and removes its expiration, rotates it once, and tells its history', async (t) => {
  const { get, post, signIn, service, workspaceId } = await setup(t)
  const cookie = sessionCookie(await signIn())
  const { key } = await service.create({ workspaceId, ownerId: 'ada', actor: 'test', name: 'before', scope: 'mcp:read' })
  const own = `/settings/connected-apps/${key.id}`
  const fields = { form_token: formTokenIn((await get(own, { cookie })).body), name: 'after', expiry: '30' }
  const now = async () => await service.get({ workspaceId, keyId: key.id })

  t.match(await post(own, fields, { cookie }), { statusCode: 303, headers: { location: `${own}?saved=yes` } })
  t.match(await now(), { name: 'after' })
  t.equal(Math.round(((await now()).expiresAt! - Date.now()) / 86_400_000), 30)
  await post(own, { ...fields, name: 'kept', expiry: 'keep' }, { cookie })
  t.match(await now(), { name: 'kept', expiresAt: Number })
  await post(own, { ...fields, expiry: 'never' }, { cookie })
  t.match(await now(), { name: 'after', expiresAt: null })
  for (const wrong of [{ name: ' ' }, { name: 'x'.repeat(101) }, { expiry: '' }, { expiry: 'date', expiry_date: '2020-01-01' }]) {
    t.match(await post(own, { ...fields, ...wrong }, { cookie }), { statusCode: 422, body: /The key was not changed/ }, JSON.stringify(wrong))
  }
  t.match(await now(), { name: 'after', expiresAt: null })

  const { body: question } = await get(`${own}/rotate`, { cookie })
  t.match(question, `<dt>Current token</dt><dd><code>nops_${key.hint}</code></dd>`)
  t.match(question, /<dt>Last used<\/dt><dd>Never<\/dd>[\s\S]*<dt>Expires<\/dt><dd>Never\. The rotation does not change this\./)
  const rotation = { form_token: formTokenIn(question), form_id: /name="form_id" value="([^"]+)"/.exec(question)![1]!, grace: '3600', starts: 'first_use' }
  t.equal((await post(`${own}/rotate`, { ...rotation, grace: '5' }, { cookie })).statusCode, 422)
  t.equal((await post(`${own}/rotate`, { ...rotation, form_token: '' }, { cookie })).statusCode, 403)
  t.equal((await now()).rotatedAt, null)
  const rotated = await post(`${own}/rotate`, rotation, { cookie })
  t.match(rotated, { statusCode: 200, body: /nops_[0-9A-Za-z]{38}[\s\S]*/, headers: { 'cache-control': 'no-store' } })
  t.match(rotated.body, '1 hour after the first use of the new one, and at the latest')
  t.match(await now(), { previousToken: { hint: key.hint, graceSeconds: 3600 } })
  const { body: waiting } = await get(own, { cookie })
  t.match(waiting, 'Waiting for the first use of the new token…')
  t.match(waiting, /<dt>Previous token<\/dt>.*ends 1 hour after the first use of the new one, and at the latest/)
  const again = await post(`${own}/rotate`, rotation, { cookie })
  t.match(again, { statusCode: 409, body: /This key was already rotated/ })
  t.notMatch(again.body, /nops_[0-9A-Za-z]{38}/)

  const { body } = await get(own, { cookie })
  t.same(Array.from(body.matchAll(/<li><strong>(\w+)</g), ([, action]) => action), ['Rotated', 'Changed', 'Changed', 'Changed', 'Created'])
  t.notMatch(body, /nops_[0-9A-Za-z]{38}/)
  const stranger = sessionCookie(await signIn('other'))
  const theirs = { ...rotation, ...fields, form_token: formTokenIn((await get('/settings/connected-apps', { cookie: stranger })).body) }
  for (const path of [own, `${own}/rotate`]) {
    t.equal((await get(path, { cookie: stranger })).statusCode, 404, path)
    t.equal((await post(path, theirs, { cookie: stranger })).statusCode, 404, `POST ${path}`)
  }
  await service.revoke({ workspaceId, keyId: key.id, actor: 'test', reason: 'left' })
  t.match(await get(own, { cookie }), { statusCode: 200, body: /<bdi>left<\/bdi>/ })
  t.equal((await post(own, fields, { cookie })).statusCode, 409)
  for (const query of ['', '?again=yes']) t.match(await get(`${own}/rotate${query}`, { cookie }), { statusCode: 303, headers: { location: own } }, 'an ended key is not offered a rotation')
  t.equal((await post(`${own}/rotate`, { ...rotation, form_id: '7dcd2034-9217-4b50-8e5c-7fa201e89ce6' }, { cookie })).statusCode, 409)
})

t.test('limits are set when a key is made, changed on its page, and only what a person has changed is changed', async (t) => {
  const { get, post, signIn, service, workspaceId } = await setup(t)
  const cookie = sessionCookie(await signIn())
  const fields = createFields((await get('/settings/connected-apps/new', { cookie })).body, 'limited')
  for (const wrong of [{ addresses: 'home' }, { addresses: '192.0.2.1/24' }, { rate_requests: '1.5' }, { rate_requests: '0' }, { rate_requests: '2000000', rate_window: '60' }, { rate_requests: '5', rate_window: '99999' }]) {
    const answer = await post('/settings/connected-apps', { ...fields, ...wrong }, { cookie })
    t.match(answer, { statusCode: 422, body: /The key was not created/ }, JSON.stringify(wrong))
    t.match(answer.body, /<details class="field limits" open>/)
  }
  t.equal((await service.list({ workspaceId, status: 'all', limit: 1 })).keys.length, 0)
  t.equal((await post('/settings/connected-apps', { ...fields, addresses: ' 192.0.2.7, 2001:db8::/32\r\n', rate_requests: '600', rate_window: '3600' }, { cookie })).statusCode, 201)
  const { keys: [made] } = await service.list({ workspaceId, status: 'all', limit: 1 })
  t.match(made, { allowedCidrs: ['192.0.2.7/32', '2001:db8::/32'], rateLimit: { requests: 600, windowSeconds: 3600 } })

  const own = `/settings/connected-apps/${made!.id}`
  const { body } = await get(own, { cookie })
  t.match(body, /600 requests per hour/)
  const shown = { form_token: formTokenIn(body), name: 'limited', expiry: 'keep', addresses: '192.0.2.7/32\r\n2001:db8::/32', was_addresses: '192.0.2.7/32 2001:db8::/32', rate_requests: '600', rate_window: '3600', was_rate: '600/3600', was_name: 'limited' }
  t.match(body, 'name="was_name" value="limited"')
  t.equal((await post(own, shown, { cookie })).statusCode, 303, 'nothing was changed')
  t.match(body, `name="was_addresses" value="${shown.was_addresses}"`)
  t.match(body, 'name="was_rate" value="600/3600"')
  // Meanwhile someone else changes a field that this form does not change.
  await service.update({ workspaceId, keyId: made!.id, actor: 'test', name: 'renamed', rateLimit: { requests: 1, windowSeconds: 1 } })
  t.equal((await post(own, { ...shown, addresses: '' }, { cookie })).statusCode, 303)
  t.match(await service.get({ workspaceId, keyId: made!.id }), { name: 'renamed', allowedCidrs: null, rateLimit: { requests: 1, windowSeconds: 1 } })
  t.equal((await post(own, { ...shown, rate_requests: '' }, { cookie })).statusCode, 303)
  t.match(await service.get({ workspaceId, keyId: made!.id }), { allowedCidrs: null, rateLimit: null })
  t.match(await post(own, { ...shown, addresses: 'home' }, { cookie }), { statusCode: 422, body: /Address 1 must be an address/ })
})

t.test('what a policy allows is shown before it is broken', async (t) => {
  const { get, post, signIn, store, workspaceId } = await setup(t)
  await store.setPolicy({ workspaceId, actor: 'test', policy: { maxLifetimeDays: 45, defaultLifetimeDays: 30, unusedDays: null } })
  const cookie = sessionCookie(await signIn())
  const { body } = await get('/settings/connected-apps/new', { cookie })
  const lastDay = new Date(Date.now() + 44 * 86_400_000).toISOString().slice(0, 10)
  t.match(body, `max="${lastDay}"`)
  t.match(body, 'live for 45 days at most')
  t.match(body, /value="30" checked/)
  t.notMatch(body, 'No expiration')
  const fields = createFields(body, 'until')
  t.equal((await post('/settings/connected-apps', { ...fields, expiry: 'date', expiry_date: lastDay }, { cookie })).statusCode, 201, 'the last day is allowed')
  const tooLate = await post('/settings/connected-apps', { ...createFields((await get('/settings/connected-apps/new', { cookie })).body, 'beyond'), expiry: 'date', expiry_date: '2999-01-01' }, { cookie })
  t.equal(tooLate.statusCode, 422)
})

t.test('on the page of a key the last day is what the policy leaves it, counted from the making of its newest token', async (t) => {
  const { get, post, signIn, service, store, database, workspaceId } = await setup(t)
  const { key } = await service.create({ workspaceId, actor: 'test', name: 'old', scope: 'mcp:read', expiresAt: null })
  await database.sql`update navis_keys.keys set created_at = created_at - interval '20 days'`
  await store.setPolicy({ workspaceId, actor: 'test', policy: { maxLifetimeDays: 45, defaultLifetimeDays: null, unusedDays: null } })
  const cookie = sessionCookie(await signIn())
  const page = `/settings/connected-apps/${key.id}`
  const { body } = await get(page, { cookie })
  const day = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10)
  t.match(body, `max="${day(24)}"`)
  t.match(body, '7 days from now')
  t.notMatch(body, '30 days from now')
  const fields = { form_token: formTokenIn(body), name: 'old', expiry: 'date' }
  t.match(await post(page, { ...fields, expiry_date: day(25) }, { cookie }), { statusCode: 422, body: new RegExp(`${exactDay(Date.parse(day(24)))} at the latest`) })
  t.equal((await service.get({ workspaceId, keyId: key.id })).expiresAt, null)
  t.match(await post(page, { ...fields, expiry_date: day(24) }, { cookie }), { statusCode: 303, headers: { location: /saved=yes/ } })
  await database.sql`update navis_keys.keys set created_at = created_at - interval '30 days'`
  const { body: late } = await get(page, { cookie })
  t.same(Array.from(late.matchAll(/name="expiry" value="(\w+)"/g), ([, value]) => value), ['keep'], 'nothing that would be refused is offered')
  t.match(late, /rotate the key first/)
})

t.test('what is wrong in a form is shown under an address, which holds no token, no secret and nothing of the session', async (t) => {
  const { app, get, signIn } = await setup(t)
  const cookie = sessionCookie(await signIn())
  const fields = createFields((await get('/settings/connected-apps/new', { cookie })).body, 'CI pipeline')
  const send = async (wrong: Record<string, string>) => await app.inject({ method: 'POST', url: '/settings/connected-apps', headers: { ...own, cookie }, payload: new URLSearchParams({ ...fields, ...wrong }).toString() })
  const { statusCode, headers: { location = '' } } = await send({ addresses: '192.0.2.1/24 192.0.2.7', expiry: '30' })
  t.equal(statusCode, 303)
  t.same(Object.fromEntries(new URL(location, 'http://x').searchParams), { name: 'CI pipeline', scope: 'mcp:read', expiry: '30', addresses: '192.0.2.1/24 192.0.2.7', again: 'yes' })
  const shown = await get(location, { cookie })
  t.match(shown, { statusCode: 422, body: /Address 1 has bits set beyond its length|Address 1/ })
  t.match(shown.body, /value="CI pipeline"/)
  const { token } = new TokenFormat().mint()
  for (const wrong of [{ name: token }, { name: '', addresses: token }, { addresses: 'x '.repeat(5000) }]) t.match(await send(wrong), { statusCode: 422, headers: { location: undefined } })
  t.equal((await get('/settings/connected-apps/new?again=yes')).statusCode, 303, 'strangers are led to the sign-in')
})

t.test('an admin sees who has keys, is told with numbers what will be revoked, and takes it all away', async (t) => {
  const { get, post, signIn, service, database, workspaceId } = await setup(t)
  const create = async (ownerId: string, name: string, expiresAt: number | null = null) => (await service.create({ workspaceId, ownerId, actor: 'test', name, scope: 'mcp:read', expiresAt })).key
  const leaving = [await create('grace', 'one'), await create('grace', 'two'), await create('grace', 'over', Date.now() + 86_400_000)]
  await create('grace', 'gone').then(async ({ id }) => { await service.revoke({ workspaceId, keyId: id, actor: 'test' }) })
  await service.create({ workspaceId: 'elsewhere', ownerId: 'grace', actor: 'test', name: 'elsewhere', scope: 'mcp:read' })
  const staying = await create('ada', 'stays')
  await database.sql`update navis_keys.keys set expires_at = clock_timestamp() - interval '1 second' where id = ${leaving[2]!.id}`
  await database.sql`update navis_keys.key_usage set last_used_at = clock_timestamp() where key_id = ${leaving[0]!.id}`
  const cookie = sessionCookie(await signIn())
  const people = '/settings/connected-apps/people'

  const { body: list } = await get(people, { cookie })
  const rows = Array.from(list.matchAll(/<bdi>(ada|grace)<\/bdi>[\s\S]*?<span>(\d+)<\/span>[\s\S]*?(?:>(\d+)<span class="sr-only"> never|faint">(\d))/g), ([, owner, active, never, none]) => [owner, active, never ?? none])
  t.same(rows, [['ada', '1', '1'], ['grace', '2', '1']])
  const { body: question } = await get(`${people}/revoke?owner=grace`, { cookie })
  const facts = Array.from(question.matchAll(/<dt>(.*?)<\/dt><dd>(?:<strong>)?([^<]*)/g), ([, label, value]) => `${label}: ${value}`)
  t.same(facts.slice(0, 4), ['Will be revoked: 3 keys', 'Active: 2', 'Used in the last 7 days: 1', 'Never used: 1'])
  const fields = { form_token: formTokenIn(question), owner: 'grace' }
  t.equal((await post(`${people}/revoke`, { ...fields, form_token: '' }, { cookie })).statusCode, 403)
  t.equal((await post(`${people}/revoke`, { ...fields, owner: '' }, { cookie })).statusCode, 400, 'never everyone, by leaving the owner out')
  const done = `${people}/revoke?owner=grace&revoked=3`
  t.match((await get(done, { cookie })).body, /Revoke all keys of <bdi>grace<\/bdi>\?/, 'an address claims nothing that is not true')
  t.match(await post(`${people}/revoke`, fields, { cookie }), { statusCode: 303, headers: { location: done } })
  t.match((await get(done, { cookie })).body, /3 keys of <bdi>grace<\/bdi> are revoked/)
  for (const { id } of leaving) t.equal((await service.get({ workspaceId, keyId: id })).status, 'revoked')
  t.equal((await service.get({ workspaceId, keyId: staying.id })).status, 'active')
  t.equal((await service.list({ workspaceId: 'elsewhere', status: 'active', limit: 2 })).keys.length, 1)
  t.match((await get(`${people}/revoke?owner=grace`, { cookie })).body, /has no keys/)
})

t.test('people are shown page by page', async (t) => {
  const { get, signIn, database } = await setup(t, {})
  await database.sql`insert into navis_keys.keys (id, workspace_id, owner_id, name, scope, created_by) select gen_random_uuid(), 'acme', 'owner-' || lpad(n::text, 2, '0'), 'key', 'mcp:read', 'test' from generate_series(1, 45) n`
  const cookie = sessionCookie(await signIn())
  const seen: string[] = []
  let next: string | undefined = '/settings/connected-apps/people'
  while (next !== undefined) {
    const { body }: Response = await get(next, { cookie })
    seen.push(...Array.from(body.matchAll(/<bdi>(owner-\d\d)<\/bdi>/g), ([, owner]) => owner!))
    next = linkIn(body, 'next')
  }
  t.same(seen, Array.from({ length: 45 }, (_, i) => `owner-${String(i + 1).padStart(2, '0')}`))
})

t.test('people are searched by a part of their id, a long list in parts', async (t) => {
  const { get, signIn, database } = await setup(t, {})
  await database.sql`insert into navis_keys.keys (id, workspace_id, owner_id, name, scope, created_by)
    select gen_random_uuid(), 'acme', case n when 5003 then 'zed|Grace' else 'owner-' || lpad(n::text, 5, '0') end, 'key', 'mcp:read', 'test' from generate_series(1, 5003) n`
  const cookie = sessionCookie(await signIn())
  const people = '/settings/connected-apps/people'
  const found = (body: string) => Array.from(body.matchAll(/<th role="rowheader"[\s\S]*?<bdi>([^<]+)<\/bdi>/g), ([, owner]) => owner!)
  const { body: some } = await get(`${people}?q=ER-0123`, { cookie })
  t.same(found(some), Array.from({ length: 10 }, (_, i) => `owner-0123${i}`))
  const { body: none } = await get(`${people}?q=grace`, { cookie })
  t.match(none, /None in this part of the list/)
  const { body: last } = await get(linkIn(none, 'next')!, { cookie })
  t.same(found(last), ['zed|Grace'])
  t.equal(linkIn(last, 'next'), undefined)
  t.match((await get(`${people}?q=nobody&after=owner-05000`, { cookie })).body, /No such people/)
})

t.test('the policy is changed by its page, which says how many keys it will shorten before it does', async (t) => {
  const { get, post, signIn, service, store, workspaceId } = await setup(t)
  const { key } = await service.create({ workspaceId, actor: 'test', name: 'endless', scope: 'mcp:read', expiresAt: null })
  const cookie = sessionCookie(await signIn())
  const policy = '/settings/connected-apps/policy'
  const fields = { form_token: formTokenIn((await get(policy, { cookie })).body), maxLifetimeDays: '30', defaultLifetimeDays: '', unusedDays: '60', apply: 'all' }
  const expiry = async () => (await service.get({ workspaceId, keyId: key.id })).expiresAt
  for (const wrong of [{ maxLifetimeDays: 'x', apply: 'new' }, { unusedDays: '0', apply: 'new' }, { maxLifetimeDays: '0' }, { defaultLifetimeDays: '31', apply: 'new' }]) {
    t.match(await post(policy, { ...fields, ...wrong }, { cookie }), { statusCode: 422, body: /The policy was not changed/ }, JSON.stringify(wrong))
  }
  const { body: question } = await post(policy, fields, { cookie })
  t.match(question, /1 key will be shortened/)
  t.match(question, /name="confirmed" value="30 {2}60 all"/)
  t.equal(await expiry(), null)
  t.match((await post(policy, { ...fields, maxLifetimeDays: '10', confirmed: '30  60 all' }, { cookie })).body, /1 key will be shortened/, 'what was confirmed was another policy')
  t.equal(await expiry(), null)
  t.match(await post(policy, { ...fields, confirmed: '30  60 all' }, { cookie }), { statusCode: 303, headers: { location: `${policy}?saved=1` } })
  t.match(await store.policy(workspaceId), { maxLifetimeDays: 30, defaultLifetimeDays: null, unusedDays: 60 })
  t.equal(Math.round((await expiry() ?? 0) - key.createdAt), 30 * 86_400_000)
  t.match((await get('/settings/connected-apps?show=unused', { cookie })).body, /unused for 60 days/)
})

t.test('a policy for unused keys says how many it will revoke before it is saved', async (t) => {
  const { get, post, signIn, service, store, database, workspaceId } = await setup(t)
  for (const name of ['one', 'two', 'used']) await service.create({ workspaceId, actor: 'test', name, scope: 'mcp:read' })
  await service.create({ workspaceId: 'other', actor: 'test', name: 'elsewhere', scope: 'mcp:read' })
  await database.sql`update navis_keys.keys set created_at = clock_timestamp() - interval '40 days'`
  await database.sql`update navis_keys.key_usage set last_used_at = clock_timestamp() from navis_keys.keys where keys.id = key_usage.key_id and keys.name = 'used'`
  const cookie = sessionCookie(await signIn())
  const policy = '/settings/connected-apps/policy'
  const fields = { form_token: formTokenIn((await get(policy, { cookie })).body), maxLifetimeDays: '', defaultLifetimeDays: '', unusedDays: '30', apply: 'new' }
  t.match((await post(policy, fields, { cookie })).body, /2 keys were not used for 30 days\. Each of them is announced by an event, and revoked 7 days later/)
  t.match(await store.policy(workspaceId), { unusedDays: null })
  t.match(await post(policy, { ...fields, confirmed: '  30 new' }, { cookie }), { statusCode: 303, headers: { location: `${policy}?saved=new` } })
  t.match(await store.policy(workspaceId), { unusedDays: 30 })
  t.equal((await post(policy, { ...fields, unusedDays: '35' }, { cookie })).statusCode, 303, 'a wider rule revokes no more, and is not asked about')
})

t.test('the question before a rotation says what the policy makes of the expiration', async (t) => {
  const { get, signIn, service, store, workspaceId } = await setup(t)
  const { key } = await service.create({ workspaceId, actor: 'test', name: 'endless', scope: 'mcp:read', expiresAt: null })
  await store.setPolicy({ workspaceId, actor: 'test', policy: { maxLifetimeDays: 45, defaultLifetimeDays: null, unusedDays: null } })
  const { body } = await get(`/settings/connected-apps/${key.id}/rotate`, { cookie: sessionCookie(await signIn()) })
  t.match(body, /<dt>Expires<\/dt><dd>.*in 45 days.* after this rotation: the policy allows 45 days/)
})

t.test('the page of a key waits for a first use only while the key is new', async (t) => {
  const { get, signIn, service, database, workspaceId } = await setup(t)
  const { key } = await service.create({ workspaceId, actor: 'test', name: 'key', scope: 'mcp:read' })
  const cookie = sessionCookie(await signIn())
  const waits = async () => /data-first-use/.test((await get(`/settings/connected-apps/${key.id}`, { cookie })).body)
  t.equal(await waits(), true)
  await database.sql`update navis_keys.keys set created_at = clock_timestamp() - interval '25 hours'`
  t.equal(await waits(), false, 'a day later')
  await database.sql`update navis_keys.key_usage set last_used_at = clock_timestamp() - interval '1 hour'`
  await service.rotate({ workspaceId, keyId: key.id, actor: 'test', graceSeconds: 0, graceStarts: 'now' })
  t.equal(await waits(), true, 'the use was one of the former token')
  await database.sql`update navis_keys.key_usage set last_used_at = clock_timestamp() + interval '1 second'`
  t.equal(await waits(), false)
})

t.test('the audit is filtered, read on, and saved as a file for a spreadsheet', async (t) => {
  const { get, signIn, service, workspaceId } = await setup(t)
  for (let i = 0; i < 60; i++) await service.create({ workspaceId, actor: i % 2 === 0 ? 'even' : '=odd', name: `key ${i}`, scope: 'mcp:read' })
  const cookie = sessionCookie(await signIn())
  const audit = '/settings/connected-apps/audit'
  const { body } = await get(`${audit}?actor=even`, { cookie })
  t.equal([...body.matchAll(/<strong>Created<\/strong> by/g)].length, 30)
  t.notMatch(body, '=odd')
  const { body: newest } = await get(audit, { cookie })
  t.equal([...newest.matchAll(/<strong>Created/g)].length, 50)
  t.equal([...(await get(linkIn(newest, 'next')!, { cookie })).body.matchAll(/<strong>Created/g)].length, 10)
  t.match((await get(`${audit}?from=2020-01-01&to=2020-01-31`, { cookie })).body, /No entries/)
  const csv = await get(`${audit}.csv?actor=%3Dodd`, { cookie })
  t.match(csv.headers, { 'content-type': 'text/csv; charset=utf-8', 'content-disposition': 'attachment; filename="audit.csv"' })
  const lines = csv.body.trim().split('\n')
  t.equal(lines.length, 31)
  t.match(lines[1], /^\d{4}-\d\d-\d\dT[^,]*,'=odd,key.created,/, 'no spreadsheet takes it for a formula')
})

t.test('for people who are no admins, what admins have is not there', async (t) => {
  const { app, get, database, workspaceId } = await setup(t)
  const secret = 's'.repeat(43)
  await database.sql`insert into navis_keys.sessions (digest, workspace_id, owner_id, person_name, actor, admin, ends_at) values (sha256(${secret}::bytea), ${workspaceId}, 'ada', 'Ada', 'user:ada', false, clock_timestamp() + interval '1 hour')`
  const cookie = `__Host-navis-session=${secret}`
  const { body } = await get('/settings/connected-apps', { cookie })
  t.notMatch(body, /For admins|name="owner"/)
  for (const path of ['people', 'people/revoke?owner=ada', 'policy', 'audit', 'audit.csv']) t.equal((await get(`/settings/connected-apps/${path}`, { cookie })).statusCode, 404, path)
  for (const path of ['people/revoke', 'policy']) {
    const answer = await app.inject({ method: 'POST', url: `/settings/connected-apps/${path}`, headers: { ...own, cookie }, payload: new URLSearchParams({ form_token: formTokenIn(body), owner: 'ada', maxLifetimeDays: '1', apply: 'all' }).toString() })
    t.equal(answer.statusCode, 404, path)
  }
})

t.test('a token pasted as a name is refused and not shown again', async (t) => {
  const { get, post, signIn, service, workspaceId } = await setup(t)
  const cookie = sessionCookie(await signIn())
  const { token } = await service.create({ workspaceId, actor: 'test', name: 'real', scope: 'mcp:read' })
  const answer = await post('/settings/connected-apps', createFields((await get('/settings/connected-apps/new', { cookie })).body, `my ${token}`), { cookie })
  t.equal(answer.statusCode, 422)
  t.notMatch(answer.body, token)
})

t.test('a day is the last one: the key works until it ends', async (t) => {
  const { get, post, signIn, service, workspaceId } = await setup(t)
  const cookie = sessionCookie(await signIn())
  const fields = createFields((await get('/settings/connected-apps/new', { cookie })).body, 'until')
  t.equal((await post('/settings/connected-apps', { ...fields, expiry: 'date', expiry_date: '2999-12-31' }, { cookie })).statusCode, 201)
  const { keys: [key] } = await service.list({ workspaceId, status: 'all', limit: 1 })
  t.equal(new Date(key!.expiresAt!).toISOString(), '3000-01-01T00:00:00.000Z')
})

t.test('another workspace\'s keys are neither seen nor revocable, and look like none', async (t) => {
  const { get, post, signIn, service } = await setup(t)
  const { key } = await service.create({ workspaceId: 'other', actor: 'test', name: 'theirs', scope: 'mcp:read' })
  const cookie = sessionCookie(await signIn())
  const { body } = await get('/settings/connected-apps?show=all', { cookie })
  t.notMatch(body, 'theirs')
  const theirs = await get(`/settings/connected-apps/${key.id}/revoke`, { cookie })
  const none = await get('/settings/connected-apps/019ab000-0000-7000-8000-000000000001/revoke', { cookie })
  t.equal(theirs.statusCode, 404)
  t.equal(theirs.body, none.body)
  t.equal((await post(`/settings/connected-apps/${key.id}/revoke`, { form_token: formTokenIn(body) }, { cookie })).statusCode, 404)
  t.notMatch((await get(`/settings/connected-apps?revoked=${key.id}`, { cookie })).body, 'theirs')
  t.match(await service.get({ workspaceId: 'other', keyId: key.id }), { status: 'active' })
})

t.test('bodies of other kinds, too large ones and broken addresses get a page that tells nothing of the inside', async (t) => {
  const { app, signIn } = await setup(t)
  const cookie = sessionCookie(await signIn())
  const send = async (payload: string, type: string) => await app.inject({ method: 'POST', url: '/settings/connected-apps', headers: { ...own, cookie, 'content-type': type }, payload })
  t.match(await send('{"name":"x"}', 'application/json'), { statusCode: 415 })
  t.match(await send('name=' + 'x'.repeat(20_000), 'application/x-www-form-urlencoded'), { statusCode: 413 })
  for (const url of ['/settings/connected-apps?cursor=broken', '/settings/connected-apps?cursor=a&cursor=b', '/settings/connected-apps?show=all&show=active', '/settings/connected-apps/%00/revoke']) {
    const answer = await app.inject({ url, headers: { host, cookie } })
    t.ok(answer.statusCode < 500, `${url}: ${answer.statusCode}`)
    t.notMatch(answer.body, /at .*\.ts|node_modules|Error:/)
  }
})

const namesIn = (body: string): string[] => Array.from(body.matchAll(/<a href="[^"]+"><bdi>(key \d\d)<\/bdi>/g), ([, name]) => name!)
const linkIn = (body: string, rel: 'next' | 'prev'): string | undefined => new RegExp(`rel="${rel}" href="([^"]+)"`).exec(body)?.[1]?.replaceAll('&amp;', '&')

t.test('the list goes from page to page and back in every order, shows each key once, and says how many there are', async (t) => {
  const { get, signIn, service, database } = await setup(t, {})
  const numbers = Array.from({ length: 45 }, (_, i) => i + 1)
  const nameOf = (number: number) => `key ${String(number).padStart(2, '0')}`
  for (const number of numbers) {
    // By name, by making and by expiry are three different orders; every third key never expires.
    await service.create({ workspaceId: 'acme', actor: 'test', name: nameOf(number * 7 % 46), scope: 'mcp:read', expiresAt: number % 3 === 0 ? null : Date.now() + (1000 - number) * 86_400_000 })
  }
  const cookie = sessionCookie(await signIn())
  const made = numbers.map((number) => nameOf(number * 7 % 46))
  const expiring = [...numbers.filter((number) => number % 3 !== 0)].reverse().map((number) => nameOf(number * 7 % 46))
  // Key 01 was used last, key 30 the first; the others never.
  await database.sql`update navis_keys.key_usage set last_used_at = clock_timestamp() - right(keys.name, 2)::int * interval '1 hour' from navis_keys.keys where keys.id = key_usage.key_id and right(keys.name, 2)::int <= 30`
  const used = numbers.slice(0, 30).map(nameOf)
  const orders = [
    { sort: 'newest', says: [...made].reverse() },
    { sort: 'oldest', says: made },
    { sort: 'name', says: numbers.map(nameOf) },
    { sort: 'expiry', says: expiring },
    { sort: 'used', says: used },
    { sort: 'idle', from: 15, says: [...used].reverse() }
  ]
  for (const { sort, says, from = 0 } of orders) {
    const pages: string[][] = []
    let [next, last]: Array<string | undefined> = [`/settings/connected-apps?sort=${sort}`]
    while (next !== undefined) {
      const { body }: Response = await get(next, { cookie })
      t.match(body, '<p class="count">45 keys')
      pages.push(namesIn(body))
      last = linkIn(body, 'prev')
      next = linkIn(body, 'next')
    }
    t.same(pages.map(({ length }) => length), [20, 20, 5], sort)
    t.same(pages.flat().slice(from, from + says.length), says, sort)
    t.equal(new Set(pages.flat()).size, 45, sort)
    const back: string[][] = []
    while (last !== undefined) {
      const { body }: Response = await get(last, { cookie })
      back.unshift(namesIn(body))
      t.ok(linkIn(body, 'next'), 'and on again')
      last = linkIn(body, 'prev')
    }
    t.same(back, pages.slice(0, 2), `${sort}, back`)
  }
})

t.test('the list is searched and filtered, and what is asked for stays from link to link', async (t) => {
  const { get, signIn, service, database, workspaceId } = await setup(t)
  const create = async (name: string, fields: object = {}) => (await service.create({ workspaceId, ownerId: 'ada', actor: 'test', name, scope: 'mcp:read', ...fields })).key
  await create('key 01', { expiresAt: Date.now() + 3 * 86_400_000 })
  await create('key 02', { expiresAt: Date.now() + 30 * 86_400_000 })
  await create('key 03', { ownerId: 'grace' })
  const old = await create('key 04')
  const used = await create('key 05')
  const ended = await create('key 06')
  const gone = await create('key 07')
  await database.sql`update navis_keys.keys set created_at = clock_timestamp() - interval '91 days' where id in (${old.id}, ${used.id})`
  await database.sql`update navis_keys.key_usage set last_used_at = clock_timestamp() where key_id = ${used.id}`
  await database.sql`update navis_keys.keys set expires_at = clock_timestamp() - interval '1 second' where id = ${ended.id}`
  await service.revoke({ workspaceId, keyId: gone.id, actor: 'test' })
  const cookie = sessionCookie(await signIn())
  const asked = async (query: string) => namesIn((await get(`/settings/connected-apps?${query}`, { cookie })).body).map((name) => name.slice(-1)).sort().join('')
  const cases = [
    { query: '', shows: '12345' },
    { query: 'show=expiring', shows: '1' },
    { query: 'show=unused', shows: '4' },
    { query: 'show=never', shows: '1234' },
    { query: 'show=expired', shows: '6' },
    { query: 'show=revoked', shows: '7' },
    { query: 'show=all', shows: '1234567' },
    { query: 'owner=grace', shows: '3' },
    { query: 'q=EY+0', shows: '12345' },
    { query: 'q=5', shows: '5' },
    { query: 'q=03&owner=ada', shows: '' },
    { query: 'q=%25', shows: '' },
    { query: 'q=%00', shows: '12345' },
    { query: 'q=a&q=b&show=toString&sort=constructor', shows: '12345' }
  ]
  for (const { query, shows } of cases) t.equal(await asked(query), shows, query)
  const { body } = await get('/settings/connected-apps?q=key&owner=ada&show=all&sort=name', { cookie })
  t.match(body, /href="\/settings\/connected-apps\?q=key&amp;owner=ada&amp;sort=name"[^>]*>Active/)
  t.match(body, 'name="show" value="all"')
  t.match((await get('/settings/connected-apps?q=nothing+like+it', { cookie })).body, /There is no key that is active and matches the search/)
})

// More hits than are sorted, and none of them among the newest keys (docs/decisions/0280).
t.test('a list that has to be looked through is looked through in parts, and says so', async (t) => {
  const { get, signIn, database } = await setup(t, {})
  await database.sql`
    insert into navis_keys.keys (id, workspace_id, name, scope, created_by, created_at)
    select gen_random_uuid(), 'acme', case when n > 20000 then 'key ' || n - 20000 else 'other' end, 'mcp:read', 'test', clock_timestamp() - n * interval '1 second' from generate_series(1, 23000) n`
  await database.sql`insert into navis_keys.tokens (digest, key_id, hint) select sha256(id::text::bytea), id, 'abcd…wxyz' from navis_keys.keys`
  const cookie = sessionCookie(await signIn())
  const { body } = await get('/settings/connected-apps?q=ke', { cookie })
  t.match(body, /3,000 keys[\s\S]*None in this part of the list/)
  const { body: second } = await get(linkIn(body, 'next')!, { cookie })
  t.same(namesIn(second), Array.from({ length: 11 }, (_, i) => `key ${i + 10}`))
  t.match((await get('/settings/connected-apps', { cookie })).body, 'At least 10,000 keys')
})

t.test('assets are kept by browsers as long as they are these very ones', async (t) => {
  const { get } = await setup(t)
  const { body } = await get('/settings/sign-in')
  const stylesheet = /rel="stylesheet" href="([^"]+)"/.exec(body)![1]!
  t.match(await get(stylesheet), { statusCode: 200, headers: { 'content-type': 'text/css; charset=utf-8', 'cache-control': /immutable/ } })
  t.match(await get(stylesheet.replace(/assets\/[^/]+/, 'assets/older')), { statusCode: 200, headers: { 'cache-control': 'no-store' } })
  t.equal((await get('/settings/assets/older/..%2fpackage.json')).statusCode, 404)
})

t.test('while the database is away a page says so, with 503, and nobody is taken for signed out', async (t) => {
  const { get, signIn, database } = await setup(t, {})
  const cookie = sessionCookie(await signIn())
  await database.close()
  t.match(await get('/settings/connected-apps', { cookie }), { statusCode: 503, headers: { 'retry-after': '1' }, body: /Not available right now/ })
})
