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
 * Scrubs every line by value just before it is written: redaction by path misses secrets inside
 * texts, URLs and messages of errors.
 */
export function createLogger ({ level, scrubber, destination = process.stdout }: LoggerOptions): Logger {
  return pino({ level, base: null, formatters: { level: (label) => ({ level: label }) }, serializers: { err: describeError, error: describeError } }, {
    write: (line) => { destination.write(scrubber.scrub(line)) }
  })
}

/** The destination of log lines: JSON, or `pretty` for people; `auto` means `pretty` on a terminal. */
export async function openLogDestination (format: 'auto' | 'pretty' | 'json', output: NodeJS.WriteStream = process.stdout): Promise<DestinationStream> {
  if (format === 'json' || (format === 'auto' && !output.isTTY)) return output
  const { default: pretty } = await import('pino-pretty')
  return pretty({ destination: output, colorize: output.isTTY, translateTime: 'SYS:yyyy-mm-dd HH:MM:ss.l', singleLine: true, sync: true })
}

// The message of a DrizzleQueryError contains the parameters; the message of the driver's error does not.
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

/** A new id for every request. An id from the client is not used: it could be any text, even a token. */
export function requestId (): string {
  return `${series}-${++count}`
}

/** The logger of one request. Created on first use, because nearly all requests log nothing. */
export function logOf ({ server, id }: FastifyRequest): FastifyBaseLogger {
  return server.log.child({ reqId: id })
}

/** Logs one line per request, with the route pattern instead of the URL, and without headers. Probes and scrapes are logged at debug. */
export const accessLog = fp(async (app) => {
  const log = app.log as Logger
  if (!log.isLevelEnabled('info')) return
  const probes = new Set<string | undefined>()
  app.addHook('onRoute', ({ url, config }) => {
    if (config?.isProbe === true) probes.add(url)
  })
  app.onRequestEnd(({ request, route, elapsedMs, status, isAnswered }) => {
    log[probes.has(route) ? 'debug' : 'info']({
      reqId: request.id,
      method: request.method,
      route: route ?? null,
      status: status ?? null,
      ms: Math.round(elapsedMs * 10) / 10
    }, isAnswered ? 'request' : 'the client closed the connection before the end of the answer')
  })
}, { name: 'access-log', dependencies: ['request-end'], fastify: '5.x' })
