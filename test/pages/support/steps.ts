import type { BrowserContext, Page } from 'playwright-core'
import type { Force, ForcePath } from '../../../src/core/window/trust.ts'
import { managementToken } from './pages.ts'

export async function signIn (page: Page, url: string, workspaceId = 'acme'): Promise<void> {
  await page.goto(`${url}/settings`)
  await page.getByLabel('Management token').fill(managementToken)
  await page.getByLabel('Workspace').fill(workspaceId)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('heading', { name: 'Connected Apps' }).waitFor()
}

/** Gives the browser a session, without the pages that lead to it: for cases that are not about signing in. */
export async function enter (context: BrowserContext, url: string, workspaceId: string): Promise<void> {
  const { status, headers } = await fetch(`${url}/settings/sign-in`, {
    method: 'POST', headers: { origin: url }, body: new URLSearchParams({ management_token: managementToken, workspace_id: workspaceId }), redirect: 'manual'
  })
  const [, name, value] = /^([\w-]+)=([\w-]+);/.exec(headers.get('set-cookie') ?? '') ?? []
  if (name === undefined || value === undefined) throw new Error(`The sign-in was answered with ${status}.`)
  await context.addCookies([{ name, value, domain: new URL(url).hostname, path: '/', secure: true, httpOnly: true, sameSite: 'Lax' }])
}

export async function create (page: Page, url: string, name: string): Promise<string> {
  await page.goto(`${url}/settings/connected-apps/new`)
  await page.getByLabel('Name').fill(name)
  await page.getByRole('button', { name: 'Create key' }).click()
  return await page.locator('#token').innerText()
}

/** A `Force` that resolves when the test says so. */
export function scriptedForce () {
  const waiting = withResolvers<ForcePath>()
  const force: Force = { inForce: async () => await waiting.promise, announce () {} }
  return { force, ...waiting }
}

function withResolvers<T> () {
  let resolve!: (value: T) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<T>((_resolve, _reject) => { resolve = _resolve; reject = _reject })
  return { promise, resolve, reject }
}
