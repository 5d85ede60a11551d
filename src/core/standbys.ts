/** Servers that follow the primary. */
export interface Standbys {
  readonly count: number
  /** Those that may lack what a commit has confirmed: where one of them is promoted, revocations are lost that were answered. */
  readonly notWaitedFor: number
}
