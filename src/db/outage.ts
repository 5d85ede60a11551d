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

/** Whether an error of the query layer says that the database is away or busy, and not that the statement was wrong. */
export function isOutage (error: unknown): boolean {
  if (isWrongServer(error)) return true
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++) {
    const code = 'code' in cause ? cause.code : undefined
    if (typeof code === 'string' && (codes.has(code) || (/^[0-9A-Z]{5}$/.test(code) && classes.has(code.slice(0, 2))))) return true
  }
  return false
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
