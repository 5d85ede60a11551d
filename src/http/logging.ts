import { randomBytes } from 'node:crypto'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { pino, type DestinationStream, type Logger } from 'pino'
import type { Scrubber } from './scrubber.ts'

interface LoggerOptions {
  readonly level: string
  readonly scrubber: Scrubber
  readonly destination?: DestinationStream
}

/**
 * A logger whose every line is scrubbed by value, last thing before it is written: redaction by path misses what stands inside a
 * text, a URL or the message of an error.
 */
export function createLogger ({ level, scrubber, destination = process.stdout }: LoggerOptions): Logger {
  return pino({ level, base: null, serializers: { err: describeError, error: describeError } }, {
    write: (line) => { destination.write(scrubber.scrub(line)) }
  })
}

// The message of a query's error holds the query's parameters; that of the driver below it does not.
function describeError (error: unknown): unknown {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause instanceof Error ? error.cause : undefined
  const isQuery = 'query' in error && 'params' in error
  return {
    type: error.name,
    message: isQuery ? 'A query failed.' : error.message,
    code: 'code' in error ? error.code : undefined,
    stack: isQuery ? undefined : error.stack,
    ...(cause === undefined ? {} : { cause: { type: cause.name, message: cause.message, code: 'code' in cause ? cause.code : undefined } })
  }
}

const series = randomBytes(6).toString('base64url')
let count = 0

/** An id of our own for every request: one that a client sends could be anything, also a token. */
export function requestId (): string {
  return `${series}-${++count}`
}

/** For what is said about one request. Made when there is something to say: nearly all requests end without a word. */
export function logOf ({ server, id }: FastifyRequest): FastifyBaseLogger {
  return server.log.child({ reqId: id })
}

/** One line a request, with the route's pattern in the place of the URL, and no headers. */
export const accessLog = fp(async (app) => {
  const log = app.log as Logger
  if (!log.isLevelEnabled('info')) return
  app.onEnding(({ request, route, elapsedMs, status, isAnswered }) => {
    log.info({
      reqId: request.id,
      method: request.method,
      route: route ?? null,
      status: status ?? null,
      ms: Math.round(elapsedMs * 10) / 10
    }, isAnswered ? 'request' : 'the client went away before the end of the answer')
  })
}, { name: 'access-log', dependencies: ['endings'], fastify: '5.x' })
