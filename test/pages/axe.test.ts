import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { axeRun, axeSource, toldOf, type Findings } from './support/axe.ts'
import { startBrowser, visit } from './support/browser.ts'
import { servePages } from './support/pages.ts'
import { create, scriptedForce, signIn } from './support/steps.ts'

const browser = await startBrowser(t)
// All rules at each width, and in the other scheme those of colours alone: the test after this one reads that the schemes differ in nothing else.
const emulations = [
  { width: 1280, colorScheme: 'dark', colors: false },
  { width: 1280, colorScheme: 'light', colors: true },
  { width: 380, colorScheme: 'light', colors: false },
  { width: 380, colorScheme: 'dark', colors: true },
  { width: 768, colorScheme: 'dark', colors: false }
] as const

t.test('axe finds nothing in any state, light and dark, wide and narrow, and nothing is wider than the window', async (t) => {
  const scripted = scriptedForce()
  const { url, service, database } = await servePages(t, { force: scripted.force })
  const { page, context, troubles } = await visit(browser, { reducedMotion: 'reduce' })
  t.teardown(() => context.close())
  const list = `${url}/settings/connected-apps`

  async function sound (state: string): Promise<void> {
    await page.evaluate(axeSource)
    for (const { colorScheme, width, colors } of emulations) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      await page.setViewportSize({ width, height: 800 })
      const here = `${state}, ${colorScheme}, ${width} pixels wide`
      const findings = await page.evaluate<Findings>(axeRun({ colors }))
      if (findings.applied < (colors ? 1 : 5)) throw new Error('axe has not looked at the page.')
      t.same(toldOf(findings), [], here)
      t.equal(await page.evaluate('document.documentElement.scrollWidth - innerWidth'), 0, `${here}: width`)
    }
  }

  await page.goto(`${url}/settings`)
  await sound('signing in')
  await page.getByLabel('Management token').fill('wrong')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('alert').waitFor()
  await sound('signing in, refused')
  await signIn(page, url)
  await sound('no keys')
  await page.goto(`${list}/new`)
  await page.getByRole('radio', { name: 'On a date' }).check()
  await sound('the form')
  await page.getByRole('button', { name: 'Create key' }).click()
  await page.getByRole('alert').waitFor()
  await sound('the form, with faults')
  await create(page, url, 'A key with a name that is long enough to need more than one line on a phone')
  for (const client of ['Claude Desktop', 'VS Code', 'Any HTTP client']) {
    await page.getByRole('radio', { name: client }).check()
    await sound(`the token, ${client}`)
  }
  for (const name of ['expiring', 'unused', 'revoked', 'expired', 'W'.repeat(100)]) await service.create({ workspaceId: 'acme', ownerId: 'ada@example.com', actor: 'test', name, scope: 'mcp:write' })
  await database.sql`update navis_keys.keys set expires_at = clock_timestamp() + interval '3 days' where name = 'expiring'`
  await database.sql`update navis_keys.keys set created_at = clock_timestamp() - interval '400 days' where name = 'unused'`
  await database.sql`update navis_keys.keys set created_at = clock_timestamp() - interval '9 days', expires_at = clock_timestamp() - interval '1 day' where name = 'expired'`
  await database.sql`update navis_keys.keys set revoked_at = clock_timestamp(), revoked_by = 'test' where name = 'revoked'`
  await page.goto(`${list}?show=all`)
  await sound('all keys')
  for (const path of ['people', 'people/revoke?owner=ada%40example.com', 'policy', 'audit']) {
    await page.goto(`${list}/${path}`)
    await sound(path)
  }
  await page.goto(`${list}?show=all`)
  await page.getByRole('link', { name: 'Revoke expiring' }).click()
  await page.getByRole('dialog').waitFor()
  await sound('the question in place')
  const { keys: [key] } = await service.list({ workspaceId: 'acme', status: 'active', limit: 1 })
  await page.goto(`${list}/${key!.id}`)
  await sound('a key')
  await page.getByRole('link', { name: 'Rotate' }).click()
  await sound('how to rotate')
  await page.goto(`${list}/${key!.id}/revoke`)
  await sound('the question on its page')
  await page.getByRole('button', { name: 'Revoke key' }).click({ noWaitAfter: true })
  await page.getByRole('status').waitFor()
  await sound('waiting')
  scripted.resolve('slow')
  await page.locator('.notice.good').waitFor()
  await sound('revoked')
  const { key: rotated } = await service.create({ workspaceId: 'acme', actor: 'test', name: 'rotated', scope: 'mcp:read' })
  await page.goto(`${list}/${rotated.id}/rotate`)
  await page.getByRole('button', { name: 'Rotate key' }).click()
  await page.locator('#token').waitFor()
  await sound('rotated')
  await page.goto(`${list}/nothing/revoke`)
  await sound('no such key')
  await page.goto(list)
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('heading', { name: 'You are signed out' }).waitFor()
  await sound('signed out')
  t.same(troubles.filter((text) => !/status of (401|404|422)/.test(text)), [])
})

t.test('the light and the dark scheme differ in the values of colours and of a shadow, and in nothing else', async (t) => {
  const folder = new URL('../../assets/', import.meta.url)
  const css = readFileSync(new URL('settings.css', folder), 'utf8')
  const [, light = ''] = /^:root \{([^}]+)\}/m.exec(css) ?? []
  const [block, dark = ''] = /^@media \(prefers-color-scheme: dark\) \{\s+:root \{([^}]+)\}\s+\}/m.exec(css) ?? []
  const valuesOf = (text: string) => new Map(Array.from(text.matchAll(/(--[\w-]+): ([^;]+);/g), ([, name = '', value = '']) => [name, value]))
  t.equal(dark.replaceAll(/--[\w-]+: [^;]+;/g, '').trim(), '', 'it sets variables alone')
  t.ok(valuesOf(dark).size > 10)
  for (const [name, value] of valuesOf(dark)) {
    t.ok(valuesOf(light).has(name), `${name} has a light value`)
    t.match(value, name === '--shadow' ? /^0 1px 2px rgb\(.+\)$/ : /^(?:var\(--brand-[\w-]+-dark, )?#[\da-f]{3,6}\)?$/, name)
  }
  for (const name of readdirSync(folder).filter((name) => /^settings\.(?:css|js)$/.test(name))) {
    const rest = readFileSync(new URL(name, folder), 'utf8').replace(block!, '')
    t.notMatch(rest, /prefers-color-scheme|light-dark\(|matchMedia|innerWidth|@container/, `${name} knows no scheme, and scripts no width`)
  }
})
