import { isRepeated } from './repeated-header.ts'
import { refusals, type Refusal } from './refusals.ts'

/** What is looked at of a request: node's own, so that nothing has been merged or dropped yet. */
interface RawRequest {
  readonly url?: string | undefined
  readonly headers: Readonly<Record<string, string | string[] | undefined>> & { readonly authorization?: string | undefined }
  readonly rawHeaders: readonly string[]
}

/** Tells what is shaped like a token: `TokenFormat`. */
interface TokenShape {
  foundIn (text: string): boolean
}

/** Reads the token that a request presents, or why there is none to look at. */
export type PresentedToken = (request: RawRequest) => string | Refusal

/** The header beside `Authorization` unless another is set. */
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
    // No bearer token: another scheme may be meant for a proxy on the way.
    if (token !== refusals.noToken && token !== second) return typeof token === 'string' ? refusals.twoTokens : token
    return withoutPlaceholder(second)
  }
}

const placeholder = /^(?:\$\{[^}]*\}|\$[A-Za-z_]\w*|\{\{?[^}]*\}?\}|<[^>]*>|%\w+%|\S*(?:REPLACE|YOUR[_-]?(?:API[_-]?)?(?:KEY|TOKEN))\S*)$/i
const dollar = 0x24

// Only what is too short for a token, or begins as none does, is looked at closely: this is on the way of every request.
function withoutPlaceholder (token: string | Refusal): string | Refusal {
  if (typeof token !== 'string' || (token.length >= 40 && token.charCodeAt(0) > dollar)) return token
  return placeholder.test(token) ? refusals.placeholder : token
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

// Also asked for by RFC 7235, though rarely seen: another case, more than one space.
function tokenOfUnusual (header: string, tokens: TokenShape): string | Refusal {
  const [, token] = /^bearer +([^\s,]+) *$/i.exec(header) ?? []
  if (token !== undefined) return token
  if (tokens.foundIn(header) || /^bearer\b/i.test(header)) return refusals.malformedHeader
  return refusals.noToken
}

/**
 * Whether a token travels in a query string, where logs and histories keep it. A parameter called `token` may be the
 * application's own, so beside a proper header only what is certainly meant for us counts.
 */
function holdsToken (query: string, hasHeader: boolean, tokens: TokenShape): boolean {
  if (/(?:^|&)access_token=/i.test(query)) return true
  if (!hasHeader && /(?:^|&)(?:token|api_?key)=/i.test(query)) return true
  return tokens.foundIn(query) || (query.includes('%') && tokens.foundIn(unescape(query)))
}

function unescape (query: string): string {
  return query.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
}
