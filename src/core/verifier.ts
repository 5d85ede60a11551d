import type { Clock } from './clock.ts'
import { KeysError, unavailable } from './errors.ts'
import type { Digest, KeyRecord } from './key-record.ts'
import type { ChangeTarget, Entry, MemoryLookup } from './lookup.ts'
import type { Client, MissBudget } from './miss-budget.ts'
import type { RateDecision, RateLimiter } from './rate-limiter.ts'
import type { Refusal, RefusalMemory } from './refusal-memory.ts'
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
  /** The client whose budget of unknown tokens is used. None: no budget. Only read when a lookup leaves memory. */
  readonly client?: Client | undefined
  /** The request whose address must be in the key's list of addresses. None: keys with such a list are refused. Only read for those. */
  readonly from?: Sender | undefined
  /** The memo of the connection that the token came over. None: the token is looked up each time. */
  readonly memo?: TokenMemo | undefined
  /**
   * What an accepted token counts as. `request`: a use, and one against the key's rate limit. `nothing`: nothing, because whether the request is let
   * through is decided later (`noteUse`, `noteRefusal`), or was before. A refused token always counts as refused. `request`.
   */
  readonly counts?: 'request' | 'nothing' | undefined
}

interface VerifierOptions {
  readonly format: TokenFormat
  readonly lookup: MemoryLookup
  readonly trust: Trust
  readonly clock: Clock
  readonly refusals: RefusalMemory
  readonly budget: MissBudget
  /** Queue for clients without budget. */
  readonly overBudget: OverBudgetQueue
  readonly rates?: Pick<RateLimiter, 'take'> | undefined
  readonly usage: {
    note (keyId: string, now: number, from?: Sender, noted?: Noted): Noted | undefined
    noteRefused? (keyId: string, reason: KeyReason): void
    /** For a token whose first use begins the grace of the previous one. */
    noteFirst? (keyId: string, now: number): void
    /** For a token that had ended before its key. */
    noteEnded? (digest: Digest, now: number): void
  }
  /** Milliseconds after which a verification is given up as `unavailable`. 900. */
  readonly timeoutMs?: number
}

/** The outcomes of all verifications since the start. */
export interface VerifierStats {
  readonly accepted: number
  /** Verifications that the memo of the connection answered. */
  readonly repeated: number
  readonly refused: Readonly<Record<Reason, number>>
  /** Entries that the final check found to be older than a change. */
  readonly staleCaught: number
  readonly unavailable: number
  readonly budgetRefused: number
}

/**
 * What the final check answers: the verdict, accepted or refused; `shut`: this replica may accept nothing until its window is
 * open; `stale`: a later change concerns the entry, or may; `doubtful`: a cached copy says that the key is refused, which
 * only a row that was read from the primary for this request may decide.
 */
type Checked = Verdict | Unsettled

type Unsettled = 'shut' | 'stale' | 'doubtful'

/** The entry that memory holds, and the final check's answer about it. */
interface Held {
  readonly entry: Entry | undefined
  readonly checked: Unsettled | undefined
}

/**
 * Each round reads again what the previous round could not use because a change came between the read and its check. A round in which everything became void is not
 * one of them: a replica that was counted out forgets, joins and gets its lineage back within some tens of milliseconds, and no caller can bring that about.
 */
const roundsMax = 4

