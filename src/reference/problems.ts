import { KeysError, unavailable, type ErrorCode } from '../core/errors.ts'
import { already, idempotencyKeyReused, invalid, keyExpired, keyRevoked, noSuchKey } from '../core/key-errors.ts'
import { problemType, problemOf } from '../http/problem-document.ts'
import { refusalFor, refusals, type Refusal } from '../http/refusals.ts'
import type { Description, Operation } from './description.ts'

/* The errors of each operation: what their status means there, and an example for each code that it may have. */

interface Meaning {
  readonly description: string
  readonly examples: readonly object[]
}

const keyId = '01994f6e-5a3c-7d11-9c55-3e1f0a7b2c4d'
const problem = (code: ErrorCode, detail: string): object => problemOf(new KeysError(code, { detail }))
const invalidRequest = problemOf(invalid([{ pointer: '/name', detail: 'Required.' }]))
const unknownTokens = problem('too_many_unknown_tokens', 'Too many unknown tokens came from this address. Try again later with a valid token.')
const bodyOf = ({ body }: Refusal): object => JSON.parse(body) as object

const meanings: Readonly<Record<string, Meaning>> = {
  400: { description: 'Invalid request; see `errors`.', examples: [invalidRequest] },
  401: { description: 'No credential, or an unknown one.', examples: [problem('unauthenticated', 'Send "Authorization: Bearer <token>" with a management or service token of this service.')] },
  403: { description: 'The credential does not allow this: it is an API key, or a token for verification only.', examples: [problem('forbidden', 'An API key cannot manage or verify keys. Send a management token, or a service token where that is enough.')] },
  404: { description: 'The key does not exist, or belongs to another workspace.', examples: [problemOf(noSuchKey())] },
  413: { description: 'The body is too large.', examples: [problem('body_too_large', 'The body is larger than 16 KiB, the maximum for this path.')] },
  415: { description: 'The content type of the body is not supported.', examples: [problem('unsupported_media_type', 'Unsupported content type. Send the content type that /openapi.json names for this path.')] },
  422: { description: 'The `Idempotency-Key` was used for another body.', examples: [problemOf(idempotencyKeyReused())] },
  429: { description: 'Too many unknown tokens from this address. Tokens of existing keys are answered all the same.', examples: [unknownTokens] },
  default: {
    description: 'Any other error, such as a request that took too long (408), headers that are too large (431), or an unexpected error (500).',
    examples: [problemOf(new KeysError('internal', { detail: 'Internal error. Search the logs for the "request_id" of this answer.', extra: { request_id: 'req-1' } }))]
  },
  503: { description: 'The answer is not known right now; try again after `Retry-After` seconds. A change may have been made: repeat it.', examples: [problemOf(unavailable('A store that this request needs is unavailable. Try again.'))] }
}

const queries: Readonly<Record<string, Meaning>> = {
  400: { description: 'A credential was sent in the query string.', examples: [problem('invalid_request', 'The query string contains a credential, and logs keep query strings. Send the credential in the Authorization header, and revoke or replace it.')] }
}

const lists: Readonly<Record<string, Meaning>> = { 400: { description: 'Invalid request; see `errors`. Or a cursor of another list.', examples: [invalidRequest, problem('invalid_cursor', 'Invalid cursor for this list. Send "next_cursor" unchanged, with the same workspace and filters, or omit "cursor" to start from the newest.')] } }

/** Where an operation differs from the others. */
const ofOperation: Readonly<Record<string, Readonly<Record<string, Meaning>>>> = {
  createKey: { 409: { description: 'A key was already created with this `Idempotency-Key`; `key_id` is its id.', examples: [problemOf(already('already_created', keyId))] } },
  importKeys: { 409: { description: 'Another workspace has one of the tokens. No key was imported.', examples: [{ ...problem('token_taken', 'Another workspace already has one of these tokens; see "errors". Nothing was imported.'), errors: [{ pointer: '/keys/0/token_sha256', detail: 'Another workspace has this token.' }] }] } },
  updateKey: { 409: { description: 'The key is revoked, and can no longer be changed.', examples: [problemOf(keyRevoked())] } },
  rotateKey: { 409: { description: 'The key is revoked or expired, or was already rotated with this `Idempotency-Key`.', examples: [problemOf(keyRevoked()), problemOf(keyExpired()), problemOf(already('already_rotated', keyId))] } },
  listKeys: lists,
  listAudit: lists,
  listCalls: lists,
  livez: queries,
  readyz: queries,
  metrics: queries,
  reportLeaksByGithub: { 401: { description: 'The report is not signed by GitHub.', examples: [problem('unauthenticated', 'The report is not signed by GitHub: Github-Public-Key-Identifier and Github-Public-Key-Signature do not match the body. For reports from other sources, use POST /v1/leaks.')] } },
  // The codes are the reasons of `/v1/verify`.
  forwardAuth: {
    401: { description: 'No key, or one that is malformed, unknown, revoked or expired.', examples: [refusals.noToken, ...(['malformed', 'unknown', 'revoked', 'expired'] as const).map((reason) => refusalFor(reason, undefined))].map(bodyOf) },
    403: { description: 'The key has too little scope, or may not be used from this address.', examples: [refusalFor('insufficient_scope', 'mcp:write'), refusalFor('address_not_allowed', undefined)].map(bodyOf) },
    429: { description: 'The key is over its rate limit, or too many unknown tokens came from this address.', examples: [bodyOf(refusalFor('rate_limited', undefined)), unknownTokens] }
  }
}

type Examples = NonNullable<NonNullable<Description['components']>['examples']>

/**
 * Says what each error status of an operation means, with an example for each code. `default`: the errors that every operation may have. Adds the
 * examples to `examples`, once for all operations.
 */
export function completeProblems (operationId: string, responses: NonNullable<Operation['responses']>, examples: Examples): void {
  if (Object.values(responses).some(({ content }) => content?.[problemType] !== undefined)) responses['default'] = { description: '', content: { [problemType]: { schema: { $ref: '#/components/schemas/Problem' } } } }
  const ownName = operationId.startsWith('forwardAuth') ? 'forwardAuth' : operationId
  const own = ofOperation[ownName]
  for (const [status, answer] of Object.entries(responses)) {
    const media = answer.content?.[problemType]
    const meaning = own?.[status] ?? meanings[status]
    if (media === undefined || meaning === undefined) continue
    answer.description = meaning.description
    media.examples = Object.fromEntries(meaning.examples.map((value) => {
      const { code } = value as { code: string }
      const isOther = examples[code] !== undefined && JSON.stringify(examples[code].value) !== JSON.stringify(value)
      const name = isOther ? `${ownName}_${code}` : code
      examples[name] = { value }
      return [code, { $ref: `#/components/examples/${name}` }]
    }))
  }
}
