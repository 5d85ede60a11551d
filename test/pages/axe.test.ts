import axe from 'axe-core'
import t from 'tap'
import { startBrowser, visit } from './support/browser.ts'
import { servePages } from './support/pages.ts'
import { create, scriptedForce, signIn } from './support/steps.ts'

const browser = await startBrowser(t)
const emulations = [...(['light', 'dark'] as const).flatMap((colorScheme) => [1280, 380].map((width) => ({ colorScheme, width }))), { colorScheme: 'dark' as const, width: 768 }]

t.test('axe finds nothing in any state, light and dark, wide and narrow, and nothing is wider than the window', async (t) => {
  const scripted = scriptedForce()
  const { url, service, database } = await servePages(t, { force: scripted.force })
  const { page, context, troubles } = await visit(browser, { reducedMotion: 'reduce' })
  t.teardown(() => context.close())
  const list = `${url}/settings/connected-apps`

  async function sound (state: string): Promise<void> {
    await page.evaluate(axe.source)
    for (const { colorScheme, width } of emulations) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      await page.setViewportSize({ width, height: 800 })
      const here = `${state}, ${colorScheme}, ${width} pixels wide`
      t.same(await findings(), [], here)
      t.equal(await page.evaluate('document.documentElement.scrollWidth - innerWidth'), 0, `${here}: width`)
    }
  }

  async function findings (): Promise<string[]> {
    const { violations, passes } = await page.evaluate('axe.run()') as axe.AxeResults
    if (passes.length < 5) throw new Error('axe has not looked at the page.')
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary ?? ''}`).join('\n')}`)
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
