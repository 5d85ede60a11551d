import axe from 'axe-core'
import t from 'tap'
import { startFirefox } from './support/firefox.ts'
import { managementToken, servePages } from './support/pages.ts'

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

  async function sound (state: string): Promise<void> {
    await page.evaluate(axe.source)
    for (const [width, scheme] of [[380, 'dark'], [768, 'light'], [768, 'dark'], [1280, 'light'], [1280, 'dark']] as const) {
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
  await sound('the list')
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
