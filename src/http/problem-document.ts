import type { ErrorCode, KeysError } from '../core/errors.ts'

interface Meaning {
  readonly status: number
  readonly title: string
}

export const meanings: Readonly<Record<ErrorCode, Meaning>> = {
  invalid_request: { status: 400, title: 'The request is not as it has to be' },
  invalid_cursor: { status: 400, title: 'The cursor is not valid' },
  not_found: { status: 404, title: 'Not found' },
  method_not_allowed: { status: 405, title: 'The method is not allowed here' },
  unauthenticated: { status: 401, title: 'A credential is needed' },
  forbidden: { status: 403, title: 'The credential does not allow this' },
  already_created: { status: 409, title: 'The key has been created already' },
  already_rotated: { status: 409, title: 'The key has been rotated already' },
  idempotency_key_reused: { status: 422, title: 'The Idempotency-Key was used for another body' },
  key_revoked: { status: 409, title: 'The key is revoked' },
  key_expired: { status: 409, title: 'The key has expired' },
  token_taken: { status: 409, title: 'The token belongs to another workspace' },
  unsupported_media_type: { status: 415, title: 'The content type is not supported here' },
  body_too_large: { status: 413, title: 'The body is too large' },
  headers_too_large: { status: 431, title: 'The headers are too large' },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  too_many_unknown_tokens: { status: 429, title: 'Too many unknown tokens' },
  unavailable: { status: 503, title: 'Not available right now' },
  internal: { status: 500, title: 'Something went wrong inside' }
}

export const problemType = 'application/problem+json'

/** RFC 9457; its schema is in `problem-schema.ts`, apart, so that who only answers needs no library for schemas. */
export function problemDocument ({ code, message, faults, extra }: Pick<KeysError, 'code' | 'message' | 'faults' | 'extra'>): string {
  const { status, title } = meanings[code]
  return JSON.stringify({
    type: `urn:navis-keys:problem:${code}`,
    title,
    status,
    detail: message,
    code,
    ...(faults.length > 0 ? { errors: faults } : {}),
    ...extra
  })
}
