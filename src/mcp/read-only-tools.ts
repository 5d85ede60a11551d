import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { ToolsKnownToRead } from './protocol/tool-scope.ts'

interface ReadOnlyToolsOptions {
  /** Asks the upstream which of its tools only read. */
  readonly ask: (signal: AbortSignal) => Promise<ReadonlySet<string>>
  readonly upstream: string
  readonly clock: Clock
  readonly log: Logger
}

const freshForMs = 60_000
// Asked again before that, so that calls of a tool in use do not wait.
const askedAnewAfterMs = 40_000
const askedAgainAfterMs = 5_000
const answerTimeoutMs = 5_000

/**
 * What an upstream's own `tools/list` says of its tools, asked for by the gateway itself, never learnt from what passes. It is believed
 * for a minute from when it was asked for; then it is asked anew before it decides, and while it cannot be, every tool writes.
 */
export class ReadOnlyTools {
  readonly #options: ReadOnlyToolsOptions
  #tools: ReadonlySet<string> = new Set()
  #askedAt = -Infinity
  #triedAt = -Infinity
  #asking: Promise<void> | undefined

  constructor (options: ReadOnlyToolsOptions) {
    this.#options = options
  }

  /** What is known now, for decisions in this turn of the event loop. */
  get known (): ToolsKnownToRead {
    return this.#age() < freshForMs ? this.#tools : new Set<string>()
  }

  /** Resolves when it is worth asking `known`. An unknown tool is a reason to ask the upstream again, but not often. */
  async settled (tools: readonly string[]): Promise<void> {
    const isKnown = tools.every((tool) => this.#tools.has(tool))
    if (isKnown && this.#age() < askedAnewAfterMs) return
    const asking = this.#asking ?? this.#start()
    if (!isKnown || this.#age() >= freshForMs) await asking
  }

  #age (): number {
    return this.#options.clock.monotonicMs() - this.#askedAt
  }

  #start (): Promise<void> | undefined {
    const now = this.#options.clock.monotonicMs()
    if (now - this.#triedAt < askedAgainAfterMs) return undefined
    this.#triedAt = now
    this.#asking = this.#ask(now).finally(() => { this.#asking = undefined })
    return this.#asking
  }

  async #ask (now: number): Promise<void> {
    const { ask, upstream, log } = this.#options
    try {
      this.#tools = await ask(AbortSignal.timeout(answerTimeoutMs))
      this.#askedAt = now
    } catch (error) {
      const { name, code, cause } = error as Error & { code?: string, cause?: { code?: string } }
      log.warn({ upstream, reason: name, cause_code: code ?? cause?.code }, 'the upstream did not tell which of its tools are read-only')
    }
  }
}

interface AskOptions {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

/** The tools of an upstream of either generation whose `readOnlyHint` is true, and nothing less than true. */
export async function listReadOnlyTools (options: AskOptions): Promise<ReadonlySet<string>> {
  const { signal } = options
  return await connected(options, async (client) => {
    const reading = new Map<string, boolean>()
    let cursor: string | undefined
    do {
      const page = await client.listTools(cursor === undefined ? {} : { cursor }, { signal })
      // A name that is listed twice is read-only only if both entries say so.
      for (const { name, annotations } of page.tools) reading.set(name, annotations?.readOnlyHint === true && reading.get(name) !== false)
      cursor = page.nextCursor
    } while (cursor !== undefined)
    return new Set([...reading].filter(([, reads]) => reads).map(([name]) => name))
  })
}

async function connected<T> ({ url, headers, signal }: AskOptions, ask: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ name: 'navis-keys', version: '1' }, { versionNegotiation: { mode: 'auto' } })
  const transport = new StreamableHTTPClientTransport(url, { requestInit: { headers: { ...headers }, redirect: 'error' } })
  try {
    await client.connect(transport, { signal })
    const answer = await ask(client)
    await transport.terminateSession()
    return answer
  } finally {
    await client.close()
  }
}

/** The protocol versions that an upstream speaks, as far as it says: all of 2026-07-28's `server/discover`, or the one that it agrees to. */
export async function askVersions (options: AskOptions): Promise<readonly string[]> {
  return await connected(options, async (client) => {
    const negotiated = client.getNegotiatedProtocolVersion()
    return client.getDiscoverResult()?.supportedVersions ?? (negotiated === undefined ? [] : [negotiated])
  })
}
