import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { BrowserContextOptions } from 'playwright-core'
import t, { type Test } from 'tap'
import { unavailable } from '../../src/core/errors.ts'
import { until } from '../support/servers.ts'
import { startBrowser, visit } from './support/browser.ts'
import { managementToken, servePages } from './support/pages.ts'
import { create, enter, scriptedForce, signIn } from './support/steps.ts'

const dayMs = 86_400_000
const tokenShape = /nops_[0-9A-Za-z]{38}/
const withoutScript: BrowserContextOptions = { javaScriptEnabled: false }
// One browser and one service. Each case has a context and a workspace of its own.
const browser = await startBrowser(t)
const shared = await servePages(t)
let workspaces = 0

interface Setup {
  /** For a case that needs another service. */
  readonly serve?: Parameters<typeof servePages>[1]
  readonly open?: BrowserContextOptions
  readonly signedIn?: boolean
}

async function setup (t: Test, { serve, open = {}, signedIn = false }: Setup = {}) {
  const pages = serve === undefined ? shared : await servePages(t, serve)
  const workspaceId = `workspace-${++workspaces}`
  const visited = await visit(browser, open)
  t.teardown(() => visited.context.close())
  if (signedIn) await enter(visited.context, pages.url, workspaceId)
  return { ...pages, ...visited, workspaceId, list: `${pages.url}/settings/connected-apps` }
}

t.test('a hostile name is text in the list, the question, the notice and the title', async (t) => {
  const { page, url, list, troubles } = await setup(t, { signedIn: true })
  const name = '</bdi><img src=x onerror=alert(1)>"><script>alert(2)</script>'
  let alerts = 0
  page.on('dialog', (dialog) => { alerts++; dialog.dismiss().catch(() => {}) })
  await create(page, url, name)
  t.equal(await page.locator('h1 bdi').innerText(), name)
  await page.goto(list)
  t.equal(await page.locator('.key-name bdi').innerText(), name)
  await page.locator('[data-revoke]').click()
  t.equal(await page.locator('dialog bdi').innerText(), name)
  t.match(await page.locator('dialog dl').innerText(), /nops_.*Last used\s+Never/s)
  await page.getByRole('button', { name: 'Revoke key' }).click()
  t.equal(await page.locator('.notice bdi').innerText(), name)
  t.equal(await page.locator('main img, main script').count(), 0)
  t.equal(alerts, 0)
  t.same(troubles, [])
})

for (const open of [{}, withoutScript]) {
  const how = open === withoutScript ? 'without scripts' : 'with scripts'

  t.test(`the token is shown once: neither reload nor back nor forward brings it again, ${how}`, async (t) => {
    const { page, url, list, service, workspaceId } = await setup(t, { open, signedIn: true })
    const token = await create(page, url, 'CI pipeline')
    t.match(token, tokenShape)
    await page.reload()
    t.notMatch(await page.content(), tokenShape, 'reload')
    t.equal((await service.list({ workspaceId, status: 'all', limit: 10 })).keys.length, 1, 'reload makes no second key')
    t.equal(await page.locator('h1').innerText(), open === withoutScript ? 'This key was already created' : 'Connected Apps')

    const other = await create(page, url, 'Claude Desktop')
    t.match(other, tokenShape)
    await page.getByRole('link', { name: 'Done' }).click()
    await page.locator('.keys').waitFor()
    const showsNone = async (step: string) => {
      let content = ''
      // `content()` throws while a page is unloading or loading: try again.
      await until(async () => { content = await page.content(); return true })
      t.notMatch(content, tokenShape, `${step}: ${page.url()}`)
    }
    const go = async (way: 'back' | 'forward') => {
      await (way === 'back' ? page.goBack({ waitUntil: 'commit' }) : page.goForward({ waitUntil: 'commit' })).catch(() => {})
      await showsNone(way)
    }
    for (const way of ['back', 'back', 'forward', 'forward'] as const) await go(way)

    t.match(await create(page, url, 'Left by another way'), tokenShape)
    await page.goto(`${url}/settings/signed-out`)
    await go('back')
    await page.goto(list)
    t.notMatch(await page.content(), tokenShape, 'the list')
  })
}

