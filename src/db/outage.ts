import { AnswerRefused } from '../core/window/store.ts'
import { isCancelledWait } from './cancelled-wait.ts'
import { TlsRefused } from './tls.ts'

// SQLSTATE classes: connection exception, transaction rollback, insufficient resources, operator intervention, system error.
const classes = new Set(['08', '40', '53', '57', '58'])

const codes = new Set([
  '25006', // read only: the primary has become a standby
  '25P03', // idle in a transaction for too long
  '55P03', // a lock was not to be had in time
  'CONNECTION_CLOSED', 'CONNECTION_ENDED', 'CONNECTION_DESTROYED', 'CONNECT_TIMEOUT',
  'ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN',
  'ENOTFOUND', 'EAI_AGAIN', 'ENOENT', 'ENOTSOCK', 'EMFILE', 'ENFILE', 'EPROTO',
  // What Node says of a write on a connection that has just ended.
  'ERR_SOCKET_CLOSED', 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION', 'ERR_STREAM_DESTROYED', 'ERR_STREAM_WRITE_AFTER_END', 'ERR_STREAM_PREMATURE_CLOSE'
])

// FATAL, and not a matter of waiting when the service starts: what DATABASE_URL says is wrong, or not allowed.
const refusedForGood = ['28P01', '28000', '3D000', '42501']

/** Whether an error of the query layer says that the database is away or busy, and not that the statement or the address was wrong. */
export function isOutage (error: unknown): boolean {
  if (isWrongServer(error) || (isRefusedConnection(error) && !hasCode(error, ...refusedForGood))) return true
  return hasCause(error, ({ code }) => typeof code === 'string' && (codes.has(code) || (/^[0-9A-Z]{5}$/.test(code) && classes.has(code.slice(0, 2)))))
}

/**
 * Whether a running service takes an error for an outage. A password that was changed on the server is one, a certificate that is not accepted, a file with a URL
 * that cannot be used: nothing is known of any key, and the operator mends it. So is an answer that does not prove itself, and a commit that a standby may lack.
 */
export function isAway (error: unknown): boolean {
  return isOutage(error) || isRefusedConnection(error) || tlsRefusalIn(error) !== undefined || hasCode(error, 'DATABASE_URL_INVALID') ||
    hasCause(error, (cause) => cause instanceof AnswerRefused || isCancelledWait(cause))
}

/** Why no encrypted connection was made, where that is the cause of an error. */
export function tlsRefusalIn (error: unknown): TlsRefused | undefined {
  return causeIn(error, (cause): cause is TlsRefused => cause instanceof TlsRefused)
}

/** Whether an error says that the server is not the primary: a statement that writes was refused for that, or the connection was. */
export function isWrongServer (error: unknown): boolean {
  // A standby does not let a connection begin that asks for transactions that write.
  return hasCause(error, ({ code, severity }) => code === '25006' || (severity === 'FATAL' && (code === '25001' || code === '0A000')))
}

/**
 * Whether the server refused or ended the connection. Such an error says nothing about a statement: a database that takes no connections at the moment answers
 * 55000, a role that may no longer connect 42501.
 */
export function isRefusedConnection (error: unknown): boolean {
  return hasCause(error, ({ severity }) => severity === 'FATAL' || severity === 'PANIC')
}

/** Whether an error says that the statement met another one, and would do its work if it were repeated. */
export function isConflict (error: unknown): boolean {
  return hasCode(error, '40001', '40P01')
}

/** Whether an error of the query layer, or a cause of it, has one of these codes. */
export function hasCode (error: unknown, ...wanted: readonly string[]): boolean {
  return hasCause(error, ({ code }) => typeof code === 'string' && wanted.includes(code))
}

type Cause = Error & { readonly code?: unknown, readonly severity?: unknown }

/** Whether this is true of an error or of one of its causes. */
export function hasCause (error: unknown, isTrueOf: (cause: Cause) => boolean): boolean {
  return causeIn(error, (cause): cause is Cause => isTrueOf(cause)) !== undefined
}

/** The first of an error and its causes for which this is true. The query layer passes on the driver's error as the cause of its own. */
function causeIn<Found extends Cause> (error: unknown, isIt: (cause: Cause) => cause is Found): Found | undefined {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++) {
    if (isIt(cause)) return cause
  }
  return undefined
}
