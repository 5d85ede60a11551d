import { html as template } from 'hono/html'
import type { HtmlEscapedString } from 'hono/utils/html'

/** Markup that is safe to send: only the `html` tag makes it, and only it passes through `html` unescaped. */
export type Html = HtmlEscapedString

type Child = Html | string | number | false | null | undefined | readonly Child[]

/**
 * Markup from a template. Every value is escaped, for text and for quoted attributes alike, unless it is markup
 * itself; `false`, `null` and `undefined` leave nothing. Attributes are always written in double quotes.
 */
export const html = template as (strings: TemplateStringsArray, ...values: Child[]) => Html
