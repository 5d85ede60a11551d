import type { BrowserContextOptions, Page } from 'playwright-core'
import t from 'tap'
import { setupApp } from '../routes/setup.ts'
import { freePort } from '../support/server-process.ts'
import { startBrowser, visit } from './support/browser.ts'
import { clientId, clientSecret, startOpenIdProvider } from './support/openid-provider.ts'

const screens = [
  { width: 1280, colorScheme: 'light' },
  { width: 768, colorScheme: 'dark' },
  { width: 380, colorScheme: 'dark' }
] as const

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

// One service and one browser for both stories: each takes seconds to start.
const { url, databaseUrl, service, logs, open, forwardAuth } = await setup()

async function signIn (page: Page, url: string, login: string): Promise<void> {
  await page.goto(`${url}/settings`)
  await page.getByRole('link', { name: 'Continue with single sign-on' }).click()
  await page.locator('[name=login]').fill(login)
  await page.locator('[name=password]').fill('any')
  await page.locator('button[type=submit]').click()
  await page.locator('button[type=submit]').click()
  await page.getByRole('heading', { name: 'Connected Apps' }).waitFor()
}

async function copied (page: Page, name: string): Promise<string> {
  await page.getByRole('button', { name }).click()
  await page.getByText('Copied').first().waitFor()
  return await page.evaluate<string>('navigator.clipboard.readText()')
}

t.test('a person signs in through a real provider, makes a key, sets up an app, sees its first use, rotates the key and revokes it: 401', { timeout: 120_000 }, async (t) => {
  for (const { width, colorScheme } of screens) {
    const said = `${width} pixels, ${colorScheme}`
    const { page, context, troubles } = await open({ colorScheme, viewport: { width, height: 800 } })
    const fits = async (where: string) => { t.equal(await page.evaluate('document.documentElement.scrollWidth - innerWidth'), 0, `${said}, ${where}: nothing is wider than the window`) }
    await signIn(page, url, 'ada')
    await page.getByText('Connect your first app').or(page.getByText('No such keys')).waitFor()
    t.match(await page.locator('.account').innerText(), 'Ada Lovelace')
    troubles.length = 0

    await page.getByRole('link', { name: 'Create API key' }).click()
    await page.getByLabel('Name').fill('Claude Code')
    await fits('the form')
    await page.getByRole('button', { name: 'Create key' }).click()
    const token = await copied(page, 'Copy the key')
    await page.getByRole('radio', { name: 'Claude Code' }).check()
    t.match(await copied(page, 'Copy step 2 for Claude Code'), `claude mcp add --scope project --transport http navis ${url}/mcp`)
    await fits('the token')

    const accepted = await forwardAuth(token)
    t.equal(accepted.status, 200)
    t.equal(accepted.headers.get('x-auth-workspace-id'), 'acme-research')
    t.equal(accepted.headers.get('x-auth-owner-id'), 'ada')
    t.equal((await forwardAuth(token, 'mcp:write')).status, 403)
    // Nobody touches the page: it asks by itself, and the uses that this process has seen are written first.
    await page.locator('.first-use.used').waitFor()
    t.match(await page.locator('.first-use').innerText(), /^It works: used just now, by claude-code\/2\.1\.4, from 127\.0\.0\.1/)

    await page.getByRole('link', { name: 'Done' }).click()
    const row = page.getByRole('row', { name: /Claude Code/ })
    t.match(await row.getByRole('cell').nth(3).innerText(), /just now/i, 'right after the use')
    await page.getByRole('link', { name: 'Claude Code', exact: true }).click()
    t.match(await page.locator('.facts').innerText(), /Last used\s+just now.*by claude-code\/2\.1\.4 from 127\.0\.0\.1/)
    t.match(await page.getByRole('heading', { name: 'Use in the last 30 days' }).locator('..').innerText(), /1 accepted, 1 refused/)
    await page.getByText('As a table').click()
    t.match(await page.locator('.numbers tbody').innerText(), /\d+ \w+\s+1\s+1/)
    await fits('the key')

    await page.getByRole('link', { name: 'Rotate' }).click()
    await page.getByRole('radio', { name: '1 hour' }).check()
    await page.getByRole('button', { name: 'Rotate key' }).click()
    const rotated = await copied(page, 'Copy the key')
    t.match(await page.locator('.facts').innerText(), /Previous token[\s\S]*ends in 1 hour/)
    for (const one of [token, rotated]) t.equal((await forwardAuth(one)).status, 200, 'both tokens work during the grace')
    await page.getByRole('link', { name: 'Done' }).click()
    t.match(await page.locator('.history').innerText(), /Rotated by user:ada[\s\S]*Created by user:ada/)

    await page.getByRole('link', { name: 'Revoke', exact: true }).click()
    t.match(await page.locator('.facts').innerText(), /nops_.*Last used\s+just now.*by claude-code\/2\.1\.4 from 127\.0\.0\.1/s)
    await fits('the question')
    await page.getByRole('link', { name: 'Keep it' }).click()
    await page.getByRole('link', { name: 'Revoke Claude Code' }).click()
    t.match(await page.getByRole('dialog').innerText(), 'Revoke “Claude Code”?')
    await page.getByRole('button', { name: 'Revoke key' }).click()
    await page.locator('.notice.good').waitFor()
    for (const one of [token, rotated]) {
      const refused = await forwardAuth(one)
      t.equal(refused.status, 401)
      t.match(refused.headers.get('www-authenticate'), /error="invalid_token".*revoked/)
    }
    t.match(await page.locator('.notice.good').innerText(), '“Claude Code” is revoked.')
    t.equal(await row.count(), 0)
    await fits('the list')

    const cookies = (await context.cookies(url)).filter(({ name }) => name.startsWith('__Host-'))
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('heading', { name: 'You are signed out' }).waitFor()
    t.same(troubles, [], `${said}: the browser found nothing wrong`)
    await context.close()
    const written = logs.join('\n')
    t.match(written, '"route":"/settings/connected-apps"')
    t.ok(cookies.length > 0)
    for (const secret of [...cookies.map(({ value }) => value), token, rotated, clientSecret, 'code=', 'form_token', databaseUrl]) t.notMatch(written, secret, 'no secret of this story is in a log')
  }
})

