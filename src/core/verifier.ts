import type { Clock } from './clock.ts'
import { KeysError, unavailable } from './errors.ts'
import type { Digest } from './key-record.ts'
import type { ChangeTarget, Entry, MemoryLookup } from './lookup.ts'
import type { Client, MissBudget } from './miss-budget.ts'
import type { RefusalMemory } from './refusal-memory.ts'
import type { Scope } from './scopes.ts'
import type { TokenFormat } from './token.ts'
import type { Trickle } from './trickle.ts'
import { refusalOf, refuse, type Reason, type Verdict } from './verdict.ts'
import { VerifierCounts, type VerifierStats } from './verifier-counts.ts'
import { allGuards, type Guards } from './window/guards.ts'
import type { Trust } from './window/trust.ts'

export interface Presentation {
  /** The scope that the request asks for. None: any key will do. */
  readonly scope?: Scope | undefined
  /** Who presents the token; its budget of unknown tokens is used. None: no budget is. Read only when a lookup leaves memory. */
  readonly client?: Client | undefined
}

interface VerifierOptions {
  readonly format: TokenFormat
  readonly lookup: MemoryLookup
  readonly trust: Trust
  readonly clock: Clock
  readonly refusals: RefusalMemory
  readonly budget: MissBudget
  /** For clients whose budget is spent. */
  readonly trickle: Trickle
  readonly lastUsed: {
    note (keyId: string, now: number): void
    /** Of a token whose first use begins the grace of the one before. */
    noteFirst? (keyId: string, now: number): void
  }
  /** The longest that a verification takes before it is given up as `unavailable`, in milliseconds. 900. */
  readonly timeoutMs?: number
  /** For tests only. */
  readonly guards?: Guards
}

// Each round reads anew what the round before could not use: a change that lands between every read and its check is a storm.
const roundsMax = 4

/** Decides about presented tokens: asks the tiers, lets the trust window judge their answer, and answers itself. */
export class Verifier {
  readonly #format: TokenFormat
  readonly #lookup: MemoryLookup
  readonly #trust: Trust
  readonly #clock: Clock
  readonly #refusals: RefusalMemory
  readonly #budget: MissBudget
  readonly #trickle: Trickle
  readonly #lastUsed: VerifierOptions['lastUsed']
  readonly #timeoutMs: number
  readonly #guards: Guards
  readonly #counts = new VerifierCounts()

  constructor (options: VerifierOptions) {
    this.#format = options.format
    this.#lookup = options.lookup
    this.#trust = options.trust
    this.#clock = options.clock
    this.#refusals = options.refusals
    this.#budget = options.budget
    this.#trickle = options.trickle
    this.#lastUsed = options.lastUsed
    this.#timeoutMs = options.timeoutMs ?? 900
    this.#guards = options.guards ?? allGuards
  }

  /**
   * The verdict on a token: at once when memory can answer, else as a promise, so that a hit costs none. Never throws;
   * the promise rejects with `unavailable` when the answer is not known right now, within a second, and with
   * `too_many_unknown_tokens` when the client has used up its budget and there is no place, or no key, for this token.
   */
  verify (token: string, { scope, client }: Presentation = {}): Verdict | Promise<Verdict> {
    const digest = this.#format.parse(token)
    if (digest === undefined) return this.#refuse('malformed')
    const entry = this.#lookup.peek(digest)
    const now = this.#clock.monotonicMs()
    if (entry !== undefined && this.#guards.checkedInOneTurn) {
      const verdict = this.#conclude(entry, scope, now)
      if (verdict !== undefined) return verdict
    }
    const remembered = this.#refusals.recall(digest, now)
    if (remembered !== undefined) return this.#refuse(remembered)
    return this.#inTime(this.#ask(digest, entry, scope, client))
  }

  /** Forgets the refusals that a change may have overtaken. */
  forget (target: ChangeTarget): void {
    this.#refusals.drop(target)
  }

  stats (): VerifierStats {
    return this.#counts.read()
  }

