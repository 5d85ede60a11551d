type Log = (fields: object, message: string) => void

/** The part of a pino logger that is used. It never gets a whole request or a whole driver error. */
export interface Logger {
  debug: Log
  info: Log
  warn: Log
  error: Log
}

export const silentLogger: Logger = { debug () {}, info () {}, warn () {}, error () {} }

/** The part of a store's failure that may be logged: its code. Messages can hold parameters and addresses. */
export function failureOf (error: unknown): { failure: string } {
  if (typeof error !== 'object' || error === null) return { failure: 'unknown' }
  const { code, name, cause } = error as { code?: unknown, name?: unknown, cause?: { code?: unknown } }
  // An aborted call has DOMException's numeric code 20, which says nothing to a reader of the log.
  const told = typeof code === 'string' ? code : cause?.code
  return { failure: String(told ?? name ?? 'unknown') }
}
