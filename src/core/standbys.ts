/** What is read about the database server every few seconds. */
export interface DatabaseServer extends Standbys {
  /** Of all clients of the server, including other applications. */
  readonly connections: { readonly open: number, readonly max: number }
}

/** Standby servers of the primary. */
export interface Standbys {
  readonly count: number
  /** Standbys that may lack confirmed commits. If one of them is promoted, revocations that were answered can be lost. */
  readonly notWaitedFor: number
}
