import puppeteer, { type Browser, type Page } from 'puppeteer-core'
import { requireProgram } from '../../support/programs.ts'
import { until, type Teardowns } from '../../support/servers.ts'

/** A real Firefox, driven by WebDriver BiDi. `scripts: false`: pages run no scripts. */
export async function startFirefox (t: Teardowns, { scripts = true }: { readonly scripts?: boolean } = {}): Promise<Browser> {
  const browser = await puppeteer.launch({
    browser: 'firefox', executablePath: requireProgram('firefox-esr'), headless: true, args: ['--no-remote'], ...!scripts && { extraPrefsFirefox: { 'javascript.enabled': false } }
  })
  t.teardown(async () => { await browser.close() })
  return browser
}

/**
 * Reads and uses a page by its text, with real mouse and keyboard events. The locators of puppeteer run timers in the page, which never fire in a page without
 * scripts; single evaluations do work there.
 */
export class PageByText {
  readonly #page: Page

  constructor (page: Page) {
    this.#page = page
  }

  /** Resolves to the text of the page, or of one element, as soon as it matches. */
  async text (wanted: RegExp, selector = 'body'): Promise<string> {
    let text = ''
    await until(async () => { text = await this.#page.evaluate(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ''`) as string; return wanted.test(text) })
    return text
  }

  /** Clicks the first visible link, button or label with exactly this text. */
  async press (name: string): Promise<void> {
    await this.click(`[...document.querySelectorAll('a, button, label, summary')].find((one) => one.innerText.trim() === ${JSON.stringify(name)} && one.getClientRects().length > 0)`)
  }

  /** `expression`: evaluates to the element in the page. */
  async click (expression: string): Promise<void> {
    let place: { x: number, y: number } | undefined
    await until(async () => {
      place = await this.#page.evaluate(`(() => { const one = ${expression}; if (!one) return; one.scrollIntoView({ block: 'center' }); const { x, y, width, height } = one.getBoundingClientRect(); return { x: x + width / 2, y: y + height / 2 } })()`) as typeof place
      return place !== undefined
    })
    await this.#page.mouse.click(place!.x, place!.y)
  }

  /** Types into the field with this id, instead of what it contains. */
  async type (id: string, text: string): Promise<void> {
    await this.click(`document.getElementById(${JSON.stringify(id)})`)
    await this.#page.keyboard.down('Control')
    await this.#page.keyboard.press('a')
    await this.#page.keyboard.up('Control')
    await this.#page.keyboard.type(text)
  }
}
