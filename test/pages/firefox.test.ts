import axe from 'axe-core'
import t from 'tap'
import { PageByText, startFirefox } from './support/firefox.ts'
import { managementToken, servePages } from './support/pages.ts'

type Screens = ReadonlyArray<readonly [width: number, scheme: 'light' | 'dark']>

const phone: Screens = [[380, 'dark']]
const allScreens: Screens = [...phone, [380, 'light'], [768, 'light'], [768, 'dark'], [1280, 'light'], [1280, 'dark']]

// One journey: starting a browser is slow, and each step needs the previous one.
t.test('in Firefox: sign in, make a key by keyboard, see its first use by itself, rotate it, revoke it; at three widths, light and dark', async (t) => {
  const { url, database, service } = await servePages(t)
  const browser = await startFirefox(t)
  const page = await browser.newPage()
  page.setDefaultTimeout(30_000)
  const troubles: string[] = []
  page.on('pageerror', (error) => { troubles.push(String(error)) })
  const textOf = async (selector: string): Promise<string> => {
    await page.waitForSelector(selector)
    return await page.evaluate(`document.querySelector(${JSON.stringify(selector)}).innerText`) as string
  }
  const press = async (name: string): Promise<void> => { await Promise.all([page.waitForNavigation(), page.locator(`::-p-aria(${name})`).click()]) }

  async function sound (state: string, screens = phone): Promise<void> {
    await page.evaluate(axe.source)
    for (const [width, scheme] of screens) {
      await page.setViewport({ width, height: 800 })
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]).catch(() => {})
      const findings = await page.evaluate("axe.run().then(({ violations }) => violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id, nodes }) => id + ' ' + nodes[0].html))")
      t.same(findings, [], `${state}, ${scheme}, ${width} pixels wide`)
      t.equal(await page.evaluate('document.documentElement.scrollWidth - innerWidth <= 0'), true, `${state}, ${width}: nothing is wider than the window`)
    }
  }

  await page.goto(`${url}/settings`)
  await sound('signing in')
  await page.locator('#management-token').fill(managementToken)
  await page.locator('#workspace').fill('acme')
  await press('Sign in')
  await press('Create your first API key')
  // The field has the focus: type, then go through the form with Tab alone.
  await page.waitForSelector('#name:focus')
  await page.keyboard.type('Firefox')
  for (let i = 0; i < 4; i++) await page.keyboard.press('Tab')
  t.equal(await page.evaluate('document.activeElement.textContent.trim()'), 'Create key')
  await page.keyboard.press('Enter')
  t.match(await textOf('#token'), /^nops_\w{38}$/)
  await sound('the token')
  t.match(await textOf('.first-use'), /Waiting for its first use…/)
  await database.sql`update navis_keys.key_usage set last_used_at = clock_timestamp(), address = '192.0.2.7', client = 'curl/8'`
  t.match(await textOf('.first-use.used'), /It works: used just now, by curl\/8, from 192\.0\.2\.7/)
  await press('Done')
  t.match(await textOf('.keys'), /Firefox[\s\S]*in 3 months[\s\S]*Just now/i)
  await sound('the list', allScreens)
  await press('Firefox')
  await sound('a key')
  await press('Rotate')
  await press('Rotate key')
  t.match(await textOf('#token'), /^nops_\w{38}$/)
  await press('Done')
  await press('Connected Apps')
  await page.locator('[data-revoke]').click()
  await page.waitForSelector('dialog[open]')
  t.match(await textOf('dialog'), /Revoke “Firefox”\?[\s\S]*nops_/)
  await Promise.all([page.waitForNavigation(), page.locator('dialog .danger').click()])
  t.match(await textOf('.notice.good'), /“Firefox” is revoked/)
  const { keys } = await service.list({ workspaceId: 'acme', status: 'revoked', limit: 2 })
  t.match(keys, [{ name: 'Firefox' }])
  t.same(troubles, [])
})

t.test('in Firefox without scripts: sign in, correct a form, make a key, see its first use after a reload, sort, rotate, revoke, sign out', async (t) => {
  const { url, database, service } = await servePages(t)
  const browser = await startFirefox(t, { scripts: false })
  const page = await browser.newPage()
  await page.setViewport({ width: 380, height: 800 })
  const by = new PageByText(page)
  await page.goto(`${url}/settings`)
  await by.type('management-token', managementToken)
  await by.type('workspace', 'acme')
  await by.press('Sign in')
  await by.press('Create your first API key')
  await by.text(/Create API key/, 'h1')
  await by.press('Create key')
  await by.text(/The key was not created\.\s+Enter a name for the key\./)
  await by.type('name', 'Firefox')
  t.notMatch(await by.text(/Expiration/), 'Last day', 'a date is asked for only where one is wanted')
  await by.press('On a date')
  await by.text(/Last day/)
  await by.click("document.querySelector('[name=expiry][value=\"30\"]')")
  await by.press('Create key')
  t.match(await by.text(/^nops_/, '#token'), /^nops_\w{38}$/)
  t.match(await by.text(/Set up your app/), 'Add custom connector', 'Claude is set up first')
  t.equal(await page.evaluate("document.querySelectorAll('[data-copy]:not([hidden])').length"), 0, 'no button that would do nothing')
  await by.press('Cursor')
  await by.text(/Start Cursor in the same terminal/)
  const { keys: [key] } = await service.list({ workspaceId: 'acme', status: 'active', limit: 1 })
  await by.press('Done')
  await by.press('Firefox')
  await by.text(/Waiting for its first use…\s+Reload the page to check again\./, '.first-use')
  await database.sql`update navis_keys.key_usage set last_used_at = clock_timestamp(), address = '192.0.2.7', client = 'curl/8'`
  await page.reload()
  await by.text(/Last used\s+just now.*by curl\/8 from 192\.0\.2\.7/, '.facts')
  await by.press('Rotate')
  await by.press('1 week')
  await by.press('Rotate key')
  t.match(await by.text(/^nops_/, '#token'), /^nops_\w{38}$/)
  await by.text(/Previous token[\s\S]*ends in 7 days/, '.facts')
  await page.goto(`${url}/settings/connected-apps?sort=used`)
  await by.text(/Firefox[\s\S]*In 30 days/i, '.keys')
  await by.click("document.querySelector('[data-revoke]')")
  await by.text(/Revoke “Firefox”\?/, 'h1')
  await by.press('Revoke key')
  await by.text(/“Firefox” is revoked\./, '.notice')
  t.equal((await service.get({ workspaceId: 'acme', keyId: key!.id })).status, 'revoked')
  await by.press('Sign out')
  await by.text(/You are signed out/)
})
