import type { Ledger } from './ledger.ts'
import { behindLast, lost, type Recorder, type Verification } from './recorder.ts'
import type { Troubles } from './troubles.ts'

export type FindingKind = 'stale accept' | 'false refusal' | 'unexcused 503' | 'unexpected answer'

export interface Finding {
  readonly kind: FindingKind
  readonly place: number
  readonly verification: Verification
  readonly text: string
}

interface CheckerOptions {
  readonly recorder: Recorder
  readonly ledger: Ledger
  readonly troubles: Troubles
  /** Where the replica with this process number stands. */
  placeOf (process: number): number
}

/** The first findings of each kind are kept in words; all are counted. */
const findingsKept = 20

/** Holds every recorded verification against what is certain of its key. `look` continues where the last look ended. */
export class Checker {
  readonly counts: Record<FindingKind, number> = { 'stale accept': 0, 'false refusal': 0, 'unexcused 503': 0, 'unexpected answer': 0 }
  readonly findings: Finding[] = []
  readonly byStatus = new Map<number, number>()
  /** Verifications of a key that were sent after a change that took its rights away had returned. */
  sentAfterReturn = 0
  /** Of those, on a connection that had carried an answer before. */
  sentAfterReturnWarm = 0
  excused503 = 0
  /** Of the replicas that were not broken themselves: an outage is to be told within a second. */
  slowest503Ms = 0
  readonly #options: CheckerOptions
  #next = 0

  constructor (options: CheckerOptions) {
    this.#options = options
  }

  get looked (): number {
    return this.#next
  }

  look (): this {
    const { recorder } = this.#options
    for (; this.#next < recorder.size; this.#next++) this.#check(recorder.at(this.#next))
    return this
  }

  #check (verification: Verification): void {
    const { status, sentAt, answeredAt, warm } = verification
    const key = this.#options.ledger.at(verification.key)
    this.byStatus.set(status, (this.byStatus.get(status) ?? 0) + 1)
    if (sentAt > key.mustBeRefusedFrom) {
      this.sentAfterReturn++
      if (warm) this.sentAfterReturnWarm++
      if (status === 200) this.#found('stale accept', verification)
    }
    if ((status === 401 || status === 403) && answeredAt < key.mayBeRefusedFrom) this.#found('false refusal', verification)
    if (status === 503) this.#checkUnavailable(verification)
    if (![lost, behindLast, 200, 401, 403, 503].includes(status)) this.#found('unexpected answer', verification)
  }

  #checkUnavailable (verification: Verification): void {
    const { sentAt, answeredAt, process } = verification
    const { troubles, placeOf } = this.#options
    const place = placeOf(process)
    if (troubles.excuses(sentAt, answeredAt, place)) this.excused503++
    else this.#found('unexcused 503', verification)
    if (troubles.situation(sentAt, answeredAt, place) !== 'asked of the broken replica itself') this.slowest503Ms = Math.max(this.slowest503Ms, answeredAt - sentAt)
  }

  #found (kind: FindingKind, verification: Verification): void {
    this.counts[kind]++
    if (this.counts[kind] > findingsKept) return
    const { process, sentAt, answeredAt, status, warm, said } = verification
    const key = this.#options.ledger.at(verification.key)
    const place = this.#options.placeOf(process)
    const broken = this.#options.troubles.names(sentAt, answeredAt).join(', ') || 'nothing broken'
    const before = this.#options.troubles.lastOver(sentAt)
    const text = `${kind}: ${status}${said === undefined ? '' : ` (${said})`} from replica ${place} (process ${process}, ${warm ? 'warm' : 'cold'} connection) for key ${key.id} (${key.restriction ?? 'live'}), ` +
      `sent at ${ms(sentAt)}, answered at ${ms(answeredAt)}; may be refused from ${ms(key.mayBeRefusedFrom)}, must be from ${ms(key.mustBeRefusedFrom)}; ${broken}${before === '' ? '' : `; before: ${before}`}`
    this.findings.push({ kind, place, verification, text })
  }
}

function ms (time: number): string {
  return Number.isFinite(time) ? `${time.toFixed(1)} ms` : 'never'
}
