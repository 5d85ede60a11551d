import { acceptedSource } from '../core/accepted-prefixes.ts'
import { unavailable } from '../core/errors.ts'
import { presentedToken, type PresentedToken } from '../http/bearer.ts'
import { failureFor, refusalFor, type Refusal } from '../http/refusals.ts'
import { ServiceError } from './service-error.ts'
import type { Reason, Scope, Verdict, VerifiedKey } from './wire-types.ts'

interface Gate {
  readonly presented: PresentedToken
  /** The name of the second header that may contain the token; empty: none. */
  readonly apiKeyHeader: string
  verify (token: string): Promise<Verdict>
  onFailure (error: ServiceError): void
}

/** Longer than every valid token, and short enough for a request body. */
const tokenLengthMax = 1024

/** The key of a request, or the response to return instead: the same as of the plugin and forward-auth. */
export async function keyOrAnswer (request: Request, scope: Scope, { presented, apiKeyHeader, verify, onFailure }: Gate): Promise<VerifiedKey | Response> {
  const { url, headers } = request
  const read = (name: string) => headers.get(name) ?? undefined
  // `fetch` joins repeated headers with commas, which no token contains.
  const token = presented({ url, headers: { authorization: read('authorization'), ...apiKeyHeader === '' ? {} : { [apiKeyHeader]: read(apiKeyHeader) } }, rawHeaders: [] })
  if (typeof token !== 'string') return answer(token)
  if (token.length > tokenLengthMax) return answer(refusalFor('malformed', scope))
  try {
    const verdict = await verify(token)
    return verdict.valid ? verdict.key : answer(refusalOf(verdict.reason, scope))
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    onFailure(error)
    // A failed request says nothing about the token: it may be valid.
    return answer(failureFor(unavailable('It is not known right now whether the token is valid. Try again.')))
  }
}

function answer ({ status, headers, body }: Refusal): Response {
  return new Response(body, { status, headers: { ...headers } })
}

// A newer service may have reasons that are unknown here: they are refusals too.
function refusalOf (reason: Reason, scope: Scope): Refusal {
  const refusal: Refusal | undefined = refusalFor(reason as Parameters<typeof refusalFor>[0], scope)
  return refusal ?? refusalFor('unknown', scope)
}

/** Reads the token of a request. `prefix` and `accepted`: the prefixes of tokens, to refuse a token in a query string. */
export function tokenReader ({ prefix, accepted, header }: { readonly prefix: string, readonly accepted: readonly string[], readonly header: string }): PresentedToken {
  const pattern = new RegExp([`${prefix}[0-9A-Za-z]{38}`, ...accepted.length === 0 ? [] : [acceptedSource(accepted)]].join('|'))
  return presentedToken({ foundIn: (text) => pattern.test(text) }, header)
}
