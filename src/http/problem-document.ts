import type { ErrorCode, Fault, KeysError } from '../core/errors.ts'

interface Meaning {
  readonly status: number
  readonly title: string
}

/** The one table from error code to HTTP status. It does not compile while a code is missing. */
export const meanings: Readonly<Record<ErrorCode, Meaning>> = {
  invalid_request: { status: 400, title: 'Invalid request' },
  invalid_cursor: { status: 400, title: 'Invalid cursor' },
  not_found: { status: 404, title: 'Not found' },
  method_not_allowed: { status: 405, title: 'Method not allowed' },
  unauthenticated: { status: 401, title: 'Credential required' },
  forbidden: { status: 403, title: 'Not allowed for this credential' },
  already_created: { status: 409, title: 'The key was already created' },
  already_rotated: { status: 409, title: 'The key was already rotated' },
  idempotency_key_reused: { status: 422, title: 'The Idempotency-Key was used for another body' },
  key_revoked: { status: 409, title: 'The key is revoked' },
  key_expired: { status: 409, title: 'The key has expired' },
  token_taken: { status: 409, title: 'The token belongs to another workspace' },
  unsupported_media_type: { status: 415, title: 'Unsupported content type' },
  body_too_large: { status: 413, title: 'The body is too large' },
  headers_too_large: { status: 431, title: 'The headers are too large' },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  too_many_unknown_tokens: { status: 429, title: 'Too many unknown tokens' },
  rate_limited: { status: 429, title: 'Rate limited' },
  unavailable: { status: 503, title: 'Temporarily unavailable' },
  internal: { status: 500, title: 'Internal error' }
}

export const problemType = 'application/problem+json'

/** RFC 9457. */
export interface ProblemDocument {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: ErrorCode
  readonly errors?: readonly Fault[]
  readonly [extra: string]: unknown
}

/** The schema is in `problem-schema.ts`, so that code which only answers does not load a schema library. */
export function problemOf ({ code, message, faults, extra }: Pick<KeysError, 'code' | 'message' | 'faults' | 'extra'>): ProblemDocument {
  const { status, title } = meanings[code]
  return {
    type: `urn:navis-keys:problem:${code}`,
    title,
    status,
    detail: message,
    code,
    ...(faults.length > 0 ? { errors: faults } : {}),
    ...extra
  }
}

export function problemDocument (error: Parameters<typeof problemOf>[0]): string {
  return JSON.stringify(problemOf(error))
}
