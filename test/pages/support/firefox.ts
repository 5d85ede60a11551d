import puppeteer, { type Browser } from 'puppeteer-core'
import { requireProgram } from '../../support/programs.ts'
import type { Teardowns } from '../../support/servers.ts'

/** A real Firefox, driven by WebDriver BiDi. */
export async function startFirefox (t: Teardowns): Promise<Browser> {
  const browser = await puppeteer.launch({ browser: 'firefox', executablePath: requireProgram('firefox-esr'), headless: true, args: ['--no-remote'] })
  t.teardown(async () => { await browser.close() })
  return browser
}
