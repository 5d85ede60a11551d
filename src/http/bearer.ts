import { isRepeated } from './repeated-header.ts'
import { refusals, type Refusal } from './refusals.ts'

/** What is looked at of a request: node's own, so that nothing has been merged or dropped yet. */
interface RawRequest {
  readonly url?: string | undefined
  readonly headers: { readonly authorization?: string | undefined }
  readonly rawHeaders: readonly string[]
}

/** Tells what is shaped like a token: `TokenFormat`. */
interface TokenShape {
  foundIn (text: string): boolean
}

/**
 * The token that a request presents in its one `Authorization: Bearer` header (RFC 6750, section 2.1), or why there is
 * none to look at. Whether it is a token at all, the verifier says.
 */
export function bearerToken (request: RawRequest, tokens: TokenShape): string | Refusal {
  const header = request.headers.authorization
  const url = request.url ?? ''
  const queryAt = url.indexOf('?')
  if (queryAt !== -1 && holdsToken(url.slice(queryAt + 1), header !== undefined, tokens)) return refusals.tokenInQuery
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