t.test('an admin takes away everything of a person who leaves, in three clicks that say with numbers what they do', { timeout: 60_000 }, async (t) => {
  const make = async (ownerId: string, name: string) => (await service.create({ workspaceId: 'acme-research', ownerId, actor: `user:${ownerId}`, name, scope: 'mcp:read' })).token
  const adas = await make('ada', 'stays')
  for (const { width, colorScheme } of screens) {
    const { page, context, troubles } = await open({ colorScheme, viewport: { width, height: 800 } })
    const leaving = [await make('grace', 'laptop'), await make('grace', 'CI'), await make('grace', 'old')]
    for (const token of leaving) t.equal((await forwardAuth(token)).status, 200)
    await signIn(page, url, 'joan')
    troubles.length = 0
    await page.getByRole('link', { name: 'People' }).click()
    await page.getByRole('link', { name: 'Revoke all keys of grace' }).click()
    t.match(await page.locator('.facts').innerText(), /Will be revoked\s+3 keys\s+Active\s+3\s+Used in the last 7 days\s+3\s+Never used\s+0/)
    await page.getByRole('button', { name: 'Revoke 3 keys' }).click()
    await page.getByRole('heading', { name: '3 keys of grace are revoked' }).waitFor()
    for (const token of leaving) t.equal((await forwardAuth(token)).status, 401, 'in force')
    t.equal((await forwardAuth(adas)).status, 200)
    t.equal(await page.evaluate('document.documentElement.scrollWidth - innerWidth'), 0, `${width} pixels`)
    t.same(troubles, [])
    await context.close()
  }
})
