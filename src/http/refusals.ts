import type { FastifyReply } from 'fastify'
import { counted } from '../core/counted.ts'
import { KeysError, unavailable, type ErrorCode } from '../core/errors.ts'
import type { Scope } from '../core/scopes.ts'
import type { RateDecision } from '../core/rate-limiter.ts'
import type { RateLimit } from '../core/key-record.ts'
import { rules } from '../core/key-rules.ts'
import type { Reason, Verdict } from '../core/verdict.ts'
import { meanings, problemDocument, problemType } from './problem-document.ts'

/** A complete answer, independent of the error handler, serializer and settings of the host application. */
export interface Refusal {
  readonly status: number
  /** The body has a code for programs and texts for people. */
  readonly code: RefusalCode
  readonly detail: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

type RefusalCode = Reason | ErrorCode

const realm = 'Bearer realm="navis-keys"'

/** In the words of RFC 6750, section 3; the body as RFC 9457 has it. */
function unauthorized (title: string, code: Reason, detail: string): Refusal {
  return refusal({ status: 401, title, code, detail, challenge: `${realm}, error="invalid_token", error_description="${detail}"` })
}

function refusal ({ status, title, code, detail, challenge }: {
  status: number
  title: string
  code: RefusalCode
  detail: string
  challenge: string
}): Refusal {
  return Object.freeze(answer({ status, title, code, detail }, { 'www-authenticate': challenge }))
}

function answer ({ status, title, code, detail }: { status: number, title: string, code: RefusalCode, detail: string }, headers: Readonly<Record<string, string>>): Refusal {
  return {
    status,
    code,
    detail,
    headers: Object.freeze({ 'content-type': problemType, 'cache-control': 'no-store', ...headers }),
    body: JSON.stringify({ type: `urn:navis-keys:problem:${code}`, title, status, detail, code })
  }
}

export const refusals = {
  // RFC 6750, section 3.1: without credentials the challenge has no error.
  noToken: refusal({
    status: 401,
    title: 'No token',
    code: 'unauthenticated',
    detail: 'Send an API key: Authorization: Bearer <token>.',
    challenge: realm
  }),
  tokenInQuery: unauthorized('Token in the query string', 'malformed',
    'A token in a query string is never accepted, because logs keep it. Send it in the Authorization header, and revoke this one.'),
  twoHeaders: unauthorized('Two Authorization headers', 'malformed',
    'There is more than one Authorization header. Send one.'),
  twoTokens: unauthorized('Two different tokens', 'malformed',
    'The request carries two different tokens, in two headers. Send one.'),
  placeholder: unauthorized('Placeholder instead of a token', 'malformed',
    'A placeholder was sent instead of a token: the client did not replace its variable. Set the variable in the environment in which the client starts, or enter the token itself.'),
  malformedHeader: unauthorized('Malformed Authorization header', 'malformed',
    'The Authorization header is malformed. Send the word Bearer, one space and one token.')
}

const addressNotAllowed = 'The key may not be used from this address. Use it from one of its allowed addresses, or change its allowed addresses.'

const refusedTokens: Readonly<Record<Exclude<Reason, 'insufficient_scope'>, Refusal>> = {
  malformed: unauthorized('Malformed token', 'malformed',
    'The token is malformed: a part is missing or mistyped. Copy the whole token again.'),
  unknown: unauthorized('Unknown token', 'unknown',
    'The token is unknown. Check that it was created for this service, or create a new key.'),
  revoked: unauthorized('Revoked key', 'revoked',
    'The key was revoked, or this token was replaced by a newer one. Use the newest token, or create a new key in the settings of the workspace.'),
  expired: unauthorized('Expired key', 'expired',
    'The key has expired. Create a new key in the settings of the workspace.'),
  address_not_allowed: refusal({
    status: 403,
    title: 'Address not allowed',
    code: 'address_not_allowed',
    detail: addressNotAllowed,
    challenge: `${realm}, error="address_not_allowed", error_description="${addressNotAllowed}"`
  }),
  // `/v1/verify` returns only the reason, so the time to wait is not known.
  rate_limited: tooManyRequests('The key is used too often. Try again later.', { 'retry-after': '1' })
}

const tooLittleScope: Readonly<Record<Scope, Refusal>> = {
  'mcp:read': insufficientScope('mcp:read'),
  'mcp:write': insufficientScope('mcp:write')
}

function insufficientScope (scope: Scope): Refusal {
  const detail = `The key lacks the scope ${scope}. Use a key that has it.`
  return refusal({
    status: 403,
    title: 'Insufficient scope',
    code: 'insufficient_scope',
    detail,
    challenge: `${realm}, error="insufficient_scope", error_description="${detail}", scope="${scope}"`
  })
}

/** `RateLimit` and `RateLimit-Policy`: draft-ietf-httpapi-ratelimit-headers-10. */
export function rateHeaders (rate: RateDecision): Record<string, string> {
  return { ratelimit: rateText(rate), 'ratelimit-policy': policyText(rate.limit) }
}

/** The same, of every request that a limit allows. */
export function setRateHeaders (reply: FastifyReply, rate: RateDecision): void {
  reply.header('ratelimit', rateText(rate)).header('ratelimit-policy', policyText(rate.limit))
}

function rateText ({ remaining, resetS }: RateDecision): string {
  return `"key";r=${remaining};t=${resetS}`
}

const policyTexts = new Map<number, string>()
const policyTextsMax = 1000

// Many keys have few different limits: the text of each is made once.
function policyText ({ requests, windowSeconds }: RateLimit): string {
  const limit = requests * (rules.rateWindowSecondsMax + 1) + windowSeconds
  const known = policyTexts.get(limit)
  if (known !== undefined) return known
  if (policyTexts.size >= policyTextsMax) policyTexts.clear()
  const text = `"key";q=${requests};w=${windowSeconds}`
  policyTexts.set(limit, text)
  return text
}

function rateLimited (rate: RateDecision): Refusal {
  const { requests, windowSeconds } = rate.limit
  const detail = `The key is used too often: ${counted(requests, 'request')} in ${counted(windowSeconds, 'second')} ${requests === 1 ? 'is' : 'are'} allowed. Try again in ${counted(rate.retryAfterS, 'second')}.`
  return tooManyRequests(detail, { 'retry-after': String(rate.retryAfterS), ...rateHeaders(rate) })
}

function tooManyRequests (detail: string, headers: Readonly<Record<string, string>>): Refusal {
  return answer({ status: 429, title: 'Rate limited', code: 'rate_limited', detail }, headers)
}

/** The answer to a client whose own token was refused. */
export function refusalOfVerdict ({ reason, scope, rate }: Exclude<Verdict, { valid: true }>): Refusal {
  return reason === 'rate_limited' && rate !== undefined ? rateLimited(rate) : refusalFor(reason, scope)
}

export function refusalFor (reason: Reason, scope: Scope | undefined): Refusal {
  return reason === 'insufficient_scope' ? tooLittleScope[scope ?? 'mcp:read'] : refusedTokens[reason]
}

/** The answer when verification failed without a verdict: the token may be valid. */
export function failureFor (thrown: unknown): Refusal {
  const error = thrown instanceof KeysError ? thrown : unavailable('It is not known right now whether the token is valid. Try again.', thrown)
  const known = failures.get(error)
  if (known !== undefined) return known
  const failure: Refusal = {
    status: meanings[error.code].status,
    code: error.code,
    detail: error.message,
    headers: { 'content-type': problemType, 'cache-control': 'no-store', 'retry-after': String(error.retryAfterS ?? 1) },
    body: problemDocument(error)
  }
  failures.set(error, failure)
  return failure
}

// During a flood the same error object is thrown many times.
const failures = new WeakMap<KeysError, Refusal>()

export function refuseRequest (reply: FastifyReply, { status, headers, body }: Refusal): void {
  reply.code(status).headers(headers).send(body)
}
