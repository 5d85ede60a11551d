type Log = (fields: object, message: string) => void

/** What is used of a pino logger. Nothing that comes from a request, and no error of a driver, is handed to it whole. */
export interface Logger {
  debug: Log
  info: Log
  warn: Log
  error: Log
}

export const silentLogger: Logger = { debug () {}, info () {}, warn () {}, error () {} }
