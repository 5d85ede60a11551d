import type { Digest } from '../key-record.ts'
import type { RenewalAnswer, RenewEffect } from './step.ts'
import type { CommittedChange } from './trust.ts'
import type { Roll } from './waits.ts'

export type Renewal = Omit<RenewEffect, 'kind' | 'number'>

/** Our own row, which a statement looks for before it believes or changes anything. */
export interface OwnRow {
  readonly id: string
  /** Whether we sent this beat, or may have. Asked when the answer is there: renewals go on meanwhile. */
  isOwnBeat (beat: string): boolean
  /** Those that our row may bear when the statement is sent. */
  readonly beats: readonly string[]
}

/** Revocations that the database may have lost: in which lineage they were heard, or in the one after it, and by which id of ours where only that id proves it (R16). */
export interface Heard {
  readonly lineage: string
  readonly heardBy: string | undefined
  readonly digests: readonly Digest[]
}

/** Revocations that the database had lost and has again, all under one position. */
export interface PutBack {
  readonly revoked: readonly Digest[]
  /** `undefined`: none was missing. */
  readonly change: Omit<CommittedChange, 'committedAt'> | undefined
}

/** The answer does not prove itself (R10): of another statement, of another server than the primary, or not whole. It says nothing. */
export class AnswerRefused extends Error {
  constructor (why: string) {
    super(`An answer of the database was refused: ${why}.`)
    this.name = 'AnswerRefused'
  }
}

/**
 * The window's tables on the primary. Every call may be carried out and then rejected. A call whose `signal` aborts
 * gives its connection up, so that the next call does not wait behind it. So does an answer that does not prove itself.
 */
export interface WindowStore {
  /** Commits a row of members, without a lineage and with its id as first beat. Repeating it with the same id is harmless. Resolves to the secret of the clock row. */
  join (member: { readonly id: string, readonly formerId: string | undefined, readonly windowMs: number }, signal: AbortSignal): Promise<{ readonly rowSecret: Uint8Array }>
  /** One statement, a write, on a connection that nothing else waits for. */
  renew (renewal: Renewal, signal: AbortSignal): Promise<RenewalAnswer>
  /** The living members, ourselves among them. */
  roll (own: OwnRow, signal: AbortSignal): Promise<Omit<Roll, 'sentAt' | 'answeredAt'>>
  /** Gives the clock's lineage, which is ours, to living members without one, if the database's clock (milliseconds since the epoch) is before `until`; resolves to how many. */
  admit (own: OwnRow, until: number, signal: AbortSignal): Promise<number>
  /** Makes `lineage` that of the clock and of our row, if no living member has the clock's. */
  found (own: OwnRow, lineage: string, signal: AbortSignal): Promise<boolean>
  /** Marks a member dead, if its beat is still this one. */
  countOut (id: string, beat: string, signal: AbortSignal): Promise<boolean>
  /** Revokes the keys of these digests that are not revoked, where the clock's lineage is this one or comes after it, and the id that heard them is known. */
  putBack (own: OwnRow, heard: Heard, signal: AbortSignal): Promise<PutBack>
  /** Deletes log rows older than the newest `keepRows`, a bounded number at a time; resolves to how many. */
  prune (keepRows: number, signal: AbortSignal): Promise<number>
  leave (id: string, signal: AbortSignal): Promise<void>
  /** Gives up every connection: the server that answers on them is not the primary. */
  distrust (): void
  close (): Promise<void>
}
