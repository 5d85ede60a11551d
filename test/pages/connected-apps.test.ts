import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { apiKeys } from '../../src/plugins/api-keys.ts'
import { connectedApps, type ConnectedAppsOptions, type SignedInPerson } from '../../src/pages/connected-apps.ts'
import { freshDatabase } from '../support/servers.ts'
import { startBrowser, visit } from './support/browser.ts'

const hostPolicy = "default-src 'self'; img-src data:; frame-ancestors 'self'"
const people: Readonly<Record<string, SignedInPerson>> = {
  ada: { workspaceId: 'acme', ownerId: 'auth0|ada', name: 'Ada', session: 'first' },
  adaElsewhere: { workspaceId: 'acme', ownerId: 'auth0|ada', name: 'Ada', session: 'second' },
  grace: { workspaceId: 'acme', ownerId: 'grace' },
  boss: { workspaceId: 'acme', ownerId: null, name: 'The boss', actor: 'user:boss', admin: true },
  faulty: { workspaceId: 'acme', ownerId: '' },
  // An application without types may return this: it must give neither all keys nor the rights of an admin.
  claimant: { workspaceId: 'acme', ownerId: null, actor: 'claimant', admin: 'false' as unknown as boolean }
}

/** An application with its own session, policy and page; the cookie `who` names the person. */
async function host (t: Test, { prefix = '/account/apps', ...options }: Partial<ConnectedAppsOptions> & { prefix?: string } = {}) {
  const app = Fastify()
  t.teardown(() => app.close())
  app.decorateRequest('session' as string, null)
  app.addHook('onRequest', async (_request, reply) => { reply.header('content-security-policy', hostPolicy) })
  await app.register(apiKeys, { databaseUrl: await freshDatabase(t) })
  await app.register(connectedApps, { prefix, person: ({ headers }) => people[/who=(\w+)/.exec(headers.cookie ?? '')?.[1] ?? ''], ...options })
  app.get('/', async (_request, reply) => await reply.type('text/html').send('<!doctype html><title>Host</title><link rel="icon" href="data:,"><h1>The host</h1>'))
  app.get('/things', { onRequest: app.requireScope('mcp:read') }, async (request) => request.apiKey.ownerId)
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  return { app, url, apps: url + prefix }
}

interface Sent { readonly who?: string, readonly body?: Readonly<Record<string, string>>, readonly headers?: Readonly<Record<string, string>> }