  /**
   * The final check (R6): one synchronous turn, `now` read after the last await. `undefined`: the entry cannot decide,
   * because it may not, or because it would end in a 401, which only a row just read from the primary may say.
   */
  #conclude (entry: Entry, scope: Scope | undefined, now: number): Verdict | undefined {
    const standing = this.#trust.judge(entry, now)
    if (standing === 'revoked') return this.#refuse('revoked')
    if (standing !== 'current') return undefined
    const reason = refusalOf(entry.record, { databaseTime: this.#trust.databaseTime(now), scope })
    if (reason === undefined) return this.#accept(entry, now)
    return reason === 'insufficient_scope' ? this.#refuse(reason, scope) : undefined
  }

  async #ask (digest: Digest, held: Entry | undefined, scope: Scope | undefined, client: Client | undefined): Promise<Verdict> {
    let era = this.#trust.era
    let entry = held ?? await this.#find(digest, client)
    let isFresh = false
    for (let round = 0; round < roundsMax; round++) {
      // A replica that is cut from the primary may miss keys that exist; it says so only while its window is open.
      if (entry === undefined) await this.#trust.opened()
      else if (!this.#guards.checkedInOneTurn) await this.#checkInTwoTurns(entry)
      // What was asked for before everything became void may be of a history that is no more.
      if (era === this.#trust.era) {
        if (entry === undefined) return this.#refuseAndRemember('unknown', digest)
        const now = this.#clock.monotonicMs()
        const verdict = this.#conclude(entry, scope, now)
        if (verdict !== undefined) return verdict
        const standing = this.#trust.judge(entry, now)
        if (standing === 'shut') {
          await this.#trust.opened()
          continue
        }
        if (standing === 'current' && isFresh) return this.#refuseAndRemember(this.#reasonOf(entry, scope, now), digest)
        if (standing === 'stale') this.#counts.staleCaught++
      }
      era = this.#trust.era
      entry = await this.#lookup.findFresh(digest)
      isFresh = true
    }
    throw unavailable('Too many changes at once to be sure of this key. Try again.')
  }

  async #find (digest: Digest, client: Client | undefined): Promise<Entry | undefined> {
    if (client === undefined) return await this.#lookup.find(digest)
    const waitMs = this.#budget.take(client)
    if (waitMs > 0) return await this.#findInTrickle(digest, client, waitMs)
    let isUnknown = false
    try {
      const entry = await this.#lookup.find(digest)
      isUnknown = entry === undefined
      return entry
    } finally {
      if (!isUnknown) this.#budget.giveBack(client)
    }
  }

  // Keys that exist get through a flood of others from the same address; that others do not exist is not told any more.
  async #findInTrickle (digest: Digest, client: Client, waitMs: number): Promise<Entry> {
    // Past the caches between: they hold no token that does not exist, and one statement reads all of a round.
    const entry = await this.#trickle.join(client)?.then(() => this.#lookup.findFresh(digest))
    if (entry !== undefined) return entry
    this.#counts.budgetRefused++
    throw tooManyUnknownTokens(Math.ceil(waitMs / 1000))
  }

  #reasonOf (entry: Entry, scope: Scope | undefined, now: number): Reason {
    return refusalOf(entry.record, { databaseTime: this.#trust.databaseTime(now), scope }) ?? 'expired'
  }

  #refuseAndRemember (reason: Reason, digest: Digest): Verdict {
    this.#refusals.remember(digest, reason, this.#clock.monotonicMs())
    return this.#refuse(reason)
  }

  // M_SPLITCHECK, for tests only: the tail is looked at in one turn, everything else in another.
  async #checkInTwoTurns (entry: Entry): Promise<void> {
    this.#trust.judge(entry, this.#clock.monotonicMs())
    await new Promise((resolve) => setImmediate(resolve))
  }

  #accept (entry: Entry, now: number): Verdict {
    this.#counts.accepted++
    this.#lastUsed.note(entry.record.id, now)
    if (entry.record.limits?.awaitsFirstUse === true) this.#lastUsed.noteFirst?.(entry.record.id, now)
    return { valid: true, key: entry.record }
  }

  #refuse (reason: Reason, scope?: Scope): Verdict {
    this.#counts.refused[reason]++
    return refuse(reason, scope)
  }

  #inTime (verdict: Promise<Verdict>): Promise<Verdict> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#counts.unavailable++
        reject(unavailable('The answer took too long. Try again.'))
      }, this.#timeoutMs)
      verdict.then((settled) => {
        clearTimeout(timer)
        resolve(settled)
      }, (error: unknown) => {
        clearTimeout(timer)
        reject(this.#counted(error))
      })
    })
  }

  #counted (error: unknown): KeysError {
    const known = error instanceof KeysError ? error : unavailable('The answer is not known right now. Try again.', error)
    if (known.code === 'unavailable') this.#counts.unavailable++
    return known
  }
}

const knownRefusals = new Map<number, KeysError>()

// One for all who wait equally long: in a flood, putting the stack of each together costs more than the lookup.
function tooManyUnknownTokens (retryAfterS: number): KeysError {
  const known = knownRefusals.get(retryAfterS)
  if (known !== undefined) return known
  const error = new KeysError('too_many_unknown_tokens', {
    detail: 'Too many tokens that do not exist came from this address. Try again later, with a token that does.',
    retryAfterS
  })
  knownRefusals.set(retryAfterS, error)
  return error
}
