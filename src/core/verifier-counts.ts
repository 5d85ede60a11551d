import type { Reason } from './verdict.ts'

/** What became of the tokens presented since the start. */
export interface VerifierStats {
  readonly accepted: number
  readonly refused: Readonly<Record<Reason, number>>
  /** Entries that a later change had made worthless, found out by the final check. */
  readonly staleCaught: number
  readonly unavailable: number
  readonly budgetRefused: number
}

export class VerifierCounts {
  accepted = 0
  staleCaught = 0
  unavailable = 0
  budgetRefused = 0
  readonly refused: Record<Reason, number> = { malformed: 0, unknown: 0, revoked: 0, expired: 0, insufficient_scope: 0 }

  read (): VerifierStats {
    const { accepted, staleCaught, unavailable, budgetRefused } = this
    return { accepted, refused: { ...this.refused }, staleCaught, unavailable, budgetRefused }
  }
}
