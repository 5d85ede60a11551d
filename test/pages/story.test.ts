import type { BrowserContextOptions, Locator, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { setupApp } from '../routes/setup.ts'
import { freePort } from '../support/server-process.ts'
import { startBrowser, visit } from './support/browser.ts'
import { clientId, clientSecret, startOpenIdProvider } from './support/openid-provider.ts'

const screens = [
  { width: 1280, colorScheme: 'light' },
  { width: 768, colorScheme: 'dark' },
  { width: 380, colorScheme: 'dark' }
] as const
const workspaceId = 'acme-research'

async function setup () {
  const provider = await startOpenIdProvider(t)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  provider.serve(url)
  const { app, logs, url: databaseUrl } = await setupApp(t, {
    redis: true,
    environment: {
      PUBLIC_URL: url, MCP_URL: `${url}/mcp`, OIDC_ISSUER: provider.issuer, OIDC_CLIENT_ID: clientId, OIDC_CLIENT_SECRET: clientSecret, OIDC_SCOPE: 'openid profile navis', OIDC_ADMIN_CLAIM: 'roles', OIDC_ADMIN_VALUE: 'keys-admin', LAST_USED_FLUSH_MS: '60000'
    }
  })
  await app.listen({ host: '127.0.0.1', port })
  const browser = await startBrowser(t)
  const open = async (options: BrowserContextOptions) => {
    const visited = await visit(browser, { permissions: ['clipboard-read', 'clipboard-write'], ...options })
    await visited.context.route((address) => address.hostname !== '127.0.0.1', (route) => route.abort())
    return visited
  }
  const forwardAuth = async (token: string, scope = 'mcp:read') => await fetch(`${url}/forward-auth?scope=${scope}`, { headers: { authorization: `Bearer ${token}`, 'user-agent': 'claude-code/2.1.4 (external)' } })
  return { url, databaseUrl, service: app.apiKeys.service, logs, open, forwardAuth }
}

// One service, one provider and one browser for all tests: each takes seconds to start.
const { url, databaseUrl, service, logs, open, forwardAuth } = await setup()
const list = `${url}/settings/connected-apps`

async function signIn (page: Page, login: string): Promise<void> {
  await page.goto(`${url}/settings`)
  await page.getByRole('link', { name: 'Continue with single sign-on' }).click()
  await page.locator('[name=login]').fill(login)
  await page.locator('[name=password]').fill('any')
  await page.locator('button[type=submit]').click()
  await page.locator('button[type=submit]').click()
  await page.waitForURL(`${url}/**`)
}

async function enter (login: string, options: BrowserContextOptions = {}) {
  const visited = await open(options)
  t.teardown(() => visited.context.close())
  await signIn(visited.page, login)
  return visited
}

async function onEachScreen (page: Page, act: (screen: string) => Promise<void>): Promise<void> {
  for (const { width, colorScheme } of screens) {
    await page.setViewportSize({ width, height: 800 })
    await page.emulateMedia({ colorScheme })
    await act(`${width} pixels, ${colorScheme}`)
  }
}

/** Tries on each screen that it can be seen and pressed, and that nothing covers it. Then presses it once. */
async function press (target: Locator): Promise<void> {
  await onEachScreen(target.page(), async () => { await target.click({ trial: true }) })
  await target.click()
}

async function choose (target: Locator): Promise<void> {
  await onEachScreen(target.page(), async () => { await target.check({ trial: true }) })
  await target.check()
}

async function fits (t: Test, page: Page, where: string): Promise<void> {
  await onEachScreen(page, async (screen) => { t.equal(await page.evaluate('document.documentElement.scrollWidth - innerWidth'), 0, `${screen}, ${where}: nothing is wider than the window`) })
}

async function copied (page: Page, name: string): Promise<string> {
  await press(page.getByRole('button', { name }))
  await page.getByText('Copied').first().waitFor()
  return await page.evaluate<string>('navigator.clipboard.readText()')
}

// The pages do the same at every width and in both schemes (axe.test.ts): what could differ is what can be pressed, and that is tried on each screen.
t.test('a person signs in through a real provider, makes a key, sets up an app, sees its first use, rotates the key and revokes it: 401', { timeout: 120_000 }, async (t) => {
  const { page, context, troubles } = await enter('ada')
  await page.getByText('Connect your first app').waitFor()
  t.match(await page.locator('.account').innerText(), 'Ada Lovelace')
  troubles.length = 0

  await press(page.getByRole('link', { name: 'Create API key' }))
  await press(page.getByLabel('Name'))
  await page.getByLabel('Name').fill('Claude Code')
  await fits(t, page, 'the form')
  await press(page.getByRole('button', { name: 'Create key' }))
  const token = await copied(page, 'Copy the key')
  await choose(page.getByRole('radio', { name: 'Claude Code' }))
  t.match(await copied(page, 'Copy step 2 for Claude Code'), `claude mcp add --scope project --transport http navis ${url}/mcp`)
  await fits(t, page, 'the token')

  t.match(await service.list({ workspaceId, status: 'all', limit: 2 }), { keys: [{ ownerId: 'ada', createdBy: 'user:ada' }] })
  const accepted = await forwardAuth(token)
  t.equal(accepted.status, 200)
  t.equal(accepted.headers.get('x-auth-workspace-id'), workspaceId)
  t.equal(accepted.headers.get('x-auth-owner-id'), 'ada')
  t.equal((await forwardAuth(token, 'mcp:write')).status, 403)
  // Nobody touches the page: it asks by itself, and the uses that this process has seen are written first.
  await page.locator('.first-use.used').waitFor()
  t.match(await page.locator('.first-use').innerText(), /^It works: used just now, by claude-code\/2\.1\.4, from 127\.0\.0\.1/)

  await press(page.getByRole('link', { name: 'Done' }))
  const row = page.getByRole('row', { name: /Claude Code/ })
  t.match(await row.getByRole('cell').nth(3).innerText(), /just now/i, 'right after the use')
  await press(page.getByRole('link', { name: 'Claude Code', exact: true }))
  t.match(await page.locator('.facts').innerText(), /Last used\s+just now.*by claude-code\/2\.1\.4 from 127\.0\.0\.1/)
  t.match(await page.getByRole('heading', { name: 'Use in the last 30 days' }).locator('..').innerText(), /1 accepted, 1 refused/)
  await press(page.getByText('As a table'))
  t.match(await page.locator('.numbers tbody').innerText(), /\d+ \w+\s+1\s+1/)
  await fits(t, page, 'the key')

  await press(page.getByRole('link', { name: 'Rotate' }))
  await choose(page.getByRole('radio', { name: '1 hour' }))
  await press(page.getByRole('button', { name: 'Rotate key' }))
  const rotated = await copied(page, 'Copy the key')
  t.match(await page.locator('.facts').innerText(), /Previous token[\s\S]*ends in 1 hour/)
  for (const one of [token, rotated]) t.equal((await forwardAuth(one)).status, 200, 'both tokens work during the grace')
  await press(page.getByRole('link', { name: 'Done' }))
  t.match(await page.locator('.history').innerText(), /Rotated by user:ada[\s\S]*Created by user:ada/)

  await press(page.getByRole('link', { name: 'Revoke', exact: true }))
  t.match(await page.locator('.facts').innerText(), /nops_.*Last used\s+just now.*by claude-code\/2\.1\.4 from 127\.0\.0\.1/s)
  await fits(t, page, 'the question')
  await press(page.getByRole('link', { name: 'Keep it' }))
  await press(page.getByRole('link', { name: 'Revoke Claude Code' }))
  t.match(await page.getByRole('dialog').innerText(), 'Revoke “Claude Code”?')
  await press(page.getByRole('button', { name: 'Revoke key' }))
  await page.locator('.notice.good').waitFor()
  for (const one of [token, rotated]) {
    const refused = await forwardAuth(one)
    t.equal(refused.status, 401)
    t.match(refused.headers.get('www-authenticate'), /error="invalid_token".*revoked/)
  }
  t.match(await page.locator('.notice.good').innerText(), '“Claude Code” is revoked.')
  t.equal(await row.count(), 0)
  await fits(t, page, 'the list')

  const cookies = (await context.cookies(url)).filter(({ name }) => name.startsWith('__Host-'))
  await press(page.getByRole('button', { name: 'Sign out' }))
  await page.getByRole('heading', { name: 'You are signed out' }).waitFor()
  t.same(troubles, [], 'the browser found nothing wrong')
  // For machines that several people use.
  const address = await page.getByRole('link', { name: 'End single sign-on' }).getAttribute('href')
  t.match(address, /session\/end\?.*post_logout_redirect_uri=.*signed-out/)
  await context.close()
  const written = logs.join('\n')
  t.match(written, '"route":"/settings/connected-apps"')
  t.ok(cookies.length > 0)
  for (const secret of [...cookies.map(({ value }) => value), token, rotated, clientSecret, 'code=', 'form_token', databaseUrl]) t.notMatch(written, secret, 'no secret of this story is in a log')
})

t.test('an admin takes away everything of a person who leaves, in three clicks that say with numbers what they do', { timeout: 60_000 }, async (t) => {
  const make = async (ownerId: string, name: string) => (await service.create({ workspaceId, ownerId, actor: `user:${ownerId}`, name, scope: 'mcp:read' })).token
  const adas = await make('ada', 'stays')
  const leaving = [await make('grace', 'laptop'), await make('grace', 'CI'), await make('grace', 'old')]
  for (const token of leaving) t.equal((await forwardAuth(token)).status, 200)
  const { page, context, troubles } = await enter('joan')
  troubles.length = 0
  await press(page.getByRole('link', { name: 'People' }))
  await press(page.getByRole('link', { name: 'Revoke all keys of grace' }))
  t.match(await page.locator('.facts').innerText(), /Will be revoked\s+3 keys\s+Active\s+3\s+Used in the last 7 days\s+3\s+Never used\s+0/)
  await press(page.getByRole('button', { name: 'Revoke 3 keys' }))
  await page.getByRole('heading', { name: '3 keys of grace are revoked' }).waitFor()
  for (const token of leaving) t.equal((await forwardAuth(token)).status, 401, 'in force')
  t.equal((await forwardAuth(adas)).status, 200)
  await fits(t, page, 'revoked')
  t.same(troubles, [])
  await context.close()
})

t.test('another person\'s keys are neither seen nor revocable; an admin sees and revokes them; another workspace is another world', async (t) => {
  const { key } = await service.create({ workspaceId, ownerId: 'ada', actor: 'user:ada', name: 'Ada\'s key', scope: 'mcp:read' })

  for (const [login, ownWorkspace] of [['grace', workspaceId], ['alan', 'bletchley'], ['auth0|kurt', workspaceId]] as const) {
    await service.create({ workspaceId: ownWorkspace, ownerId: login, actor: `user:${login}`, name: 'their own', scope: 'mcp:read' })
    const { page: other, context } = await enter(login)
    await other.goto(`${list}?show=all`)
    t.equal(await other.getByText('Ada\'s key').count(), 0, login)
    await other.getByRole('link', { name: 'Revoke their own' }).click()
    const form = other.locator('dialog form')
    await form.evaluate((element, action) => { element.setAttribute('action', action) }, `${list}/${key.id}/revoke`)
    const [answer] = await Promise.all([other.waitForResponse((response) => response.request().method() === 'POST'), other.getByRole('button', { name: 'Revoke key' }).click()])
    t.equal(answer.status(), 404, `${login}: with a form and token of one's own`)
    t.equal((await other.goto(`${list}/${key.id}/revoke`))!.status(), 404, login)
    await context.close()
  }
  t.match(await service.get({ workspaceId, keyId: key.id }), { status: 'active' })

  const { page: joan, context } = await enter('joan')
  t.match(await joan.getByRole('row', { name: /Ada's key/ }).innerText(), 'ada')
  await joan.getByRole('link', { name: 'Revoke Ada\'s key' }).click()
  await joan.getByRole('button', { name: 'Revoke key' }).click()
  await joan.locator('.notice.good').waitFor()
  await context.close()
  t.match(await service.get({ workspaceId, keyId: key.id }), { status: 'revoked', revokedBy: 'user:joan' })
})

t.test('whoever the provider gives no workspace is not let in', async (t) => {
  const { page, context } = await enter('nobody')
  await page.getByRole('heading', { name: 'No workspace for you here' }).waitFor()
  await page.goto(list)
  t.match(page.url(), '/settings/sign-in')
  await context.close()
})

t.test('an arrival that this browser did not set out for is refused', async (t) => {
  const { page, context } = await open({})
  t.teardown(() => context.close())
  const stolen: string[] = []
  const victim = `${url}/settings/sign-in/callback?code=abc&state=def`
  t.equal((await page.goto(victim))!.status(), 401, 'without a journey')
  await page.goto(`${url}/settings/sign-in/start`)
  t.equal((await page.goto(victim))!.status(), 401, 'with a journey of another state')
  const { page: ada } = await enter('ada')
  ada.on('request', (request) => { stolen.push(request.url()) })
  await ada.goto(`${url}/settings/sign-in/start`)
  const arrival = stolen.find((address) => address.includes('/callback?'))!
  t.equal((await ada.goto(arrival))!.status(), 401, 'a second time, by the same browser')
  t.equal((await page.goto(arrival))!.status(), 401, 'by another browser')
})
