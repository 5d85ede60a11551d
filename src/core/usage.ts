import { randomUUID } from 'node:crypto'
import { clientNetwork } from './client-network.ts'
import type { Clock } from './clock.ts'
import type { Digest } from './key-record.ts'
import type { Logger } from './logger.ts'

/** Why a key that exists was refused. */
export const refusalsCounted = ['revoked', 'expired', 'insufficient_scope', 'address_not_allowed', 'rate_limited'] as const
export type CountedRefusal = typeof refusalsCounted[number]

export type CallDecision = 'passed' | 'denied' | 'failed'

/** Who presents a token: a request. Its address may cost something to find out. */
interface Sender {
  readonly ip: string | undefined
  readonly headers?: { readonly 'user-agent'?: string | undefined } | undefined
}

/** Who used a key, as far as it is kept. */
export interface User {
  readonly address: string | undefined
  /** A product and its version, such as `claude-code/2.1.4`. */
  readonly client: string | undefined
}

/** What one key was used for since the batch before. */
export interface KeyUse {
  readonly keyId: string
  /** How long ago it was last used, in milliseconds; null: it was refused each time. */
  readonly ageMs: number | null
  readonly accepted: number
  readonly refused: Readonly<Partial<Record<CountedRefusal, number>>>
  readonly user: User | undefined
  readonly tools: ReadonlyArray<{ readonly tool: string, readonly calls: number, readonly denied: number, readonly failed: number }>
}

export interface UsageBatch {
  /** Written with the batch: the same batch is never counted twice, however often it is sent. */
  readonly id: string
  readonly uses: readonly KeyUse[]
}

/** What is known in the database of uses that are not recorded there. */
export interface UsageGap {
  /** Of one gap of this process. */
  readonly id: string
  /** `open`: uses cannot be written, and may be lost; `lost`: some were, and others can be written again; `closed`: none was. */
  readonly state: 'open' | 'lost' | 'closed'
}

interface UsageOptions {
  readonly clock: Clock
  readonly log: Logger
  /** Writes a batch. Settles in bounded time; writing the same one again does no harm. */
  record (batch: UsageBatch): Promise<void>
  /** Writes down that the newest token of a key was used for the first time, so many milliseconds ago. Repeating it does no harm. */
  recordFirst? (keyId: string, ageMs: number): Promise<void>
  /** Writes down that tokens were used which had ended before their keys. Repeating it does no harm. */
  recordEnded? (digests: readonly Digest[]): Promise<void>
  /** Writes down whether uses are being lost: keys that are not used must not be told by what is not recorded. */
  recordGap? (gap: UsageGap): Promise<void>
  /** Milliseconds between two writes. */
  readonly flushEveryMs: number
  /** How much of an address is kept: `prefix` is its /24 or /48. `full`. */
  readonly addresses?: 'full' | 'prefix' | 'off' | undefined
  /** Whether a text holds a token, so that it must not be kept. */
  readonly holdsToken?: (text: string) => boolean
  /** Keys remembered at most; a write begins when there are half as many. What happens to further keys is dropped, and counted. 200,000. */
  readonly keysMax?: number
  /** Tools remembered at most, all keys together. 50,000. */
  readonly toolsMax?: number
  /** How long `close` waits for the last write, in milliseconds. 2000. */
  readonly closeTimeoutMs?: number
}

export interface UsageStats {
  readonly pending: number
  readonly flushed: number
  readonly dropped: number
  readonly flushes: number
  readonly failures: number
}

/** What the uses of one key are counted in until they are written: for who uses it again at once, and need not be looked for. */
export interface Noted {
  readonly keyId: string
  readonly batch: number
}

interface Use extends Noted {
  usedAt: number
  accepted: number
  refused: Partial<Record<CountedRefusal, number>> | undefined
  user: User | undefined
  userAt: number
  tools: Map<string, { calls: number, denied: number, failed: number }> | undefined
}

