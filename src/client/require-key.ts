import { unavailable } from '../core/errors.ts'
import { presentedToken } from '../http/bearer.ts'
import { failureFor, refusalFor, type Refusal } from '../http/refusals.ts'
import { ServiceError } from './service-error.ts'
import type { Reason, Scope, Verdict, VerifiedKey } from './wire-types.ts'

interface Gate {
  /** What the tokens of the service begin with. */
  readonly tokenPrefix: string
  /** A second header that may carry the token. Empty: none. */
  readonly keyHeader: string
  verify (token: string): Promise<Verdict>
  onFailure (error: ServiceError): void
}

/** Longer than any token that the service takes, and short enough for it to be asked about. */
const tokenLengthMax = 1024

/** The key of a request, or the whole answer to give instead: the same that the plugin and forward-auth give. */
export async function keyOrAnswer (request: Request, scope: Scope, { tokenPrefix, keyHeader, verify, onFailure }: Gate): Promise<VerifiedKey | Response> {
  const { url, headers } = request
  const authorization = headers.get('authorization') ?? undefined
  const [name, second] = [keyHeader.toLowerCase(), keyHeader === '' ? undefined : headers.get(keyHeader) ?? undefined]
  // Headers of one name come as one text with commas in it, which no token has.
  const token = presentedToken(shapeOf(tokenPrefix), name)({ url, headers: { authorization, [name]: second }, rawHeaders: [] })
  if (typeof token !== 'string') return answer(token)
  if (token.length > tokenLengthMax) return answer(refusalFor('malformed', scope))
  try {
    const verdict = await verify(token)
    return verdict.valid ? verdict.key : answer(refusalOf(verdict.reason, scope))
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    onFailure(error)
    // Whatever went wrong between us and the service says nothing about the token: it may well be good.
    return answer(failureFor(unavailable('The answer is not known right now. Try again.')))
  }
}

function answer ({ status, headers, body }: Refusal): Response {
  return new Response(body, { status, headers: { ...headers } })
}

// A newer service may have reasons that are not known here. It refuses all the same.
function refusalOf (reason: Reason, scope: Scope): Refusal {
  const refusal: Refusal | undefined = refusalFor(reason as Parameters<typeof refusalFor>[0], scope)
  return refusal ?? refusalFor('unknown', scope)
}

function shapeOf (prefix: string): { foundIn (text: string): boolean } {
  const pattern = new RegExp(`${prefix}[0-9A-Za-z]{38}`)
  return { foundIn: (text) => pattern.test(text) }
}