for (const open of [{}, withoutScript]) {
  t.test(`Back leads to the form that was corrected, and not to an error of the browser, ${open === withoutScript ? 'without scripts' : 'with scripts'}`, async (t) => {
    const { page, url, service, workspaceId } = await setup(t, { open })
    await page.goto(`${url}/settings`)
    await page.getByLabel('Management token').fill('wrong')
    await page.getByLabel('Workspace').fill(workspaceId)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('alert').waitFor()
    await page.getByLabel('Management token').fill(managementToken)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('link', { name: 'Create your first API key' }).waitFor()
    await page.goBack()
    t.equal(await page.locator('h1').innerText(), 'Sign in to Connected Apps')
    await page.goto(`${url}/settings/connected-apps/new`)
    await page.getByRole('button', { name: 'Create key' }).click()
    await page.getByText('The key was not created.').waitFor()
    await page.getByLabel('Name').fill('CI pipeline')
    await page.getByRole('button', { name: 'Create key' }).click()
    await page.locator('#token').waitFor()
    await page.goBack()
    t.equal(await page.locator('h1').innerText(), 'Create API key')
    t.notMatch(await page.content(), tokenShape)
    t.equal((await service.list({ workspaceId, status: 'all', limit: 5 })).keys.length, 1)
  })
}

t.test('a page with a token is emptied when it is left, also where the browser keeps whole pages', async (t) => {
  const { page, url } = await setup(t, { signedIn: true })
  t.match(await create(page, url, 'CI pipeline'), tokenShape)
  await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
  t.notMatch(await page.content(), tokenShape)
})

t.test('everything works without scripts', async (t) => {
  const { page, url, list, service, database, workspaceId } = await setup(t, { open: withoutScript })
  await signIn(page, url, workspaceId)
  await page.getByRole('link', { name: 'Create your first API key' }).click()
  await page.getByLabel('Name').fill('Nightly job')
  await page.getByRole('radio', { name: 'Read + Write' }).check()
  t.notOk(await page.getByLabel('Last day').isVisible(), 'a date is asked for only')
  await page.getByRole('radio', { name: 'On a date' }).check()
  t.ok(await page.getByLabel('Last day').isVisible(), 'where one is wanted')
  t.ok(await page.getByRole('radio', { name: 'No expiration' }).isVisible(), 'endless is a choice')
  await page.getByRole('radio', { name: '90 days' }).check()
  await page.getByRole('button', { name: 'Create key' }).click()
  t.match(await page.locator('#token').innerText(), tokenShape)
  t.ok(await page.getByLabel('Claude, step 2').isVisible())
  await page.getByRole('radio', { name: 'Cursor' }).check()
  t.ok(await page.getByLabel('Cursor, step 1').isVisible(), 'tabs change')
  t.notOk(await page.getByLabel('Claude, step 2').isVisible())
  const [beside] = await Promise.all([page.context().waitForEvent('page'), page.getByRole('link', { name: 'Check whether it was used' }).click()])
  t.match(await beside.locator('.first-use').innerText(), /Waiting for its first use…\s+Reload the page/)
  await database.sql`update navis_keys.key_usage set last_used_at = clock_timestamp(), address = '192.0.2.7', client = 'curl/8'`
  await beside.reload()
  t.match(await beside.locator('.facts').innerText(), /Last used\s+just now.*by curl\/8 from 192\.0\.2\.7/)
  await beside.close()
  t.notOk(await page.getByRole('button', { name: 'Copy the key' }).isVisible(), 'no button that would do nothing')
  await page.getByRole('link', { name: 'Done' }).click()
  t.match(await page.locator('.keys tbody').innerText(), /Nightly job[\s\S]*Read \+ Write[\s\S]*in 3 months/i)
  await page.getByRole('link', { name: 'Nightly job', exact: true }).click()
  await page.getByRole('link', { name: 'Rotate' }).click()
  await page.getByRole('radio', { name: '1 week' }).check()
  await page.getByRole('button', { name: 'Rotate key' }).click()
  t.match(await page.locator('#token').innerText(), tokenShape)
  t.match(await page.locator('.facts').first().innerText(), /Previous token[\s\S]*ends in 7 days/)
  await page.getByRole('link', { name: 'Done' }).click()
  t.match(await page.locator('.history').innerText(), /Rotated by ops[\s\S]*Created by ops/)
  await page.goto(list)
  await page.getByRole('link', { name: 'Revoke Nightly job' }).click()
  await page.getByRole('heading', { name: 'Revoke “Nightly job”?' }).waitFor()
  await page.getByRole('button', { name: 'Revoke key' }).click()
  t.match(await page.locator('.notice').innerText(), '“Nightly job” is revoked.')
  t.match(await service.list({ workspaceId, status: 'all', limit: 2 }), { keys: [{ name: 'Nightly job', scope: 'mcp:write', status: 'revoked', revokedBy: 'ops' }] })
  t.equal(await page.getByText('Nightly job').count(), 1, 'the row is gone, the notice names it')
  await page.getByRole('link', { name: 'All', exact: true }).click()
  t.match(await page.locator('.keys tbody').innerText(), /Nightly job\s+Revoked/)
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.goto(list)
  t.match(page.url(), '/settings/sign-in')
})