const keysPerWrite = 10_000
const firstUsesMax = 1000
const endedMax = 1000
// The database tells of an ended token once a day; a client that goes on with one must not make a statement of every write.
const endedAgainMs = 3_600_000
// Who uses a key is looked at once in so many milliseconds: finding out an address costs more than the verification.
const lookEveryMs = 1000
const textMax = 100

/**
 * What keys are used for, gathered in memory and written together every few seconds: never on the way of a request. What may be lost stands in
 * docs/decisions/0012, 0054 and 0131.
 */
export class UsageBatcher {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #record: UsageOptions['record']
  readonly #recordFirst: NonNullable<UsageOptions['recordFirst']>
  readonly #recordEnded: NonNullable<UsageOptions['recordEnded']>
  readonly #recordGap: NonNullable<UsageOptions['recordGap']>
  readonly #addresses: NonNullable<UsageOptions['addresses']>
  readonly #holdsToken: (text: string) => boolean
  readonly #keysMax: number
  readonly #earlyAt: number
  readonly #toolsMax: number
  readonly #closeTimeoutMs: number
  readonly #timer: NodeJS.Timeout
  #uses = new Map<string, Use>()
  /** Of which `#uses` are. By number: what is remembered of one use must not keep all others of its time in memory. */
  #batch = 0
  // Of keys that were rotated lately. What is over the bound is noted by a later use: the record says for as long that it is awaited.
  readonly #firstUses = new Map<string, number>()
  /** Tokens that had ended when they were used, and when that was noted; the ones that are written down already stay for a while. */
  readonly #ended = new Map<Digest, { readonly notedAt: number, isWritten: boolean }>()
  #gap = { id: randomUUID(), isOpen: false }
  /** Last uses that were dropped and not told of yet. */
  #lost = 0
  /** What was sent and may or may not have been written: it is sent again as it was, under the same id. */
  #unsure: ReadonlyArray<{ readonly id: string, readonly uses: ReadonlyArray<readonly [string, Use]> }> = []
  #tools = 0
  #flushing: Promise<void> | undefined
  #flushed = 0
  #dropped = 0
  #flushes = 0
  #failures = 0

  constructor (options: UsageOptions) {
    this.#clock = options.clock
    this.#log = options.log
    this.#record = options.record
    this.#recordFirst = options.recordFirst ?? (async () => {})
    this.#recordEnded = options.recordEnded ?? (async () => {})
    this.#recordGap = options.recordGap ?? (async () => {})
    this.#addresses = options.addresses ?? 'full'
    this.#holdsToken = options.holdsToken ?? (() => false)
    this.#keysMax = options.keysMax ?? 200_000
    this.#earlyAt = Math.ceil(this.#keysMax / 2)
    this.#toolsMax = options.toolsMax ?? 50_000
    this.#closeTimeoutMs = options.closeTimeoutMs ?? 2000
    this.#timer = setInterval(() => { this.flush() }, options.flushEveryMs).unref()
  }

  /**
   * Notes a use at the monotonic time `now`. On the way of every accepted request. `from` is looked at once a second for a key at most;
   * `noted` may be what was answered before.
   */
  note (keyId: string, now: number, from?: Sender, noted?: Noted): Noted | undefined {
    const use = noted !== undefined && noted.batch === this.#batch && noted.keyId === keyId ? noted as Use : this.#useOf(keyId)
    if (use === undefined) return undefined
    use.usedAt = now
    use.accepted++
    if (from !== undefined && now - use.userAt >= lookEveryMs) this.#look(use, { address: from.ip, client: productOf(from.headers?.['user-agent']) }, now)
    return use
  }

  /** Notes that a key was refused. */
  noteRefused (keyId: string, reason: CountedRefusal): void {
    const use = this.#useOf(keyId)
    if (use === undefined) return
    use.refused ??= {}
    use.refused[reason] = (use.refused[reason] ?? 0) + 1
  }