/** Verifies presented tokens: looks them up in the tiers, lets the trust window judge the entry, and decides. */
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
   * The verdict on a token: synchronously if memory can answer, otherwise as a promise. Never throws. The promise rejects, within a
   * second, with `unavailable` when the answer is not known right now, and with `too_many_unknown_tokens` when the client has no budget
   * left and the queue is full or the token is unknown.
   */
  verify (token: string, presentation: Presentation = {}): Verdict | Promise<Verdict> {
    // One reading of the clock for everything that happens in this turn.
    const now = this.#clock.monotonicMs()
    return this.#verifyAgain(token, presentation, now) ?? this.#verify(token, presentation, now)
  }

  /** Answers from the connection's memo if the final check can decide with it. */
  #verifyAgain (token: string, presentation: Presentation, now: number): Verdict | undefined {
    const entry = presentation.memo?.recall(token, now, this.#generation)
    if (entry === undefined) return undefined
    const answer = this.#check(entry, presentation, now, false)
    if (typeof answer !== 'object') return undefined
    this.#counts.repeated++
    return answer
  }

  #verify (token: string, presentation: Presentation, now: number): Verdict | Promise<Verdict> {
    const digest = this.#format.digestOf(token)
    if (digest === undefined) return this.#refuse('malformed')
    const entry = this.#lookup.peek(digest)
    // Memory holds digests of well-formed tokens only: no other one was ever looked up.
    if (entry === undefined && !this.#format.isWellFormed(token)) return this.#refuse('malformed')
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
    if (remembered !== undefined) return this.#refuseAgain(remembered)
    return this.#inTime(this.#ask(digest, { entry, checked }, presentation))
  }

  /** Forgets the refusals that a change may have made untrue, and the memos of all connections. */
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
    // Not remembered: from another address the same token may be accepted.
    if (reason === 'address_not_allowed') return this.#refuseKey(entry.record, reason)
    if (!isFresh) return 'doubtful'
    if (reason === 'revoked' && entry.record.revokedAt === null) this.#usage.noteEnded?.(entry.record.digest, now)
    this.#refusals.remember(entry.record.digest, { reason, keyId: entry.record.id }, now)
    return this.#refuseKey(entry.record, reason)
  }

  async #ask (digest: Digest, held: Held, presentation: Presentation): Promise<Verdict> {
    let { entry, checked } = held
    let isFresh = false
    let epoch = this.#trust.epoch
    const givenUpAt = this.#clock.monotonicMs() + this.#timeoutMs
    let round = 0
    while (round < roundsMax && this.#clock.monotonicMs() < givenUpAt) {
      if (checked === 'shut') {
        await this.#trust.opened()
      } else {
        if (checked === 'stale') this.#counts.staleCaught++
        isFresh = checked !== undefined
        epoch = this.#trust.epoch
        entry = isFresh ? await this.#lookup.findFresh(digest) : await this.#find(digest, presentation.client)
        // A replica that is cut off from the primary may miss keys that exist: it answers `unknown` only while its window is open.
        if (entry === undefined) await this.#trust.opened()
      }
      // Everything became void after the lookup began: the entry may belong to a lost history.
      if (epoch !== this.#trust.epoch) {
        checked = 'doubtful'
        continue
      }
      if (entry === undefined) return this.#refuseAndRemember('unknown', digest)
      const answer = this.#check(entry, presentation, this.#clock.monotonicMs(), isFresh)
      if (typeof answer === 'object') return answer
      checked = answer
      round++
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

  // Keys that exist are found even while the address sends a flood of unknown tokens. For unknown tokens the answer is 429.
  async #findOverBudget (digest: Digest, client: Client, waitMs: number): Promise<Entry> {
    const place = this.#overBudget.join(client)
    if (place === undefined) this.#overBudget.lookUpBehind(client, () => { this.#lookup.findFresh(digest).catch(() => {}) })
    // Skips the Redis tier: it holds no unknown tokens, and one statement reads the whole round.
    const entry = await place?.then(() => this.#lookup.findFresh(digest))
    if (entry !== undefined) return entry
    this.#counts.budgetRefused++
    throw tooManyUnknownTokens(Math.ceil(waitMs / 1000))
  }

  #refuseAndRemember (reason: Reason, digest: Digest): Verdict {
    this.#refusals.remember(digest, { reason, keyId: undefined }, this.#clock.monotonicMs())
    return this.#refuse(reason)
  }

  /** Counts one use of a key against its rate limit; `undefined`: it has none. For calls that are limited one by one. */
  limit (key: KeyRecord, now = this.#clock.monotonicMs()): RateDecision | undefined {
    const rateLimit = key.limits?.rateLimit ?? null
    const decision = rateLimit === null ? undefined : this.#rates?.take(key.id, rateLimit, now)
    if (decision?.isAllowed === false) this.noteRefusal(key, 'rate_limited')
    return decision
  }

  /** Counts a use of a key, when a request is let through whose token was verified with `counts: 'nothing'`. Once a request, in the turn of its final check. */
  noteUse (key: KeyRecord, from: Sender | undefined): void {
    this.#noteUse(key, this.#clock.monotonicMs(), from)
  }

  /** Counts a refusal of a key, for a reason that no verification found. */
  noteRefusal (key: Pick<KeyRecord, 'id'>, reason: KeyReason): void {
    this.#counts.refused[reason]++
    this.#usage.noteRefused?.(key.id, reason)
  }

  #noteUse (key: KeyRecord, now: number, from: Sender | undefined, noted?: Noted): Noted | undefined {
    this.#counts.accepted++
    if (key.limits?.awaitsFirstUse === true) this.#usage.noteFirst?.(key.id, now)
    return this.#usage.note(key.id, now, from, noted)
  }

  #accept (entry: Entry, { counts = 'request', from }: Presentation, now: number): Verdict {
    const { record } = entry
    if (counts === 'nothing') return { valid: true, key: record }
    const rate = record.limits === null ? undefined : this.limit(record, now)
    if (rate?.isAllowed === false) return { valid: false, reason: 'rate_limited', rate }
    entry.noted = this.#noteUse(record, now, from, entry.noted)
    return rate === undefined ? { valid: true, key: record } : { valid: true, key: record, rate }
  }

  #refuseKey (key: Pick<KeyRecord, 'id'>, reason: KeyReason, scope?: Scope): Verdict {
    this.noteRefusal(key, reason)
    return refuse(reason, scope)
  }

  #refuseAgain ({ reason, keyId }: Refusal): Verdict {
    return keyId === undefined ? this.#refuse(reason) : this.#refuseKey({ id: keyId }, reason as KeyReason)
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

// One shared error per wait: in a flood, collecting a stack trace for each costs more than the lookup.
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
