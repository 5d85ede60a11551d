import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { ToolsKnownToRead } from './protocol/tool-scope.ts'

interface ReadOnlyToolsOptions {
  /** The tools that the upstream says only read. */
  readonly readHints: (signal: AbortSignal) => Promise<ReadonlySet<string>>
  readonly upstream: string
  readonly clock: Clock
  readonly log: Logger
}

const freshForMs = 60_000
const usableForMs = 600_000
const askedAgainAfterMs = 5_000
const readTimeoutMs = 5_000

/**
 * What an upstream's own `tools/list` says of its tools, asked for by the gateway itself, never learnt from what passes.
 * After ten minutes without an answer nothing is known any more, and unknown means write.
 */
export class ReadOnlyTools implements ToolsKnownToRead {
  readonly #options: ReadOnlyToolsOptions
  #tools: ReadonlySet<string> = new Set()
  #readAt = -Infinity
  #askedAt = -Infinity
  #reading: Promise<void> | undefined

  constructor (options: ReadOnlyToolsOptions) {
    this.#options = options
  }

  has (tool: string): boolean {
    return this.#age() < usableForMs && this.#tools.has(tool)
  }

  /** Resolves when it is worth asking `has`. An unknown tool is a reason to ask the upstream again, but not often. */
  async settled (tools: readonly string[]): Promise<void> {
    const stale = this.#age() > freshForMs
    if (!stale && tools.every((tool) => this.#tools.has(tool))) return
    const reading = this.#reading ?? this.#start()
    if (this.#age() > usableForMs || !tools.every((tool) => this.#tools.has(tool))) await reading
  }

  #age (): number {
    return this.#options.clock.monotonicMs() - this.#readAt
  }

  #start (): Promise<void> | undefined {
    const now = this.#options.clock.monotonicMs()
    if (now - this.#askedAt < askedAgainAfterMs) return undefined
    this.#askedAt = now
    this.#reading = this.#read(now).finally(() => { this.#reading = undefined })
    return this.#reading
  }

  async #read (now: number): Promise<void> {
    try {
      this.#tools = await this.#options.readHints(AbortSignal.timeout(readTimeoutMs))
      this.#readAt = now
    } catch (error) {
      this.#options.log.warn({ upstream: this.#options.upstream, reason: (error as Error).name }, 'the upstream did not tell which of its tools only read')
    }
  }
}

interface ListToolsOptions {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

/** The tools of an upstream of either generation whose `readOnlyHint` is true, and nothing less than true. */
export async function listReadOnlyTools ({ url, headers, signal }: ListToolsOptions): Promise<ReadonlySet<string>> {
  const client = new Client({ name: 'navis-keys', version: '1' }, { versionNegotiation: { mode: 'auto' } })
  const transport = new StreamableHTTPClientTransport(url, { requestInit: { headers: { ...headers }, redirect: 'error' } })
  const reading = new Map<string, boolean>()
  try {
    await client.connect(transport, { signal })
    let cursor: string | undefined
    do {
      const page = await client.listTools(cursor === undefined ? {} : { cursor }, { signal })
      // A name that is listed twice reads only if it does so both times.
      for (const { name, annotations } of page.tools) reading.set(name, annotations?.readOnlyHint === true && reading.get(name) !== false)
      cursor = page.nextCursor
    } while (cursor !== undefined)
    await transport.terminateSession()
  } finally {
    await client.close()
  }
  return new Set([...reading].filter(([, reads]) => reads).map(([name]) => name))
}
