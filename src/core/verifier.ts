import type { Clock } from './clock.ts'
import { KeysError, unavailable } from './errors.ts'
import type { Digest, KeyRecord } from './key-record.ts'
import type { ChangeTarget, Entry, MemoryLookup } from './lookup.ts'
import type { Client, MissBudget } from './miss-budget.ts'
import type { RateDecision, RateLimiter } from './rate-limiter.ts'
import type { RefusalMemory } from './refusal-memory.ts'
import type { Scope } from './scopes.ts'
import type { TokenFormat } from './token.ts'
import type { OverBudgetQueue } from './over-budget-queue.ts'
import type { Noted } from './usage.ts'
import { refusalOf, refuse, type KeyReason, type Reason, type Sender, type Verdict } from './verdict.ts'
import type { Generation, TokenMemo } from './window/token-memo.ts'
import type { Trust } from './window/trust.ts'

export interface Presentation {
  /** The scope that the request asks for. None: any key will do. */
  readonly scope?: Scope | undefined
  /** Who presents the token; its budget of unknown tokens is used. None: no budget is. Read only when a lookup leaves memory. */
  readonly client?: Client | undefined
  /** The request whose address a key's list of addresses is held against. None: keys with such a list are refused. Read only for those. */
  readonly from?: Sender | undefined
  /** Of the connection that the token came over. None: the token is looked up each time. */
  readonly memo?: TokenMemo | undefined
  /**
   * What this verification counts as. `request`: a use, and one against the key's rate limit. `use`: a use, where something else is limited, such as
   * the calls in a request. `nothing`: another look at a request that was counted before. `request`.
   */
  readonly counts?: 'request' | 'use' | 'nothing' | undefined
}

interface VerifierOptions {
  readonly format: TokenFormat
  readonly lookup: MemoryLookup
  readonly trust: Trust
  readonly clock: Clock
  readonly refusals: RefusalMemory
  readonly budget: MissBudget
  /** For clients whose budget is spent. */
  readonly overBudget: OverBudgetQueue
  readonly rates?: Pick<RateLimiter, 'take'> | undefined
  readonly usage: {
    note (keyId: string, now: number, from?: Sender, noted?: Noted): Noted | undefined
    noteRefused? (keyId: string, reason: KeyReason): void
    /** Of a token whose first use begins the grace of the one before. */
    noteFirst? (keyId: string, now: number): void
    /** Of a token that had ended although its key goes on. */
    noteEnded? (digest: Digest, now: number): void
  }
  /** The longest that a verification takes before it is given up as `unavailable`, in milliseconds. 900. */
  readonly timeoutMs?: number
}

/** What became of the tokens presented since the start. */
export interface VerifierStats {
  readonly accepted: number
  /** Tokens that came over their connection once more, and whose keys were not looked up again. */
  readonly repeated: number
  readonly refused: Readonly<Record<Reason, number>>
  /** Entries that a later change had made worthless, found out by the final check. */
  readonly staleCaught: number
  readonly unavailable: number
  readonly budgetRefused: number
}

/**
 * What the final check answers: the verdict, accepted or refused; `shut`: this replica may accept nothing until its window is
 * open; `stale`: a later change concerns the entry, or may; `doubtful`: a copy speaks against the key, which only a row read
 * from the primary for this request may do.
 */
type Checked = Verdict | Unsettled

type Unsettled = 'shut' | 'stale' | 'doubtful'

