import t from 'tap'
import { until } from '../support/servers.ts'
import { axeRun, axeSource, toldOf, type Findings } from './support/axe.ts'
import { Firefox, PageByText } from './support/firefox.ts'
import { managementToken, servePages } from './support/pages.ts'

type Screens = ReadonlyArray<readonly [width: number, scheme: 'light' | 'dark']>

const phone: Screens = [[380, 'dark']]
const allScreens: Screens = [...phone, [380, 'light'], [768, 'light'], [768, 'dark'], [1280, 'dark'], [1280, 'light']]

// Taller than any page: Firefox may send a press to the place that a page had before it was scrolled.
const height = 3000

// One browser for all: starting it takes longer than a journey.
const firefox = await Firefox.start(t)

// One journey: each step needs the previous one.
t.test('in Firefox: sign in, make a key by keyboard, see its first use by itself, rotate it, revoke it; at three widths, light and dark', async (t) => {
  const { url, database, service } = await servePages(t)
  const page = await firefox.open()
  const troubles: string[] = []
  page.on('pageerror', (error) => { troubles.push(String(error)) })
  const by = new PageByText(page)

  async function sound (state: string, screens = phone): Promise<void> {
    await page.evaluate(axeSource)
    for (const [index, [width, scheme]] of screens.entries()) {
      await page.setViewport({ width, height })
      await firefox.setColorScheme(scheme)
      await until(async () => await page.evaluate('matchMedia("(prefers-color-scheme: dark)").matches') === (scheme === 'dark'))
      // At a width that axe has seen in the other scheme, only what it says of colours can differ.
      const colors = screens.slice(0, index).some(([before]) => before === width)
      const { applied, violations } = await page.evaluate(axeRun({ colors })) as Findings
      t.ok(applied >= (colors ? 1 : 5), 'axe has looked at the page')
      const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
      t.same(toldOf({ applied, violations: serious }), [], `${state}, ${scheme}, ${width} pixels wide`)
      t.equal(await page.evaluate('document.documentElement.scrollWidth - innerWidth <= 0'), true, `${state}, ${width}: nothing is wider than the window`)
    }
  }

  await page.goto(`${url}/settings`)
  await sound('signing in')
  await by.type('management-token', managementToken)
  await by.type('workspace', 'acme')
  await by.press('Sign in')
  await by.press('Create your first API key')
  await by.text(/Create API key/, 'h1')
  // The field has the focus: type, then go through the form with Tab alone.
  await page.waitForSelector('#name:focus')
  await page.keyboard.type('Firefox')
  for (let i = 0; i < 4; i++) await page.keyboard.press('Tab')
  t.equal(await page.evaluate('document.activeElement.textContent.trim()'), 'Create key')
  await page.keyboard.press('Enter')
  t.match(await by.text(/^nops_/, '#token'), /^nops_\w{38}$/)
  await sound('the token')
  await by.text(/Waiting for its first use…/, '.first-use')
  await database.sql`update navis_keys.key_usage set last_used_at = clock_timestamp(), address = '192.0.2.7', client = 'curl/8'`
  await by.text(/It works: used just now, by curl\/8, from 192\.0\.2\.7/, '.first-use.used')
  await by.press('Done')
  await by.text(/Firefox[\s\S]*in 3 months[\s\S]*Just now/i, '.keys')
  await sound('the list', allScreens)
  await by.press('Firefox')
  await by.text(/^Firefox/, 'h1')
  await sound('a key')
  await by.press('Rotate')
  await by.press('Rotate key')
  t.match(await by.text(/^nops_/, '#token'), /^nops_\w{38}$/)
  await by.press('Done')
  await by.text(/Rotated by/, '.history')
  await by.press('Connected Apps')
  await by.text(/Firefox/, '.keys')
  await by.click("document.querySelector('[data-revoke]')")
  await by.text(/Revoke “Firefox”\?[\s\S]*nops_/, 'dialog[open]')
  await by.click("document.querySelector('dialog .danger')")
  await by.text(/“Firefox” is revoked/, '.notice.good')
  const { keys } = await service.list({ workspaceId: 'acme', status: 'revoked', limit: 2 })
  t.match(keys, [{ name: 'Firefox' }])
  t.same(troubles, [])
  await page.close()
})

t.test('in Firefox without scripts: sign in, correct a form, make a key, see its first use after a reload, sort, rotate, revoke, sign out', async (t) => {
  const { url, database, service } = await servePages(t)
  await firefox.setScripts(false)
  const page = await firefox.open()
  await page.setViewport({ width: 380, height })
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
