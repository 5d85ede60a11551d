// SQLSTATE classes: connection exception, transaction rollback, insufficient resources, operator intervention, system error.
const classes = new Set(['08', '40', '53', '57', '58'])

const codes = new Set([
  '25006', // read only: the primary has become a standby
  '25P03', // idle in a transaction for too long
  '55P03', // a lock was not to be had in time
  'CONNECTION_CLOSED', 'CONNECTION_ENDED', 'CONNECTION_DESTROYED', 'CONNECT_TIMEOUT',
  'ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN',
  'ENOTFOUND', 'EAI_AGAIN', 'ENOENT', 'ENOTSOCK', 'EMFILE', 'ENFILE'
])

/** Whether an error of the query layer says that the database is away or busy, and not that the statement was wrong. */
export function isOutage (error: unknown): boolean {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++) {
    const code = 'code' in cause ? cause.code : undefined
    if (typeof code === 'string' && (codes.has(code) || (/^[0-9A-Z]{5}$/.test(code) && classes.has(code.slice(0, 2))))) return true
  }
  return false
}
