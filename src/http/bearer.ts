import { isRepeated } from './repeated-header.ts'
import { refusals, type Refusal } from './refusals.ts'

/** Node's own request: Fastify has not merged or dropped headers yet. */
interface RawRequest {
  readonly url?: string | undefined
  readonly headers: Readonly<Record<string, string | string[] | undefined>> & { readonly authorization?: string | undefined }
  readonly rawHeaders: readonly string[]
}

/** Finds text in the form of a token: `TokenFormat`. */
interface TokenShape {
  foundIn (text: string): boolean
}

/** Returns the token that a request presents, or a refusal. */
export type PresentedToken = (request: RawRequest) => string | Refusal

/** The default of `API_KEY_HEADER`. */
export const defaultKeyHeader = 'x-api-key'

/**
 * Reads `Authorization: Bearer` (RFC 6750, section 2.1), and `header`, for clients whose forms take no `Authorization`. Both may come, if
 * they say the same. `header` empty: there is none.
 */
export function presentedToken (tokens: TokenShape, header: string = defaultKeyHeader): PresentedToken {
  const name = header.toLowerCase()
  if (name === '') return (request) => bearerToken(request, tokens)
  return (request) => {
    const value = request.headers[name]
    if (value === undefined || value === '') return bearerToken(request, tokens)
    const token = tokenOfAuthorization(request, tokens, true)
    if (token === refusals.tokenInQuery) return token
    if (isRepeated(name, request.rawHeaders)) return refusals.twoTokens
    const second = typeof value === 'string' ? value.replace(/^bearer +/i, '') : ''
    // `Authorization` may have another scheme that is meant for a proxy.
    if (token !== refusals.noToken && token !== second) return typeof token === 'string' ? refusals.twoTokens : token
    return withoutPlaceholder(second)
  }
}

// Variables of shells, of configuration files and of CI systems, and the texts that documents print in the place of a token.
const placeholder = /^["']?(?:\S*\$\{\{?[^}]*\}?\}\S*|\$(?:env:)?[A-Za-z_]\w*|\{\{?[^}]*\}?\}|<[^>]*>|%\w+%|\S*(?:REPLACE|YOUR[_-]?(?:API[_-]?)?(?:KEY|TOKEN))\S*|\S+(?:\.\.\.|\u00e2\u0080\u00a6))["']?$/i
const dollar = 0x24
const placeholderMax = 200

function isPlaceholder (text: string): boolean {
  return text.length <= placeholderMax && placeholder.test(text)
}

// Runs on every request: the expression is tried only on texts that are shorter than a token or begin with `$`.
function withoutPlaceholder (token: string | Refusal): string | Refusal {
  if (typeof token !== 'string' || (token.length >= 40 && token.charCodeAt(0) > dollar)) return token
  return isPlaceholder(token) ? refusals.placeholder : token
}

/** The token of the one `Authorization: Bearer` header alone. */
export function bearerToken (request: RawRequest, tokens: TokenShape): string | Refusal {
  return withoutPlaceholder(tokenOfAuthorization(request, tokens, false))
}

function tokenOfAuthorization (request: RawRequest, tokens: TokenShape, hasOther: boolean): string | Refusal {
  const header = request.headers.authorization
  const url = request.url ?? ''
  const queryAt = url.indexOf('?')
  if (queryAt !== -1 && holdsToken(url.slice(queryAt + 1), header !== undefined || hasOther, tokens)) return refusals.tokenInQuery
  if (header === undefined) return refusals.noToken
  if (isRepeated('authorization', request.rawHeaders)) return refusals.twoHeaders
  return header.startsWith('Bearer ') && !header.includes(' ', 7) ? header.slice(7) : tokenOfUnusual(header, tokens)
}

// RFC 7235 also allows another case and more than one space.
function tokenOfUnusual (header: string, tokens: TokenShape): string | Refusal {
  const [, token] = /^bearer +([^\s,]+) *$/i.exec(header) ?? []
  if (token !== undefined) return token
  if (isPlaceholder(header.replace(/^bearer +/i, '').trim())) return refusals.placeholder
  if (tokens.foundIn(header) || /^bearer\b/i.test(header)) return refusals.malformedHeader
  return refusals.noToken
}

/**
 * Whether a query string contains a token, which logs and browser histories would keep. With an Authorization header, a parameter named `token`
 * may belong to the application, so then only text in the form of our tokens counts.
 */
function holdsToken (query: string, hasHeader: boolean, tokens: TokenShape): boolean {
  if (/(?:^|&)access_token=/i.test(query)) return true
  if (!hasHeader && /(?:^|&)(?:token|api_?key)=/i.test(query)) return true
  return tokens.foundIn(query) || (query.includes('%') && tokens.foundIn(unescape(query)))
}

function unescape (query: string): string {
  return query.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
}
