import t from 'tap'
import { setupApp } from '../routes/setup.ts'
import { freePort } from '../support/server-process.ts'
import { startBrowser, visit } from './support/browser.ts'
import { clientId, clientSecret, startOpenIdProvider } from './support/openid-provider.ts'

t.test('sign in through a real provider, make a key, copy it, use it, see it used, revoke it: 401', async (t) => {
  const provider = await startOpenIdProvider(t)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  provider.serve(url)
  const { app, logs, url: databaseUrl } = await setupApp(t, {
    redis: true,
    environment: {
      PUBLIC_URL: url, OIDC_ISSUER: provider.issuer, OIDC_CLIENT_ID: clientId, OIDC_CLIENT_SECRET: clientSecret, OIDC_SCOPE: 'openid profile navis', OIDC_ADMIN_CLAIM: 'roles', OIDC_ADMIN_VALUE: 'keys-admin', LAST_USED_FLUSH_MS: '60000'
    }
  })
  await app.listen({ host: '127.0.0.1', port })
  const browser = await startBrowser(t)
  const { page, context, troubles } = await visit(browser, { permissions: ['clipboard-read', 'clipboard-write'] })
  await context.route((address) => address.hostname !== '127.0.0.1', (route) => route.abort())

  await page.goto(`${url}/settings`)
  await page.getByRole('link', { name: 'Continue with single sign-on' }).click()
  await page.locator('[name=login]').fill('ada')
  await page.locator('[name=password]').fill('any')
  await page.locator('button[type=submit]').click()
  await page.locator('button[type=submit]').click()
  await page.getByText('Connect your first app').waitFor()
  t.match(await page.locator('.account').innerText(), /Ada Lovelace\s+acme-research/)
  troubles.length = 0

  await page.getByRole('link', { name: 'Create your first API key' }).click()
  await page.getByLabel('Name').fill('Claude Desktop')
  await page.getByRole('button', { name: 'Create key' }).click()
  await page.getByRole('button', { name: 'Copy the key' }).click()
  await page.getByText('Copied').first().waitFor()
  const token = await page.evaluate<string>('navigator.clipboard.readText()')
  const forwardAuth = async (scope = 'mcp:read') => await fetch(`${url}/forward-auth?scope=${scope}`, { headers: { authorization: `Bearer ${token}`, 'user-agent': 'claude-code/2.1.4 (external)' } })

  const accepted = await forwardAuth()
  t.equal(accepted.status, 200)
  t.equal(accepted.headers.get('x-auth-workspace-id'), 'acme-research')
  t.equal(accepted.headers.get('x-auth-owner-id'), 'ada')
  t.equal((await forwardAuth('mcp:write')).status, 403)
  // Nobody touches the page: it asks by itself, and what this process has seen is written first.
  await page.locator('.first-use.used').waitFor()
  t.match(await page.locator('.first-use').innerText(), /^It works: used just now, by claude-code\/2\.1\.4, from 127\.0\.0\.1/)

  await page.getByRole('link', { name: 'Done' }).click()
  const row = page.getByRole('row', { name: /Claude Desktop/ })
  const lastUsed = row.getByRole('cell').nth(3)
  t.match(await lastUsed.innerText(), /^just now/i, 'right after the use')

  await page.getByRole('link', { name: 'Claude Desktop', exact: true }).click()
  t.match(await page.locator('.facts').innerText(), /Last used\s+just now.*by claude-code\/2\.1\.4 from 127\.0\.0\.1/)
  t.match(await page.getByRole('heading', { name: 'Use in the last 30 days' }).locator('..').innerText(), /1 accepted, 1 refused/)
  await page.getByText('As a table').click()
  t.match(await page.locator('.numbers tbody').innerText(), /\d+ \w+\s+1\s+1/)
  await page.getByRole('link', { name: 'Revoke', exact: true }).click()
  t.match(await page.locator('.facts').innerText(), /nops_.*Last used\s+just now.*by claude-code\/2\.1\.4 from 127\.0\.0\.1/s)
  await page.getByRole('link', { name: 'Keep it' }).click()
  await page.getByRole('link', { name: 'Revoke Claude Desktop' }).click()
  t.match(await page.getByRole('dialog').innerText(), 'Revoke “Claude Desktop”?')
  await page.getByRole('button', { name: 'Revoke key' }).click()
  await page.locator('.notice.good').waitFor()
  const refused = await forwardAuth()
  t.equal(refused.status, 401)
  t.match(refused.headers.get('www-authenticate'), /error="invalid_token".*revoked/)
  t.match(await page.locator('.notice.good').innerText(), '“Claude Desktop” is revoked.')
  t.equal(await row.count(), 0)

  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('heading', { name: 'You are signed out' }).waitFor()
  t.same(troubles, [], 'the browser found nothing wrong')

  const written = logs.join('\n')
  t.match(written, '"route":"/settings/connected-apps"')
  for (const cookie of await context.cookies(url)) if (cookie.name.startsWith('__Host-')) t.notMatch(written, cookie.value)
  for (const secret of [token, clientSecret, 'code=', 'form_token', databaseUrl]) t.notMatch(written, secret, 'no secret of this story is in a log')
})
