import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { setupApp } from '../routes/setup.ts'
import { Child } from '../support/child.ts'
import { recordingUpstream } from '../support/recording-upstream.ts'
import { startBrowser, visit } from './support/browser.ts'

const browser = await startBrowser(t)
// The second test goes on with what the first one leaves: making a database takes longest.
const dataDir = mkdtempSync(join(tmpdir(), 'navis-pages-'))
t.teardown(() => { rmSync(dataDir, { recursive: true, force: true }) })

t.test('without any settings the page opens with the management token that was made, and the key made there works', async (t) => {
  const service = new Child(t, { file: 'dist/main.js', env: { DATA_DIR: dataDir, PORT: '0' } })
  const [, url = ''] = await service.printed(/listens on (http:\/\/127\.0\.0\.1:\d+)/, { timeoutMs: 60_000 })
  const secret = readFileSync(join(dataDir, 'management-token'), 'utf8').trim()

  const { page, context, troubles } = await visit(browser)
  t.teardown(() => context.close())
  await page.goto(url.replace('127.0.0.1', 'localhost') + '/settings')
  await page.getByLabel('Management token').fill(secret)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('link', { name: 'Create your first API key' }).click()
  await page.getByLabel('Name').fill('CI pipeline')
  await page.getByRole('button', { name: 'Create key' }).click()
  const token = await page.locator('#token').innerText()
  const forwardAuth = async () => await fetch(`${url}/forward-auth`, { headers: { authorization: `Bearer ${token}` } })
  const accepted = await forwardAuth()
  t.equal(accepted.status, 200)
  t.equal(accepted.headers.get('x-auth-workspace-id'), 'default')
  await page.getByRole('link', { name: 'Done' }).click()
  await page.getByRole('link', { name: 'Revoke CI pipeline' }).click()
  await page.getByRole('button', { name: 'Revoke key' }).click()
  await page.locator('.notice.good').waitFor()
  t.equal((await forwardAuth()).status, 401)
  await page.goto(url.replace('127.0.0.1', 'localhost') + '/settings/connected-apps/new')
  await page.getByLabel('Name').fill('too late')
  await context.clearCookies()
  await page.getByRole('button', { name: 'Create key' }).click()
  await page.getByRole('alert').getByText('no key was created').waitFor()
  await page.getByLabel('Management token').waitFor()
  t.same(troubles, [])
  t.notMatch(service.output, secret)
  t.notMatch(service.output, token)
  await service.kill('SIGTERM')
})

t.test('with a gateway the page names the address of the gateway, which takes the key, and then the client that has used it', { timeout: 90_000 }, async (t) => {
  const upstream = await recordingUpstream(t)
  const service = new Child(t, { file: 'dist/main.js', env: { DATA_DIR: dataDir, PORT: '0', MCP_UPSTREAM_URL: upstream.url } })
  const [, url = ''] = await service.printed(/listens on (http:\/\/127\.0\.0\.1:\d+)/, { timeoutMs: 60_000 })
  const { page, context, troubles } = await visit(browser)
  t.teardown(() => context.close())
  await page.goto(`${url}/settings`)
  await page.getByLabel('Management token').fill(readFileSync(join(dataDir, 'management-token'), 'utf8').trim())
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('link', { name: 'Create' }).first().click()
  await page.getByLabel('Name').fill('MCP client')
  await page.getByRole('button', { name: 'Create key' }).click()
  const token = await page.locator('#token').innerText()
  await page.getByRole('radio', { name: 'Any HTTP client' }).check()
  const address = await page.locator('#step-http-1').innerText()
  t.equal(address, `${url}/mcp`)
  const initialize = { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'walker', version: '1.2.3' } } }
  const answer = await fetch(address, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream' }, body: JSON.stringify(initialize) })
  t.equal(answer.status, 200)
  t.equal(upstream.received.length, 1)
  await page.locator('.first-use.used').waitFor({ timeout: 20_000 })
  t.match(await page.locator('.first-use').innerText(), /^It works: used just now, by walker\/1\.2\.3, from 127\.0\.0\.1/)
  t.same(troubles, [])
})

t.test('with a database of one\'s own and no provider the page is off, and says what switches it on', async (t) => {
  const { app, logs } = await setupApp(t)
  for (const url of ['/settings', '/settings/connected-apps', '/settings/sign-in']) {
    const answer = await app.inject({ url })
    t.equal(answer.statusCode, 404)
    t.match(answer.body, /Connected Apps is switched off[\s\S]*OIDC_ISSUER/)
    t.match(answer.headers['content-security-policy'], "default-src 'none'")
  }
  t.not((await app.inject({ method: 'POST', url: '/settings/sign-in', payload: 'management_token=x', headers: { 'content-type': 'application/x-www-form-urlencoded' } })).statusCode, 200)
  t.match(logs.join('\n'), 'The settings page is off')
})