for (const open of [{}, withoutScript]) {
  t.test(`a revocation that takes longer says what it waits for, and then that it is in force, ${open === withoutScript ? 'without scripts' : 'with scripts'}`, async (t) => {
    const scripted = scriptedForce()
    const { page, list, service, workspaceId } = await setup(t, { serve: { force: scripted.force }, open, signedIn: true })
    const { key } = await service.create({ workspaceId, actor: 'test', name: 'CI pipeline', scope: 'mcp:read' })
    await page.goto(`${list}/${key.id}/revoke`)
    await page.getByRole('button', { name: 'Revoke key' }).click({ noWaitAfter: true })
    const waiting = page.locator('.waiting')
    await waiting.waitFor()
    t.match(await waiting.innerText(), /Revoking “CI pipeline”…[\s\S]*Waiting for a server that has not confirmed[\s\S]*at most 11 seconds/)
    scripted.resolve('slow')
    await page.getByText('“CI pipeline” is revoked').waitFor()
    t.notOk(await waiting.isVisible())
    if (open === withoutScript) await page.getByRole('link', { name: 'Back to Connected Apps' }).click()
    await page.getByRole('heading', { name: 'Connected Apps' }).waitFor()
  })
}

t.test('a revocation whose end is not known says that, and offers to try again', async (t) => {
  const scripted = scriptedForce()
  const { page, list, service, workspaceId } = await setup(t, { serve: { force: scripted.force }, signedIn: true })
  const { key } = await service.create({ workspaceId, actor: 'test', name: 'CI pipeline', scope: 'mcp:read' })
  await page.goto(`${list}/${key.id}/revoke`)
  await page.getByRole('button', { name: 'Revoke key' }).click({ noWaitAfter: true })
  await page.locator('.waiting').waitFor()
  scripted.reject(unavailable('Not known.'))
  await page.getByRole('heading', { name: 'Not known whether “CI pipeline” is revoked' }).waitFor()
  t.ok(await page.getByRole('link', { name: 'Try again' }).isVisible())
})

t.test('the pages are shown in a frame of the origins that may, and of no other', async (t) => {
  const host = createServer((request, response) => {
    response.setHeader('content-type', 'text/html')
    response.end(`<iframe src="${new URL(request.url ?? '/', 'http://host').searchParams.get('pages') ?? ''}/settings" width="900" height="700"></iframe>`)
  })
  await new Promise<void>((resolve) => { host.listen(0, resolve) })
  t.teardown(() => { host.close(); host.closeAllConnections() })
  const { port } = host.address() as AddressInfo
  const { page, url } = await setup(t, { serve: { frameOrigins: [`http://127.0.0.1:${port}`] } })
  await page.goto(`http://127.0.0.1:${port}/?pages=${url}`)
  const frame = page.frameLocator('iframe')
  await frame.getByLabel('Management token').fill(managementToken)
  await frame.getByLabel('Workspace').fill('acme')
  await frame.getByRole('button', { name: 'Sign in' }).click()
  await frame.getByRole('link', { name: 'Create your first API key' }).click()
  await frame.getByLabel('Name').fill('Framed')
  await frame.getByRole('button', { name: 'Create key' }).click()
  t.match(await frame.locator('#token').innerText(), tokenShape)
  const refused = page.waitForEvent('console', (message) => /frame-ancestors/.test(message.text()))
  await page.goto(`http://localhost:${port}/?pages=${url}`)
  await refused
  t.equal(await frame.getByLabel('Management token').count(), 0)
})

