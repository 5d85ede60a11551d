import t from 'tap'
import { OpenIdProvider } from '../../src/pages/sign-in/openid-provider.ts'
import { startBrowser, visit } from './support/browser.ts'
import { clientId, clientSecret, startOpenIdProvider } from './support/openid-provider.ts'
import { servePages } from './support/pages.ts'
import { create } from './support/steps.ts'

const browser = await startBrowser(t)

// One service and one provider for all tests.
const { enter, list, url, service } = await throughProvider()

async function throughProvider () {
  const provider = await startOpenIdProvider(t)
  const claims = { workspace: 'workspace_id', owner: 'sub', admin: 'roles', adminValue: 'keys-admin' }
  const openId = new OpenIdProvider({ issuer: provider.issuer, clientId, clientSecret, scope: 'openid profile navis', claims })
  const pages = await servePages(t, { signIn: { way: 'provider', provider: openId } })
  provider.serve(pages.url)
  const enter = async (login: string) => {
    const { page, context } = await visit(browser)
    t.teardown(() => context.close())
    // The provider's own pages request a font from another server.
    await context.route((address) => address.hostname !== '127.0.0.1', (route) => route.abort())
    await page.goto(`${pages.url}/settings`)
    await page.getByRole('link', { name: 'Continue with single sign-on' }).click()
    await page.locator('[name=login]').fill(login)
    await page.locator('[name=password]').fill('any')
    await page.locator('button[type=submit]').click()
    await page.locator('button[type=submit]').click()
    await page.waitForURL(`${pages.url}/**`)
    return page
  }
  return { ...pages, enter, list: `${pages.url}/settings/connected-apps` }
}

t.test('another person\'s keys are neither seen nor revocable; an admin sees and revokes them; another workspace is another world', async (t) => {
  const ada = await enter('ada')
  await create(ada, url, 'Ada\'s key')
  const { keys: [key] } = await service.list({ workspaceId: 'acme-research', status: 'all', limit: 1 })
  t.match(key, { ownerId: 'ada', createdBy: 'user:ada' })

  for (const login of ['grace', 'alan', 'auth0|kurt']) {
    const other = await enter(login)
    await other.goto(`${list}?show=all`)
    t.equal(await other.getByText('Ada\'s key').count(), 0, login)
    t.equal((await other.goto(`${list}/${key!.id}/revoke`))!.status(), 404, login)
    await create(other, url, 'their own')
    await other.goto(list)
    await other.getByRole('link', { name: 'Revoke their own' }).click()
    const form = other.locator('dialog form')
    await form.evaluate((element, action) => { element.setAttribute('action', action) }, `${list}/${key!.id}/revoke`)
    const [answer] = await Promise.all([other.waitForResponse((response) => response.request().method() === 'POST'), other.getByRole('button', { name: 'Revoke key' }).click()])
    t.equal(answer.status(), 404, `${login}: with a form and token of one's own`)
  }
  t.match(await service.get({ workspaceId: 'acme-research', keyId: key!.id }), { status: 'active' })

  const joan = await enter('joan')
  t.match(await joan.getByRole('row', { name: /Ada's key/ }).innerText(), 'ada')
  await joan.getByRole('link', { name: 'Revoke Ada\'s key' }).click()
  await joan.getByRole('button', { name: 'Revoke key' }).click()
  await joan.locator('.notice.good').waitFor()
  t.match(await service.get({ workspaceId: 'acme-research', keyId: key!.id }), { status: 'revoked', revokedBy: 'user:joan' })
})

t.test('whoever the provider gives no workspace is not let in', async (t) => {
  const page = await enter('nobody')
  await page.getByRole('heading', { name: 'No workspace for you here' }).waitFor()
  await page.goto(list)
  t.match(page.url(), '/settings/sign-in')
})

t.test('an arrival that this browser did not set out for is refused', async (t) => {
  const { page, context } = await visit(browser)
  t.teardown(() => context.close())
  const stolen: string[] = []
  const victim = `${url}/settings/sign-in/callback?code=abc&state=def`
  t.equal((await page.goto(victim))!.status(), 401, 'without a journey')
  await page.goto(`${url}/settings/sign-in/start`)
  t.equal((await page.goto(victim))!.status(), 401, 'with a journey of another state')
  const ada = await enter('ada')
  ada.on('request', (request) => { stolen.push(request.url()) })
  await ada.goto(`${url}/settings/sign-in/start`)
  const arrival = stolen.find((address) => address.includes('/callback?'))!
  t.equal((await ada.goto(arrival))!.status(), 401, 'a second time, by the same browser')
  t.equal((await page.goto(arrival))!.status(), 401, 'by another browser')
})

t.test('signing out leads to the provider\'s own sign-out, for shared machines', async (t) => {
  const page = await enter('ada')
  await page.getByRole('button', { name: 'Sign out' }).click()
  const address = await page.getByRole('link', { name: 'End single sign-on' }).getAttribute('href')
  t.match(address, /session\/end\?.*post_logout_redirect_uri=.*signed-out/)
})
