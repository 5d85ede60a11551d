import { randomUUID } from 'node:crypto'
import { clientNetwork } from './client-network.ts'
import type { Clock } from './clock.ts'
import type { Digest } from './key-record.ts'
import type { Logger } from './logger.ts'

/** Why a key that exists was refused. */
export const refusalsCounted = ['revoked', 'expired', 'insufficient_scope', 'address_not_allowed', 'rate_limited'] as const
export type CountedRefusal = typeof refusalsCounted[number]

export type CallDecision = 'passed' | 'denied' | 'failed'

/** The request that presents a token. Finding out its address may be expensive. */
interface Sender {
  readonly ip: string | undefined
  readonly headers?: { readonly 'user-agent'?: string | undefined } | undefined
}

/** The last user of a key, as far as the settings allow to record it: address and client of one use. */
export interface User {
  readonly address: string | undefined
  /** A product and its version, such as `claude-code/2.1.4`. */
  readonly client: string | undefined
}

/** The use of one key since the previous batch. */
export interface KeyUse {
  readonly keyId: string
  /** Milliseconds since its last use; null: it was refused each time. */
  readonly ageMs: number | null
  readonly accepted: number
  readonly refused: Readonly<Partial<Record<CountedRefusal, number>>>
  /** Of the last use, or of another one within the second before it. */
  readonly user: User | undefined
  readonly tools: ReadonlyArray<{ readonly tool: string, readonly calls: number, readonly denied: number, readonly failed: number }>
}

export interface UsageBatch {
  /** Stored with the batch, so that a batch that is sent again is not counted twice. */
  readonly id: string
  readonly uses: readonly KeyUse[]
}

/** What the database knows about uses that are not recorded. */
export interface UsageGap {
  /** Identifies one gap of this process. */
  readonly id: string
  /** `open`: uses cannot be written, and may be lost; `lost`: some were, and others can be written again; `closed`: none was. */
  readonly state: 'open' | 'lost' | 'closed'
}

interface UsageOptions {
  readonly clock: Clock
  readonly log: Logger
  /** Writes a batch. Settles in bounded time; repeating it is safe. */
  record (batch: UsageBatch): Promise<void>
  /** Records that the newest token of a key was used for the first time, `ageMs` milliseconds ago. Repeating it is safe. */
  recordFirst? (keyId: string, ageMs: number): Promise<void>
  /** Records uses of tokens that had ended before their keys. Repeating it is safe. */
  recordEnded? (digests: readonly Digest[]): Promise<void>
  /** Records whether uses are being lost: an unrecorded use must not make a key count as unused. */
  recordGap? (gap: UsageGap): Promise<void>
  /** Milliseconds between two writes. */
  readonly flushEveryMs: number
  /** How much of an address is kept: `prefix` is its /24 or /48. `full`. */
  readonly addresses?: 'full' | 'prefix' | 'off' | undefined
  /** Whether a text contains a token; such a text is not stored. */
  readonly holdsToken?: (text: string) => boolean
  /** Maximum number of keys in memory; a write starts at half of it. Uses of further keys are dropped and counted. 200,000. */
  readonly keysMax?: number
  /** Maximum number of tools in memory, of all keys together. 50,000. */
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

/** The counters of one key until they are written. The entry of the key keeps them, so that its next use needs no lookup. */
export interface Noted {
  readonly keyId: string
  readonly batch: number
}

interface Use extends Noted {
  usedAt: number
  accepted: number
  refused: Partial<Record<CountedRefusal, number>> | undefined
  user: User | undefined
  /** When the use was that `user` belongs to. */
  userAt: number
  tools: Map<string, { calls: number, denied: number, failed: number }> | undefined
}

const keysPerWrite = 10_000
const firstUsesMax = 1000
const endedMax = 1000
// The database records an event for an ended token once a day. A client that keeps using one must not add a statement to every write.
const endedAgainMs = 3_600_000
// Milliseconds between two looks at a key's client: finding out the address costs more than the verification.
const lookEveryMs = 1000
// A caller can invent names of tools: beyond this a key's own are counted together, and those of other keys keep their places.
const toolsPerKeyMax = 500
const otherTools = 'other'
const textMax = 100

/**
 * The use of keys, counted in memory and written in batches every few seconds, never during a request. What may be lost:
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
  /** The batch that `#uses` belongs to. A number: an entry that keeps the counters of one key must not keep the whole batch in memory. */
  #batch = 0
  // Of keys that were rotated recently. A first use over the bound is noted by a later use: until then the record says that it is awaited.
  readonly #firstUses = new Map<string, number>()
  /** Tokens that had ended when they were used, and when that was noted. Those that are already written stay for a while. */
  readonly #ended = new Map<Digest, { readonly notedAt: number, isWritten: boolean }>()
  #gap = { id: randomUUID(), isOpen: false }
  /** Last uses that were dropped and have not been reported yet. */
  #lost = 0
  /** A batch that was sent and may not have been written: it is sent again unchanged, under the same id. */
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
   * Counts a use at the monotonic time `now`. Runs for every accepted request. `from` is read at most once a second for a key;
   * `noted` may be the result of an earlier call.
   */
  note (keyId: string, now: number, from?: Sender, noted?: Noted): Noted | undefined {
    const use = noted !== undefined && noted.batch === this.#batch && noted.keyId === keyId ? noted as Use : this.#useOf(keyId)
    if (use === undefined) return undefined
    use.usedAt = now
    use.accepted++
    if (from !== undefined && now - use.userAt >= lookEveryMs) this.#look(use, { address: from.ip, client: productOf(from.headers?.['user-agent']) }, now)
    return use
  }

