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
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++) {
    const code = 'code' in cause ? cause.code : undefined
    if (typeof code === 'string' && (codes.has(code) || (/^[0-9A-Z]{5}$/.test(code) && classes.has(code.slice(0, 2))))) return true
  }
  return false
}

/** Whether a service that has begun takes an error for an outage. A password that was changed under it is one: nothing is known, and it is mended outside. */
export function isAway (error: unknown): boolean {
  return isOutage(error) || isRefusedConnection(error)
}

/** Whether an error says that the server is not the primary: a statement that writes was refused for that, or the connection was. */
export function isWrongServer (error: unknown): boolean {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++) {
    if (!('code' in cause)) continue
    // A standby does not let a connection begin that asks for transactions that write.
    if (cause.code === '25006' || ('severity' in cause && cause.severity === 'FATAL' && (cause.code === '25001' || cause.code === '0A000'))) return true
  }
  return false
}

/**
 * Whether an error is that of a connection which the server did not let begin, or ended, and says nothing of any statement: a database that takes no connections just
 * now is a 55000, a role that may no longer connect a 42501. A service that has begun takes it for an outage whatever its code is.
 */
export function isRefusedConnection (error: unknown): boolean {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++) {
    if ('severity' in cause && (cause.severity === 'FATAL' || cause.severity === 'PANIC')) return true
  }
  return false
}

/** Whether an error says that the statement met another one, and would do its work if it were repeated. */
export function isConflict (error: unknown): boolean {
  return hasCode(error, '40001', '40P01')
}

/** Whether an error of the query layer, or a cause of it, has one of these codes. */
export function hasCode (error: unknown, ...wanted: readonly string[]): boolean {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++) {
    if ('code' in cause && typeof cause.code === 'string' && wanted.includes(cause.code)) return true
  }
  return false
}
