import puppeteer, { type Browser, type Page } from 'puppeteer-core'
import { requireProgram } from '../../support/programs.ts'
import { until, type Teardowns } from '../../support/servers.ts'

// Processes and services that no page needs. Each process that Firefox starts ahead costs half a second of processor time.
const quiet = {
  'app.normandy.enabled': false,
  'browser.newtab.preload': false,
  'browser.search.serpEventTelemetryCategorization.enabled': false,
  'browser.sessionstore.interval': 600_000,
  'browser.tabs.remote.separatePrivilegedContentProcess': false,
  'dom.ipc.processCount': 1,
  'dom.ipc.processPrelaunch.enabled': false,
  'dom.push.connection.enabled': false,
  'extensions.formautofill.addresses.enabled': false,
  'extensions.formautofill.creditCards.enabled': false,
  'fission.autostart': false,
  'identity.fxaccounts.enabled': false,
  'media.rdd-process.enabled': false,
  'media.utility-process.enabled': false,
  'network.process.enabled': false,
  'nimbus.rollouts.enabled': false,
  'places.history.enabled': false,
  'toolkit.telemetry.unified': false,
  // axe would see colours on their way from one scheme to the other.
  'ui.prefersReducedMotion': 1
}

interface Command { send (method: string, parameters: object): Promise<{ result: { contexts?: ReadonlyArray<{ readonly context: string }>, exceptionDetails?: { readonly text: string } } }> }

/** A real Firefox, driven by WebDriver BiDi. */
export class Firefox {
  readonly #browser: Browser
  readonly #window: string

  private constructor (browser: Browser, window: string) {
    this.#browser = browser
    this.#window = window
  }

  static async start (t: Teardowns): Promise<Firefox> {
    const browser = await puppeteer.launch({
      browser: 'firefox', executablePath: requireProgram('firefox-esr'), headless: true, networkEnabled: false, args: ['--no-remote', '--remote-allow-system-access'], extraPrefsFirefox: quiet
    })
    t.teardown(async () => { await browser.close() })
    const { result: { contexts: [window] = [] } } = await commandsOf(browser).send('browsingContext.getTree', { 'moz:scope': 'chrome' })
    if (window === undefined) throw new Error('Firefox has no window.')
    return new Firefox(browser, window.context)
  }

  /** A page with cookies of its own, in front of all others. */
  async open (): Promise<Page> {
    const context = await this.#browser.createBrowserContext()
    const page = await context.newPage()
    page.setDefaultTimeout(30_000)
    return page
  }

  /** What pages are told that the person prefers. Puppeteer can tell it only to Chromium. */
  async setColorScheme (scheme: 'light' | 'dark'): Promise<void> {
    await this.#set(`setIntPref('layout.css.prefers-color-scheme.content-override', ${scheme === 'dark' ? 0 : 1})`)
  }

  /** `false`: pages that are opened from now on run no scripts. */
  async setScripts (enabled: boolean): Promise<void> {
    await this.#set(`setBoolPref('javascript.enabled', ${enabled})`)
  }

  /** Changes a setting of the browser, as its user can. */
  async #set (change: string): Promise<void> {
    const { result: { exceptionDetails } } = await commandsOf(this.#browser).send('script.evaluate', { expression: `Services.prefs.${change}`, target: { context: this.#window }, awaitPromise: false })
    if (exceptionDetails !== undefined) throw new Error(exceptionDetails.text)
  }
}

// Puppeteer has no method for the window of the browser itself, and Firefox takes one session at a time.
function commandsOf (browser: Browser): Command {
  return (browser as unknown as { readonly connection: Command }).connection
}

const droppedAfterMs = 10_000

/**
 * Reads and uses a page by its text, with real mouse and keyboard events. The locators of puppeteer run timers in the page, which never fire in a page without
 * scripts; single evaluations do work there.
 */
export class PageByText {
  readonly #page: Page
  /** What was pressed last, and on which page. */
  #pressed: { readonly expression: string, readonly page: number } | undefined

  constructor (page: Page) {
    this.#page = page
  }

  /** Resolves to the text of the page, or of one element, as soon as it matches. Firefox drops a press now and then: if nothing has come of the last one for long, it is made again. */
  async text (wanted: RegExp, selector = 'body'): Promise<string> {
    let text = ''
    let pressedAt = performance.now()
    await until(async () => {
      text = await this.#page.evaluate(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ''`) as string
      if (wanted.test(text)) return true
      if (performance.now() > pressedAt + droppedAfterMs) {
        pressedAt = performance.now()
        await this.#pressAgain()
      }
      return false
    })
    return text
  }

  async #pressAgain (): Promise<void> {
    const { expression, page } = this.#pressed ?? {}
    if (expression !== undefined && await this.#page.evaluate(`performance.timeOrigin === ${page} && ${expression} !== undefined`) === true) await this.click(expression)
  }

  /** Clicks the first visible link, button or label with exactly this text. */
  async press (name: string): Promise<void> {
    await this.click(`[...document.querySelectorAll('a, button, label, summary')].find((one) => one.innerText.trim() === ${JSON.stringify(name)} && one.getClientRects().length > 0)`)
  }

  /** `expression`: evaluates to the element in the page. */
  async click (expression: string): Promise<void> {
    let place: { x: number, y: number, page: number } | undefined
    await until(async () => {
      // Before the first picture of a page, Firefox drops presses. It does not report that picture of every page.
      place = await this.#page.evaluate(`(() => { const one = ${expression}; if (!one || (performance.getEntriesByName('first-contentful-paint').length === 0 && performance.now() < 5000)) return; one.scrollIntoView({ block: 'center' }); const { x, y, width, height } = one.getBoundingClientRect(); return { x: x + width / 2, y: y + height / 2, page: performance.timeOrigin } })()`) as typeof place
      return place !== undefined
    })
    this.#pressed = { expression, page: place!.page }
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