t.test('a forged form, sent by the browser of someone who is signed in, is refused', async (t) => {
  const { page, url, service, workspaceId } = await setup(t, { signedIn: true })
  const { key } = await service.create({ workspaceId, actor: 'test', name: 'stays', scope: 'mcp:read' })
  const attacker = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html')
    response.end(`<form method="post" action="${url}/settings/connected-apps/${key.id}/revoke"><input name="form_token" value="x"><button>Win a prize</button></form>`)
  })
  await new Promise<void>((resolve) => { attacker.listen(0, resolve) })
  t.teardown(() => { attacker.close() })
  const { port } = attacker.address() as AddressInfo
  // The second origin is the same site, so the browser sends the cookie: only the guard can refuse the form.
  for (const from of [`http://localhost:${port}`, `http://127.0.0.1:${port}`]) {
    await page.goto(from)
    const [answer] = await Promise.all([page.waitForResponse((response) => response.url().startsWith(url)), page.getByRole('button').click()])
    t.equal(answer.status(), 403, from)
    const headers = await answer.request().allHeaders()
    t.equal(headers['cookie'] !== undefined, from.includes('127.0.0.1'), `${from}: the cookie`)
  }
  t.match(await service.get({ workspaceId, keyId: key.id }), { status: 'active' })
})

// The outline may be drawn on the element that is visible in place of a control.
const focusShows = `[document.activeElement, document.activeElement.nextElementSibling, document.activeElement.closest('.choice')]
  .some((element) => element !== null && getComputedStyle(element).outlineStyle === 'solid')`
const focused = 'document.activeElement.textContent'
// The text of what has the focus: of a link or button, of the label around a radio button, or the name of a field.
const focusedName = '(() => { const one = document.activeElement; return (one.matches(\'[type=radio]\') ? one.closest(\'label\') : one).textContent.trim().replace(/^Copied|\\s+/g, \' \').trim() || one.name || \'\' })()'
const clipboard = 'navigator.clipboard.readText()'

t.test('by keyboard alone: make a key, choose its expiry, revoke it; focus is always to be seen', async (t) => {
  const { page, list } = await setup(t, { signedIn: true })
  await page.goto(`${list}/new`)
  // The browser moves the focus to the first field a moment after loading the page.
  await page.locator('input[name="name"]:focus').waitFor()
  await page.keyboard.type('Keyboard')
  const keys = ['Tab', 'ArrowDown', 'Tab', 'ArrowLeft', 'Tab', 'Tab']
  for (const key of keys) {
    await page.keyboard.press(key)
    t.ok(await page.evaluate(focusShows), `focus shows after ${key}`)
  }
  await page.keyboard.press('Enter')
  await page.locator('#token').waitFor()
  await page.goto(list)
  t.match(await page.locator('.keys tbody').innerText(), /Keyboard[\s\S]*Read \+ Write[\s\S]*in 30 days/i)
  await page.getByRole('link', { name: 'Revoke Keyboard' }).focus()
  await page.keyboard.press('Enter')
  t.equal(await page.evaluate(focused), 'Keep it', 'the harmless answer comes first')
  await page.keyboard.press('Escape')
  t.equal(await page.evaluate(focused), 'Revoke Keyboard', 'and focus returns')
  await page.keyboard.press('Enter')
  await page.keyboard.press('Shift+Tab')
  await page.keyboard.press('Enter')
  await page.locator('.notice.good').waitFor()
})

t.test('by keyboard alone: copy the key, choose a client, search, rename a key, rotate it; focus is always to be seen', async (t) => {
  const { page, url, list, service, workspaceId } = await setup(t, { open: { permissions: ['clipboard-read', 'clipboard-write'] }, signedIn: true })
  const tabTo = async (wanted: RegExp) => {
    for (let presses = 0; presses < 60; presses++) {
      await page.keyboard.press('Tab')
      if (wanted.test(await page.evaluate<string>(focusedName))) {
        t.ok(await page.evaluate(focusShows), `focus shows on ${String(wanted)}`)
        return
      }
    }
    throw new Error(`Tab does not reach ${String(wanted)}.`)
  }
  const token = await create(page, url, 'Keyboard')
  await tabTo(/^Copy the key/)
  await page.keyboard.press('Enter')
  await page.getByText('Copied').first().waitFor()
  t.equal(await page.evaluate<string>(clipboard), token)
  await tabTo(/^Claude$/)
  await page.keyboard.press('ArrowRight')
  await page.keyboard.press('ArrowRight')
  t.ok(await page.getByLabel('Claude Code, step 1').isVisible())
  await tabTo(/^Copy step 2 for Claude Code/)
  await page.keyboard.press('Enter')
  await page.waitForFunction(`${clipboard}.then((text) => text.startsWith('claude mcp add'))`)
  await tabTo(/^Done$/)
  await page.keyboard.press('Enter')
  await page.locator('.keys').waitFor()
  await tabTo(/^q$/)
  await page.keyboard.type('board')
  await page.keyboard.press('Enter')
  await page.waitForURL(/q=board/)
  await tabTo(/^Keyboard$/)
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Keyboard' }).waitFor()
  await tabTo(/^name$/)
  await page.keyboard.press('Control+A')
  await page.keyboard.type('Renamed')
  await tabTo(/^Limits/)
  await page.keyboard.press('Enter')
  await tabTo(/^rate_requests$/)
  await page.keyboard.type('600')
  await page.keyboard.press('Enter')
  await page.getByText('The change is saved and in force.').waitFor()
  const { keys: [key] } = await service.list({ workspaceId, status: 'active', limit: 2 })
  t.match(key, { name: 'Renamed', rateLimit: { requests: 600, windowSeconds: 60 } })
  await page.goto(`${list}/${key!.id}`)
  await tabTo(/^Rotate$/)
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Rotate “Renamed”' }).waitFor()
  await tabTo(/^1 day$/)
  await page.keyboard.press('ArrowLeft')
  await tabTo(/^Rotate key$/)
  await page.keyboard.press('Enter')
  t.match(await page.locator('#token').innerText(), tokenShape)
  t.match(await page.locator('.facts').first().innerText(), /Previous token[\s\S]*ends in 1 hour/)
})

