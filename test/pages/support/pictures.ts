import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import { startBrowser, visit } from './browser.ts'
import { servePages } from './pages.ts'
import { create, signIn } from './steps.ts'

/* `npm run docs:pictures` makes the pictures in docs/ from keys that are made here, in a real Chromium. Look at them before they are committed. */
const teardowns: Array<() => unknown> = []
const t = { teardown: (end: () => unknown) => { teardowns.push(end) } }
const folder = fileURLToPath(new URL('../../../docs/', import.meta.url))
const dayMs = 86_400_000

try {
  const { url, service, database: { sql } } = await servePages(t)
  const { page } = await visit(await startBrowser(t), { viewport: { width: 1280, height: 860 }, deviceScaleFactor: 1, colorScheme: 'light', reducedMotion: 'reduce' })
  const list = `${url}/settings/connected-apps`

  const make = async (name: string, fields: object = {}) => (await service.create({ workspaceId: 'acme', ownerId: 'ada', actor: 'user:ada', name, scope: 'mcp:read', expiresAt: Date.now() + 90 * dayMs, ...fields })).key
  const used = async (id: string, address: string, client: string, ago: string) => {
    await sql`update navis_keys.key_usage set last_used_at = clock_timestamp() - ${ago}::interval, address = ${address}, client = ${client} where key_id = ${id}`
    await sql`insert into navis_keys.usage_days (key_id, day, accepted, revoked, rate_limited)
      select ${id}, (clock_timestamp() at time zone 'UTC')::date - n, 40 + (n * 37) % 90, case when n % 9 = 4 then 12 else 0 end, case when n % 7 = 3 then 6 else 0 end from generate_series(0, 26) n where n % 6 <> 5`
  }
  await used((await make('Nightly backup', { ownerId: 'grace', expiresAt: Date.now() + 3 * dayMs })).id, '198.51.100.20', 'curl/8.5', '7 hours')
  await make('Old laptop', { ownerId: 'grace', expiresAt: null })
  await sql`update navis_keys.keys set created_at = clock_timestamp() - interval '400 days' where name = 'Old laptop'`
  const desktop = await make('Claude Desktop', { scope: 'mcp:write', rateLimit: { requests: 600, windowSeconds: 60 }, allowedCidrs: ['192.0.2.0/24'] })
  await used(desktop.id, '192.0.2.7', 'claude-ai/0.1.0', '3 minutes')
  await sql`insert into navis_keys.usage_tools (key_id, day, tool, calls, denied, failed) select ${desktop.id}, (clock_timestamp() at time zone 'UTC')::date, tool, calls, denied, failed from (values ('search_records', 412, 0, 3), ('read_record', 231, 0, 0), ('update_record', 40, 0, 1)) as one (tool, calls, denied, failed)`
  await used((await make('CI pipeline', { ownerId: 'grace', expiresAt: Date.now() + 30 * dayMs })).id, '203.0.113.9', 'node', '2 hours')

  await signIn(page, url)
  await picture(page, 'connected-apps')
  await page.goto(`${list}/${desktop.id}`)
  await picture(page, 'connected-apps-key')
  await page.goto(`${list}/people/revoke?owner=grace`)
  await picture(page, 'connected-apps-person')
  await page.goto(`${list}/new`)
  await page.getByLabel('Name').fill('Cursor')
  await picture(page, 'connected-apps-create')
  await create(page, url, 'Cursor')
  await page.getByRole('radio', { name: 'Cursor' }).check()
  // The pictures are public: hide the token.
  await page.evaluate("for (const code of document.querySelectorAll('#token, pre code')) code.textContent = code.textContent.replace(/(nops_.{4})\\w{30}/, '$1••••••••••••••••••••••••••••••')")
  await picture(page, 'connected-apps-set-up')
  await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' })
  await page.setViewportSize({ width: 380, height: 860 })
  await page.goto(list)
  await picture(page, 'connected-apps-phone')
} finally {
  for (const end of teardowns.reverse()) await end()
}

async function picture (page: Page, name: string): Promise<void> {
  await page.evaluate('document.fonts.ready')
  await page.screenshot({ path: `${folder}${name}.png`, fullPage: true })
}
