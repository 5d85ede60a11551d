import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core'
import { requireProgram } from '../../support/programs.ts'
import type { Teardowns } from '../../support/servers.ts'

// All pages of a site share a process: starting one takes processor time, and the pages of the tests need no protection from one another.
const quiet = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--process-per-site', '--disable-site-isolation-trials']

/** A real headless Chromium (the headless shell needs a quarter of the processor time), with the back/forward cache that automation would switch off. */
export async function startBrowser (t: Teardowns): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: requireProgram('chromium-headless-shell'),
    args: [...quiet, '--enable-features=BackForwardCache'],
    ignoreDefaultArgs: ['--disable-back-forward-cache']
  })
  t.teardown(async () => { await browser.close() })
  return browser
}

export interface Visit {
  readonly page: Page
  readonly context: BrowserContext
  /** What the browser complained about: script errors and violations of the Content-Security-Policy. */
  readonly troubles: string[]
}

export async function visit (browser: Browser, options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await browser.newContext({ locale: 'en-GB', timezoneId: 'UTC', ...options })
  context.setDefaultTimeout(10_000)
  const page = await context.newPage()
  const troubles: string[] = []
  page.on('pageerror', (error) => { troubles.push(error.message) })
  page.on('console', (message) => { if (message.type() === 'error' || /Content.Security.Policy/i.test(message.text())) troubles.push(message.text()) })
  return { page, context, troubles }
}
