import { html as template } from 'hono/html'
import type { HtmlEscapedString } from 'hono/utils/html'

/** Safe markup: only the `html` tag creates it, and `html` escapes everything else. */
export type Html = HtmlEscapedString

type Child = Html | string | number | false | null | undefined | readonly Child[]

/**
 * Markup from a template. Every value is escaped, for text and for quoted attributes alike, unless it is markup
 * itself; `false`, `null` and `undefined` become nothing. Always write attributes in double quotes.
 */
export const html = template as (strings: TemplateStringsArray, ...values: Child[]) => Html