// Links within a text are excepted (WCAG 2.2, 2.5.8).
const tooSmall = `[...document.querySelectorAll('.button, .switch a, .sections a, .crumb, .tab span, .pill span, summary, select, input.text, label.choice')]
  .filter((one) => one.getClientRects().length > 0 && one.getBoundingClientRect().height < 44)
  .map((one) => one.textContent.trim() + ' ' + one.getBoundingClientRect().height)`

t.test('on a touch screen everything that is pressed is large enough for a finger', async (t) => {
  const { page, url, list, service, workspaceId } = await setup(t, { open: { hasTouch: true, isMobile: true, viewport: { width: 380, height: 800 } } })
  const { key } = await service.create({ workspaceId, actor: 'test', name: 'CI pipeline', scope: 'mcp:read' })
  await page.goto(`${url}/settings`)
  t.same(await page.evaluate(tooSmall), [], 'signing in')
  await signIn(page, url, workspaceId)
  for (const path of ['', '/new', '/people', '/policy', '/audit', `/${key.id}`, `/${key.id}/rotate`, `/${key.id}/revoke`]) {
    await page.goto(list + path)
    t.same(await page.evaluate(tooSmall), [], path)
  }
  await create(page, url, 'Phone')
  t.same(await page.evaluate(tooSmall), [], 'the token')
})

t.test('Copy puts the token and each configuration on the clipboard', async (t) => {
  const { page, url } = await setup(t, { open: { permissions: ['clipboard-read', 'clipboard-write'] }, signedIn: true })
  const token = await create(page, url, 'CI pipeline')
  await page.getByRole('button', { name: 'Copy the key' }).click()
  await page.getByText('Copied').first().waitFor()
  t.equal(await page.evaluate<string>(clipboard), token)
  await page.getByRole('radio', { name: 'Cursor' }).check()
  await page.getByRole('button', { name: 'Copy step 4 for Cursor' }).click()
  await page.waitForFunction(`${clipboard}.then((text) => text.startsWith('{'))`)
  // eslint-disable-next-line no-template-curly-in-string -- Cursor fills it in
  t.match(JSON.parse(await page.evaluate<string>(clipboard)), { mcpServers: { navis: { url: `${url}/mcp`, headers: { Authorization: 'Bearer ${env:NAVIS_KEY}' } } } })
})

t.test('keys that end soon or lie unused are marked, with the exact time beside it', async (t) => {
  const { page, list, service, database, workspaceId } = await setup(t, { signedIn: true })
  await service.create({ workspaceId, actor: 'test', name: 'ending', scope: 'mcp:read', expiresAt: Date.now() + 3 * dayMs + 60_000 })
  await service.create({ workspaceId, actor: 'test', name: 'lying', scope: 'mcp:read' })
  await database.sql`update navis_keys.keys set created_at = clock_timestamp() - interval '400 days' where name = 'lying'`
  await page.goto(list)
  const ending = page.getByRole('row', { name: /ending/ })
  t.match(await ending.innerText(), /in 3 days\s+\d+\s\w+\s\d{4},\s\d\d:\d\d\sUTC\s+Expires soon/i)
  t.match(await page.getByRole('row', { name: /lying/ }).innerText(), /Unused for 90 days/)
})
