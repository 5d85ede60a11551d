type Log = (fields: object, message: string) => void

/** What is used of a pino logger. Nothing that comes from a request, and no error of a driver, is handed to it whole. */
export interface Logger {
  debug: Log
  info: Log
  warn: Log
  error: Log
}

export const silentLogger: Logger = { debug () {}, info () {}, warn () {}, error () {} }

/** What may be logged of a store's failure: its code. Messages can hold parameters and addresses. */
export function failureOf (error: unknown): { failure: string } {
  if (typeof error !== 'object' || error === null) return { failure: 'unknown' }
  const { code, name, cause } = error as { code?: unknown, name?: unknown, cause?: { code?: unknown } }
  // An aborted call has the old numeric code 20 of DOMException, which tells nobody anything.
  const told = typeof code === 'string' ? code : cause?.code
  return { failure: String(told ?? name ?? 'unknown') }
}