async function ask (url: string, { who, body, headers }: Sent = {}) {
  const response = await fetch(url, {
    redirect: 'manual',
    headers: { ...who !== undefined && { cookie: `who=${who}` }, ...body !== undefined && { origin: new URL(url).origin }, ...headers },
    ...body !== undefined && { method: 'POST', body: new URLSearchParams(body) }
  })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

async function formOf (url: string, who: string): Promise<Record<string, string>> {
  const { text } = await ask(url, { who })
  return Object.fromEntries([...text.matchAll(/<input type="hidden" name="(\w+)" value="([^"]*)">/g)].map(([, name = '', value = '']) => [name, value]))
}

// For the tests that need no options: each host compiles its routes and has a database.
const plain = await host(t)

const newKey = { name: 'CI pipeline', scope: 'mcp:read', expiry: '30', expiry_date: '' }

t.test('an origin is the one that the request was sent to, and a Host header that is no host is not repeated in the page', async (t) => {
  const { app, apps } = plain
  const page = async (host: string) => await app.inject({ url: `${new URL(apps).pathname}`, headers: { host, cookie: 'who=ada' } })
  t.equal((await page('apps.example:8080')).statusCode, 200)
  for (const host of ['"><evil', 'ada@apps.example', 'apps.example/']) {
    const { statusCode, body } = await page(host)
    t.equal(statusCode, 403, host)
    t.notMatch(body, /evil|apps\.example/)
  }
})

t.test('under a route of an application, for the person whom it names: make a key, use it, rotate it, revoke it, in a browser and under the pages\' own policy', async (t) => {
  const { app, url, apps } = await host(t, { homeUrl: '/', tryUrl: '/things', brand: { name: 'Acme' } })
  const { page, context, troubles } = await visit(await startBrowser(t))
  await context.addCookies([{ name: 'who', value: 'ada', url }])
  await page.goto(apps)
  t.match(await page.title(), /Connected Apps · Acme/)
  t.match(await page.locator('.account').innerText(), /Ada/)
  t.equal(await page.getByRole('button', { name: 'Sign out' }).count(), 0, 'signing out is the application\'s')
  t.equal(await page.evaluate('getComputedStyle(document.querySelector(".bar")).display'), 'flex', 'the stylesheet is there')
  await page.getByRole('link', { name: 'Create' }).first().click()
  t.equal(page.url(), `${apps}/new`)
  await page.getByLabel('Name').fill('CI pipeline')
  await page.getByRole('button', { name: 'Create key' }).click()
  const token = await page.locator('#token').innerText()
  t.match(await page.locator('main').innerText(), /curl -i http:\/\/127\.0\.0\.1:\d+\/things/)
  const used = await fetch(`${url}/things`, { headers: { authorization: `Bearer ${token}` } })
  t.same([used.status, await used.text()], [200, 'auth0|ada'])
  await page.locator('.first-use.used').waitFor()
  await page.getByRole('link', { name: 'Done' }).click()
  await page.getByRole('link', { name: 'CI pipeline' }).first().click()
  await page.getByRole('link', { name: 'Rotate' }).click()
  await page.getByRole('radio', { name: 'No time' }).check()
  await page.getByRole('button', { name: 'Rotate key' }).click()
  const second = await page.locator('#token').innerText()
  t.not(second, token)
  t.equal((await fetch(`${url}/things`, { headers: { authorization: `Bearer ${token}` } })).status, 401)
  t.equal((await fetch(`${url}/things`, { headers: { authorization: `Bearer ${second}` } })).status, 200)
  await page.getByRole('link', { name: 'Done' }).click()
  await page.getByRole('link', { name: 'Revoke' }).first().click()
  await page.getByRole('button', { name: 'Revoke key' }).click()
  await page.locator('.notice.good').waitFor()
  t.equal((await fetch(`${url}/things`, { headers: { authorization: `Bearer ${second}` } })).status, 401)
  await page.locator('.brand').click()
  t.equal(await page.locator('h1').innerText(), 'The host')
  t.same(troubles, [], 'nothing that the policy refused, no error of a script')
  const { entries } = await app.apiKeys.service.audit({ workspaceId: 'acme', limit: 10 })
  t.same(new Set(entries.map(({ actor }) => actor)), new Set(['user:auth0|ada']))
  t.same(await context.cookies().then((cookies) => cookies.map(({ name }) => name)), ['who'], 'no cookie of ours')
})

t.test('the pages keep their own policy, and the application\'s pages theirs', async (t) => {
  const { url, apps } = plain
  const page = await ask(apps, { who: 'ada' })
  t.match(page.headers.get('content-security-policy'), /^default-src 'none'.*frame-ancestors 'none'/)
  t.equal(page.headers.get('cache-control'), 'no-store')
  t.equal((await ask(url)).headers.get('content-security-policy'), hostPolicy)
})

t.test('who is not signed in is led to the application\'s own sign-in, or told so; there is none of ours', async (t) => {
  const own = await host(t, { signInUrl: '/login' })
  for (const path of ['', '/new', '/people', `/${randomUUID()}`]) {
    const { status, headers } = await ask(own.apps + path)
    t.same([status, headers.get('location')], [303, '/login'], path)
  }
  const { status, text } = await ask(plain.apps)
  t.equal(status, 401)
  t.match(text, /Not signed in/)
  t.notMatch(text, /sign-in/)
  for (const path of ['/sign-in', '/sign-out', '/sign-in/start', '/signed-out']) {
    const answers = await Promise.all([ask(plain.apps + path), ask(`${plain.url}/settings${path}`)])
    t.notOk(answers.some(({ status }) => status < 400), path)
  }
})

t.test('each person sees their own keys alone, an admin everyone\'s; a person who could be anybody is refused', async (t) => {
  const { apps } = plain
  for (const who of ['ada', 'grace']) {
    const made = await ask(apps, { who, body: { ...await formOf(`${apps}/new`, who), ...newKey, name: `of ${who}` } })
    t.equal(made.status, 201, made.text)
  }
  const lists = await Promise.all(['ada', 'grace', 'boss'].map(async (who) => [...(await ask(apps, { who })).text.matchAll(/<bdi>(of \w+)<\/bdi>/g)].map(([, name]) => name)))
  t.same(lists.map((names) => new Set(names)), [new Set(['of ada']), new Set(['of grace']), new Set(['of ada', 'of grace'])])
  t.equal((await ask(`${apps}/people`, { who: 'ada' })).status, 404)
  t.equal((await ask(`${apps}/people`, { who: 'boss' })).status, 200)
  const faulty = await ask(apps, { who: 'faulty' })
  t.equal(faulty.status, 500)
  t.notMatch(faulty.text, /of ada|ownerId/)
  t.equal((await ask(apps, { who: 'claimant' })).status, 500, 'a text is no claim to be an admin')
})

t.test('a form from another site, of another person, of another session or without its token does nothing', async (t) => {
  const { app, url, apps } = plain
  const keys = async () => (await app.apiKeys.service.list({ workspaceId: 'acme', status: 'all', limit: 50 })).keys
  const before = await keys()
  const form = { ...await formOf(`${apps}/new`, 'ada'), ...newKey }
  t.match(form, { form_token: /^[\w-]{43}$/ })
  const { form_token: _, ...bare } = form as Record<string, string>
  const attempts: Readonly<Record<string, Sent>> = {
    'from another site': { who: 'ada', body: form, headers: { origin: 'https://evil.example' } },
    'as browsers tell of another site': { who: 'ada', body: form, headers: { 'sec-fetch-site': 'cross-site' } },
    'from the same host over another scheme': { who: 'ada', body: form, headers: { origin: url.replace('http:', 'https:') } },
    'without the token': { who: 'ada', body: bare },
    'of another person': { who: 'grace', body: form },
    'of another session': { who: 'adaElsewhere', body: form },
    'of nobody': { body: form }
  }
  for (const [name, sent] of Object.entries(attempts)) {
    const { status } = await ask(apps, sent)
    t.equal(status, name === 'of nobody' ? 401 : 403, name)
  }
  t.same(await keys(), before)
  t.equal((await ask(apps, { who: 'ada', body: form })).status, 201, 'the same form, as it should be')
})

t.test('registered with no prefix it is at /settings/connected-apps, and the application\'s public address is the one that forms come from', async (t) => {
  const { url } = await host(t, { prefix: '', publicUrl: 'https://app.example.com' })
  const apps = `${url}/settings/connected-apps`
  const body = { ...await formOf(`${apps}/new`, 'ada'), ...newKey }
  t.equal((await ask(apps, { who: 'ada', body })).status, 403)
  t.equal((await ask(apps, { who: 'ada', body, headers: { origin: 'https://app.example.com' } })).status, 201)
})

t.test('what is missing is told when the application starts, with what to do', async (t) => {
  const start = async (register: (app: FastifyInstance) => Promise<unknown>) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await register(app)
    await app.ready()
  }
  const person = () => null
  await t.rejects(start(async (app) => await app.register(connectedApps, { person })), /Register `apiKeys` before/)
  await t.rejects(start(async (app) => await app.register(connectedApps, {} as ConnectedAppsOptions)), /`person` is needed/)
  await t.rejects(start(async (app) => {
    app.decorate('apiKeys' as string, { service: {} })
    return await app.register(connectedApps, { person })
  }), /another copy of the package/)
  for (const [options, message] of [
    [{ signInURL: '/sign-in' }, '`signInURL` is no option of connectedApps. There are: person, keys, '],
    [{ frameOrigins: 'https://a.example' }, '`frameOrigins` must be an array of texts.'],
    [{ publicUrl: 'app.example.com' }, '`publicUrl` must be a URL.'],
    [{ homeUrl: 7 }, '`homeUrl` must be a text.'],
    [{ brand: 'Acme' }, '`brand` must be an object.'],
    [{ brand: { logo: 'logo.svg' } }, '`brand.logo` is no option'],
    [{ brand: { name: null } }, '`brand.name` must be a text.'],
    [{ keys: 'partner' }, '`keys` must be an object.']
  ] as const) {
    const refused = await start(async (app) => await app.register(connectedApps, { person, ...options as object })).catch((error: Error) => error)
    t.ok(refused instanceof TypeError && refused.message.startsWith(message), (refused as Error).message)
  }
})
