import type { ErrorCode, Fault } from '../core/errors.ts'

/** The codes of the service, those of newer versions, and `unexpected_answer`: the answer did not come from the service. */
export type ServiceErrorCode = ErrorCode | 'unexpected_answer' | (string & {})

interface ServiceErrorOptions {
  readonly detail: string
  readonly status?: number | undefined
  readonly faults?: readonly Fault[] | undefined
  readonly keyId?: string | undefined
  readonly requestId?: string | undefined
  readonly retryAfterS?: number | undefined
  readonly cause?: unknown
}

/**
 * A request that failed. Programs test `code`. `unavailable` is never a refusal: the answer is not known, because the service
 * said so, could not be reached, or did not answer in time.
 */
export class ServiceError extends Error {
  readonly code: ServiceErrorCode
  /** The HTTP status; `undefined`: there was no answer. */
  readonly status: number | undefined
  /** The invalid parts of the request, each with a JSON pointer (RFC 6901). */
  readonly faults: readonly Fault[]
  /** For `already_created` and `already_rotated`: the id of the key. */
  readonly keyId: string | undefined
  /** For `internal`: the id of the request in the logs of the service. */
  readonly requestId: string | undefined
  /** Seconds to wait before the next try (`Retry-After`). */
  readonly retryAfterS: number | undefined

  constructor (code: ServiceErrorCode, options: ServiceErrorOptions) {
    super(options.detail, { cause: options.cause })
    this.name = 'ServiceError'
    this.code = code
    this.status = options.status
    this.faults = options.faults ?? []
    this.keyId = options.keyId
    this.requestId = options.requestId
    this.retryAfterS = options.retryAfterS
  }
}