  /** Notes a call of a tool through the gateway. */
  noteCall (keyId: string, tool: string, decision: CallDecision): void {
    const use = this.#useOf(keyId)
    if (use === undefined) return
    use.tools ??= new Map()
    let counts = use.tools.get(tool)
    if (counts === undefined) {
      if (this.#tools >= this.#toolsMax) {
        this.#dropped++
        return
      }
      this.#tools++
      use.tools.set(tool, counts = { calls: 0, denied: 0, failed: 0 })
    }
    counts.calls++
    if (decision !== 'passed') counts[decision]++
  }

  /** Notes what an MCP client says that it is, which is more than its user agent says. */
  noteClient (keyId: string, client: string, now: number): void {
    const use = this.#uses.get(keyId)
    if (use !== undefined) this.#look(use, { address: use.user?.address, client }, now)
  }

  /** Notes that the newest token of a key was used, while its first use is awaited. */
  noteFirst (keyId: string, now: number): void {
    if (!this.#firstUses.has(keyId) && this.#firstUses.size < firstUsesMax) this.#firstUses.set(keyId, now)
  }

  /** Notes that a token was used which had ended although its key goes on. */
  noteEnded (digest: Digest, now: number): void {
    const known = this.#ended.get(digest)
    if (known !== undefined && now - known.notedAt < endedAgainMs) return
    if (known === undefined && this.#ended.size >= endedMax) return
    this.#ended.set(digest, { notedAt: now, isWritten: false })
  }

  /** Writes what has been noted; joins the write under way, if there is one. Never rejects. */
  async flush (): Promise<void> {
    this.#flushing ??= this.#write().finally(() => { this.#flushing = undefined })
    await this.#flushing
  }

  /** Writes what is left, within a bound: a database that does not answer keeps nobody from stopping. */
  async close (): Promise<void> {
    clearInterval(this.#timer)
    let timer: NodeJS.Timeout | undefined
    const bound = new Promise<void>((resolve) => { timer = setTimeout(resolve, this.#closeTimeoutMs) })
    await Promise.race([this.#writeLast(), bound])
    clearTimeout(timer)
    const keys = this.#pending()
    if (keys > 0) this.#log.warn({ keys }, 'uses of keys were not written')
  }

  stats (): UsageStats {
    return { pending: this.#pending(), flushed: this.#flushed, dropped: this.#dropped, flushes: this.#flushes, failures: this.#failures }
  }

  #pending (): number {
    return this.#unsure.reduce((sum, { uses }) => sum + uses.length, this.#uses.size)
  }

  #useOf (keyId: string): Use | undefined {
    const known = this.#uses.get(keyId)
    if (known !== undefined) return known
    if (this.#pending() >= this.#keysMax) {
      this.#dropped++
      this.#lost++
      return undefined
    }
    const use: Use = { keyId, batch: this.#batch, usedAt: -Infinity, accepted: 0, refused: undefined, user: undefined, userAt: -Infinity, tools: undefined }
    this.#uses.set(keyId, use)
    if (this.#uses.size === this.#earlyAt) this.flush()
    return use
  }

  #look (use: Use, { address, client }: User, now: number): void {
    use.userAt = now
    use.user = { address: address === undefined ? undefined : keptOf(address, this.#addresses), client: this.#cleaned(client) ?? use.user?.client }
  }

  // The caller chooses the text: it is stored only if it is short, printable and contains no token.
  #cleaned (text: string | undefined): string | undefined {
    if (text === undefined || !/^[\x20-\x7e]+$/.test(text) || this.#holdsToken(text)) return undefined
    return text.slice(0, textMax)
  }

  async #writeLast (): Promise<void> {
    await this.#flushing
    await this.flush()
  }

  async #write (): Promise<void> {
    if (this.#firstUses.size > 0) await this.#writeFirstUses()
    if (this.#ended.size > 0) await this.#writeEnded()
    const batches = [...this.#unsure, ...batchesOf(this.#uses)]
    if (batches.length === 0) return
    this.#uses = new Map()
    this.#batch++
    this.#tools = 0
    this.#unsure = batches
    try {
      for (const { id, uses } of batches) {
        const now = this.#clock.monotonicMs()
        await this.#record({ id, uses: uses.map(([keyId, use]) => keyUse(keyId, use, now)) })
        this.#unsure = this.#unsure.slice(1)
        this.#flushes++
        this.#flushed += uses.length
      }
      await this.#closeGap()
    } catch {
      this.#failures++
      this.#gap.isOpen = true
      await this.#tellGap('open').catch(() => {})
      this.#log.warn({ keys: this.#pending() }, 'writing the usage of keys failed and will be tried again')
    }
  }

  async #closeGap (): Promise<void> {
    if (!this.#gap.isOpen && this.#lost === 0) return
    const lost = this.#lost
    await this.#tellGap(lost > 0 ? 'lost' : 'closed')
    this.#lost -= lost
    this.#gap = { id: lost > 0 ? randomUUID() : this.#gap.id, isOpen: false }
  }

  async #tellGap (state: UsageGap['state']): Promise<void> {
    await this.#recordGap({ id: this.#gap.id, state })
  }

  async #writeEnded (): Promise<void> {
    const now = this.#clock.monotonicMs()
    for (const [digest, { notedAt, isWritten }] of this.#ended) {
      if (isWritten && now - notedAt >= endedAgainMs) this.#ended.delete(digest)
    }
    const news = [...this.#ended].filter(([, { isWritten }]) => !isWritten)
    if (news.length === 0) return
    try {
      await this.#recordEnded(news.map(([digest]) => digest))
      for (const [, noted] of news) noted.isWritten = true
    } catch {
      this.#log.warn({}, 'writing the use of ended tokens failed and will be tried again')
    }
  }

  async #writeFirstUses (): Promise<void> {
    for (const [keyId, usedAt] of this.#firstUses) {
      try {
        await this.#recordFirst(keyId, Math.max(0, this.#clock.monotonicMs() - usedAt))
        this.#firstUses.delete(keyId)
      } catch {
        this.#log.warn({}, 'writing the first use of a rotated key failed and will be tried again')
        return
      }
    }
  }
}

/** One after the other as they are written: a statement for all at once would stop the process while it is put together. */
function * batchesOf (uses: ReadonlyMap<string, Use>): Generator<{ id: string, uses: ReadonlyArray<readonly [string, Use]> }> {
  const all = [...uses]
  for (let from = 0; from < all.length; from += keysPerWrite) yield { id: randomUUID(), uses: all.slice(from, from + keysPerWrite) }
}

function keyUse (keyId: string, use: Use, now: number): KeyUse {
  return {
    keyId,
    ageMs: use.usedAt === -Infinity ? null : Math.max(0, now - use.usedAt),
    accepted: use.accepted,
    refused: use.refused ?? {},
    user: use.user,
    tools: use.tools === undefined ? [] : [...use.tools].map(([tool, counts]) => ({ tool, ...counts }))
  }
}

// The first product of a user agent (RFC 9110, section 10.1.5), such as `claude-code/2.1.4`.
function productOf (userAgent: string | undefined): string | undefined {
  return userAgent?.slice(0, textMax).split(' ', 1)[0]
}

function keptOf (address: string, how: 'full' | 'prefix' | 'off'): string | undefined {
  if (how === 'off') return undefined
  if (how === 'full') return address.slice(0, textMax)
  const network = clientNetwork(address)
  if (network.includes(':')) return `${network.split(':').slice(0, 3).join(':')}::/48`
  return /^\d+\.\d+\.\d+\.\d+$/.test(network) ? network.replace(/\.\d+$/, '.0/24') : undefined
}