  /** Counts a refusal of a key. */
  noteRefused (keyId: string, reason: CountedRefusal): void {
    const use = this.#useOf(keyId)
    if (use === undefined) return
    use.refused ??= {}
    use.refused[reason] = (use.refused[reason] ?? 0) + 1
  }

  /** Counts a call of a tool through the gateway. */
  noteCall (keyId: string, tool: string, decision: CallDecision): void {
    const use = this.#useOf(keyId)
    if (use === undefined) return
    use.tools ??= new Map()
    const name = use.tools.has(tool) || use.tools.size < toolsPerKeyMax ? tool : otherTools
    let counts = use.tools.get(name)
    if (counts === undefined) {
      if (this.#tools >= this.#toolsMax) {
        this.#dropped++
        return
      }
      this.#tools++
      use.tools.set(name, counts = { calls: 0, denied: 0, failed: 0 })
    }
    counts.calls++
    if (decision !== 'passed') counts[decision]++
  }

  /** Notes the name that an MCP client gives itself, which is more precise than its user agent. For a use at the monotonic time `usedAt` that was noted and is not written yet. */
  noteClient (keyId: string, user: User, usedAt: number): void {
    const use = this.#uses.get(keyId)
    // A call may end long after it was let through: others may have used the key since.
    if (use === undefined || use.usedAt - usedAt >= lookEveryMs || this.#cleaned(user.client) === undefined) return
    if (use.accepted > 0) this.#look(use, user, usedAt)
  }

  /** Notes a use of a key's newest token while its first use is awaited. */
  noteFirst (keyId: string, now: number): void {
    if (!this.#firstUses.has(keyId) && this.#firstUses.size < firstUsesMax) this.#firstUses.set(keyId, now)
  }

  /** Notes a use of a token that had ended before its key. */
  noteEnded (digest: Digest, now: number): void {
    const known = this.#ended.get(digest)
    if (known !== undefined && now - known.notedAt < endedAgainMs) return
    if (known === undefined && this.#ended.size >= endedMax) return
    this.#ended.set(digest, { notedAt: now, isWritten: false })
  }

  /** Writes what has been noted, or joins the current write. Never rejects. */
  async flush (): Promise<void> {
    this.#flushing ??= this.#write().finally(() => { this.#flushing = undefined })
    await this.#flushing
  }

  /** Writes what is left, in bounded time: a database that does not answer does not delay the stop. */
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

  #look (use: Use, { address, client }: User, usedAt: number): void {
    use.userAt = usedAt
    use.user = { address: address === undefined ? undefined : keptOf(address, this.#addresses), client: this.#cleaned(client) }
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

/** Made one by one while they are written: building all at once would hold the event loop. */
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
    // Uses without a sender may have followed: theirs is not known.
    user: use.usedAt - use.userAt < lookEveryMs ? use.user : undefined,
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
