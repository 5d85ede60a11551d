/** Stable codes that programs test. `http/problem-document.ts` maps each to an HTTP status and does not compile while one is missing. */
export const errorCodes = [
  'invalid_request',
  'invalid_cursor',
  'not_found',
  'method_not_allowed',
  'unauthenticated',
  'forbidden',
  'already_created',
  'already_rotated',
  'idempotency_key_reused',
  'key_revoked',
  'key_expired',
  'token_taken',
  'unsupported_media_type',
  'body_too_large',
  'headers_too_large',
  'request_timeout',
  'too_many_unknown_tokens',
  'rate_limited',
  'unavailable',
  'internal'
] as const

export type ErrorCode = typeof errorCodes[number]

/** One fault in a body or a parameter: `pointer` is a JSON pointer (RFC 6901) into what was sent. */
export interface Fault {
  readonly pointer: string
  readonly detail: string
}

interface KeysErrorOptions {
  /** What went wrong and what to do, for people; never holds what was sent. */
  readonly detail: string
  readonly faults?: readonly Fault[]
  /** Further members of the problem document, such as the id of the key that already exists. */
  readonly extra?: Readonly<Record<string, string>>
  /** Whole seconds after which trying again makes sense; becomes `Retry-After`. */
  readonly retryAfterS?: number
  /** The scheme that the credential came in, for `WWW-Authenticate` (RFC 9110, section 11.6.1). `Bearer`. */
  readonly scheme?: 'Basic' | 'Bearer'
  readonly cause?: unknown
}

/** A failure that is reported to the caller. A refused token is not a failure but a `Verdict`. */
export class KeysError extends Error {
  readonly code: ErrorCode
  readonly faults: readonly Fault[]
  readonly extra: Readonly<Record<string, string>>
  readonly retryAfterS: number | undefined
  readonly scheme: 'Basic' | 'Bearer'

  constructor (code: ErrorCode, options: KeysErrorOptions) {
    super(options.detail, { cause: options.cause })
    this.name = 'KeysError'
    this.code = code
    this.faults = options.faults ?? []
    this.extra = options.extra ?? {}
    this.retryAfterS = options.retryAfterS
    this.scheme = options.scheme ?? 'Bearer'
  }
}

/** Unavailable before anything was sent to the database: certainly nothing was changed. */
export class NothingDone extends KeysError {
  constructor (detail: string) {
    super('unavailable', { detail, retryAfterS: 5 })
  }
}

/** The answer is not known right now. Nothing was decided; repeating the request is safe. */
export function unavailable (detail: string, cause?: unknown): KeysError {
  return new KeysError('unavailable', { detail, retryAfterS: 1, cause })
}
