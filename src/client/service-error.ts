import type { ErrorCode, Fault } from '../core/errors.ts'

/** The codes of the service, those of a newer one, and `unexpected_answer`: what answered is not the service. */
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
 * What the service could not or would not do. Programs test `code`. `unavailable` is never a "no": nothing is known, be it that the
 * service said so, that it was not reached, or that the time was up.
 */
export class ServiceError extends Error {
  readonly code: ServiceErrorCode
  /** The HTTP status; `undefined`: there was no answer. */
  readonly status: number | undefined
  /** What is wrong with what was sent, with a JSON pointer each. */
  readonly faults: readonly Fault[]
  /** With `already_created` and `already_rotated`: the key. */
  readonly keyId: string | undefined
  /** With `internal`: what to look for in the logs of the service. */
  readonly requestId: string | undefined
  /** Seconds after which trying again makes sense. */
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
