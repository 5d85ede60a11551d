/** What is looked at of the database's server every few seconds. */
export interface DatabaseServer extends Standbys {
  /** Of all clients of the server, not only ours. */
  readonly connections: { readonly open: number, readonly max: number }
}

/** Servers that follow the primary. */
export interface Standbys {
  readonly count: number
  /** Those that may lack what a commit has confirmed: where one of them is promoted, revocations are lost that were answered. */
  readonly notWaitedFor: number
}