/** What memory holds of a key, and what the final check said of it. */
interface Held {
  readonly entry: Entry | undefined
  readonly checked: Unsettled | undefined
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
  readonly #overBudget: OverBudgetQueue
  readonly #usage: VerifierOptions['usage']
  readonly #rates: VerifierOptions['rates']
  readonly #timeoutMs: number
  #generation: Generation = {}
  readonly #counts = {
    accepted: 0,
    repeated: 0,
    staleCaught: 0,
    unavailable: 0,
    budgetRefused: 0,
    refused: { malformed: 0, unknown: 0, revoked: 0, expired: 0, insufficient_scope: 0, address_not_allowed: 0, rate_limited: 0 } as Record<Reason, number>
  }

  constructor (options: VerifierOptions) {
    this.#format = options.format
    this.#lookup = options.lookup
    this.#trust = options.trust
    this.#clock = options.clock
    this.#refusals = options.refusals
    this.#budget = options.budget
    this.#overBudget = options.overBudget
    this.#usage = options.usage
    this.#rates = options.rates
    this.#timeoutMs = options.timeoutMs ?? 900
  }

  /**
   * The verdict on a token: synchronously if memory can answer, otherwise as a promise. Never throws;
   * the promise rejects with `unavailable` when the answer is not known right now, within a second, and with
   * `too_many_unknown_tokens` when the client has used up its budget and there is no place, or no key, for this token.
   */
  verify (token: string, presentation: Presentation = {}): Verdict | Promise<Verdict> {
    const { memo } = presentation
    return (memo === undefined ? undefined : this.#verifyAgain(token, memo, presentation)) ?? this.#verify(token, presentation)
  }

  /** By what the connection's memo holds, where the final check needs nothing more. */
  #verifyAgain (token: string, memo: TokenMemo, presentation: Presentation): Verdict | undefined {
    const now = this.#clock.monotonicMs()
    const entry = memo.recall(token, now, this.#generation)
    if (entry === undefined) return undefined
    const answer = this.#check(entry, presentation, now, false)
    if (typeof answer !== 'object') return undefined
    this.#counts.repeated++
    return answer
  }

  #verify (token: string, presentation: Presentation): Verdict | Promise<Verdict> {
    const digest = this.#format.parse(token)
    if (digest === undefined) return this.#refuse('malformed')
    const entry = this.#lookup.peek(digest)
    const now = this.#clock.monotonicMs()
    let checked: Unsettled | undefined
    if (entry !== undefined) {
      const answer = this.#check(entry, presentation, now, false)
      if (typeof answer === 'object') {
        presentation.memo?.keep(token, entry, now, this.#generation)
        return answer
      }
      checked = answer
    }
    const remembered = this.#refusals.recall(digest, now)
    if (remembered !== undefined) return this.#refuse(remembered)
    return this.#inTime(this.#ask(digest, { entry, checked }, presentation))
  }

  /** Forgets the refusals that a change may have overtaken, and what connections remember of any key. */
  forget (target: ChangeTarget): void {
    this.#generation = {}
    this.#refusals.drop(target)
  }

  stats (): VerifierStats {
    const { accepted, repeated, refused, staleCaught, unavailable, budgetRefused } = this.#counts
    return { accepted, repeated, refused: { ...refused }, staleCaught, unavailable, budgetRefused }
  }

  /** The final check (R6): one synchronous turn, `now` read after the last await. `isFresh`: the entry was read from the primary for this request. */
  #check (entry: Entry, presentation: Presentation, now: number, isFresh: boolean): Checked {
    const standing = this.#trust.judge(entry, now, isFresh)
    if (standing !== 'current') return standing === 'revoked' ? this.#refuseKey(entry.record, 'revoked') : standing
    const { scope, from } = presentation
    const reason = refusalOf(entry.record, { databaseTime: this.#trust.databaseTime(now), scope, from })
    if (reason === undefined) return this.#accept(entry, presentation, now)
    if (reason === 'insufficient_scope') return this.#refuseKey(entry.record, reason, scope)
    // From another address the same token may be good.
    if (reason === 'address_not_allowed') return this.#refuseKey(entry.record, reason)
    if (!isFresh) return 'doubtful'
    if (reason === 'revoked' && entry.record.revokedAt === null) this.#usage.noteEnded?.(entry.record.digest, now)
    this.#refusals.remember(entry.record.digest, reason, now)
    return this.#refuseKey(entry.record, reason)
  }

  async #ask (digest: Digest, held: Held, presentation: Presentation): Promise<Verdict> {
    let { entry, checked } = held
    let isFresh = false
    let epoch = this.#trust.epoch
    for (let round = 0; round < roundsMax; round++) {
      if (checked === 'shut') {
        await this.#trust.opened()
      } else {
        if (checked === 'stale') this.#counts.staleCaught++
        isFresh = checked !== undefined
        epoch = this.#trust.epoch
        entry = isFresh ? await this.#lookup.findFresh(digest) : await this.#find(digest, presentation.client)
        // A replica that is cut from the primary may miss keys that exist; it says so only while its window is open.
        if (entry === undefined) await this.#trust.opened()
      }
      // What was asked for before everything became void may be of a history that is no more.
      if (epoch !== this.#trust.epoch) {
        checked = 'doubtful'
        continue
      }
      if (entry === undefined) return this.#refuseAndRemember('unknown', digest)
      const answer = this.#check(entry, presentation, this.#clock.monotonicMs(), isFresh)
      if (typeof answer === 'object') return answer
      checked = answer
    }
    throw unavailable('Too many changes happened while this key was checked. Try again.')
  }

  async #find (digest: Digest, client: Client | undefined): Promise<Entry | undefined> {
    if (client === undefined) return await this.#lookup.find(digest)
    const waitMs = this.#budget.take(client)
    if (waitMs > 0) return await this.#findOverBudget(digest, client, waitMs)
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
  async #findOverBudget (digest: Digest, client: Client, waitMs: number): Promise<Entry> {
    // Past the caches between: they hold no token that does not exist, and one statement reads all of a round.
    const entry = await this.#overBudget.join(client)?.then(() => this.#lookup.findFresh(digest))
    if (entry !== undefined) return entry
    this.#counts.budgetRefused++
    throw tooManyUnknownTokens(Math.ceil(waitMs / 1000))
  }

  #refuseAndRemember (reason: Reason, digest: Digest): Verdict {
    this.#refusals.remember(digest, reason, this.#clock.monotonicMs())
    return this.#refuse(reason)
  }

  /** Counts one use of a key against its rate limit; `undefined`: it has none. For calls that are limited one by one. */
  limit (key: KeyRecord): RateDecision | undefined {
    const rateLimit = key.limits?.rateLimit ?? null
    const decision = rateLimit === null ? undefined : this.#rates?.take(key.id, rateLimit, this.#clock.monotonicMs())
    if (decision?.isAllowed === false) this.#countRefusal(key, 'rate_limited')
    return decision
  }

  #accept ({ record }: Entry, { counts = 'request', from, memo }: Presentation, now: number): Verdict {
    if (counts === 'nothing') return { valid: true, key: record }
    const rate = counts === 'request' && record.limits !== null ? this.limit(record) : undefined
    if (rate?.isAllowed === false) return { valid: false, reason: 'rate_limited', rate }
    this.#counts.accepted++
    const noted = this.#usage.note(record.id, now, from, memo?.noted)
    if (memo !== undefined) memo.noted = noted
    if (record.limits?.awaitsFirstUse === true) this.#usage.noteFirst?.(record.id, now)
    return rate === undefined ? { valid: true, key: record } : { valid: true, key: record, rate }
  }

  #refuseKey (key: KeyRecord, reason: KeyReason, scope?: Scope): Verdict {
    this.#countRefusal(key, reason)
    return refuse(reason, scope)
  }

  #countRefusal (key: KeyRecord, reason: KeyReason): void {
    this.#counts.refused[reason]++
    this.#usage.noteRefused?.(key.id, reason)
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
    const known = error instanceof KeysError ? error : unavailable('It is not known right now whether the token is valid. Try again.', error)
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
    detail: 'Too many unknown tokens came from this address. Try again later with a valid token.',
    retryAfterS
  })
  knownRefusals.set(retryAfterS, error)
  return error
}
