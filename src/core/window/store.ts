import type { RenewalAnswer } from './state.ts'
import type { Member } from './waits.ts'

export interface Renewal {
  readonly id: string
  /** Rows after this are asked for, the newest `rowsMax` of them. */
  readonly applied: number
  /** What is acknowledged, where the primary is still on `timeline`. */
  readonly acked: number
  readonly timeline: string | undefined
  readonly rowsMax: number
}

export interface Joined {
  /** The key of the HMACs over rows and hints in Redis. */
  readonly rowSecret: Uint8Array
  /** What the joining transaction read of the log, where it does; the protocol makes no use of it. */
  readonly seen?: RenewalAnswer
}

/**
 * The window's tables on the primary. Every call may be carried out and then rejected. A call whose `signal` aborts
 * gives its connection up, so that the next call does not wait behind it.
 */
export interface WindowStore {
  /** Commits a membership row. Repeating it with the same id is harmless. */
  join (id: string, windowMs: number, signal: AbortSignal): Promise<Joined>
  /** One statement, a write, on a connection that nothing else waits for. */
  renew (renewal: Renewal, signal: AbortSignal): Promise<RenewalAnswer>
  /** The living members. */
  members (signal: AbortSignal): Promise<readonly Member[]>
  /** Marks a member dead, if its `renewals` are still these; `undefined`: whatever they are. */
  reap (id: string, renewals: number | undefined, signal: AbortSignal): Promise<boolean>
  /** Deletes log rows older than the newest `keepRows`, a bounded number at a time; resolves to how many. */
  prune (keepRows: number, signal: AbortSignal): Promise<number>
  leave (id: string, signal: AbortSignal): Promise<void>
  close (): Promise<void>
}
