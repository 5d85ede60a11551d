import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import { listBytesMax } from './bodies.ts'
import type { ToolsKnownToRead } from './protocol/tool-scope.ts'

interface ReadOnlyToolsOptions {
  /** Asks the upstream which of its tools are read-only. */
  readonly ask: (signal: AbortSignal) => Promise<ReadonlySet<string>>
  readonly upstream: string
  readonly clock: Clock
  readonly log: Logger
}

const freshForMs = 60_000
// The list is requested again before it is too old, so that calls do not wait for it.
const askedAnewAfterMs = 40_000
const askedAgainAfterMs = 5_000
const answerTimeoutMs = 5_000

/**
 * The read-only tools by an upstream's own `tools/list`. The gateway requests the list itself, and learns nothing from the answers that it
 * passes on. The list is valid for one minute from its request; then it is requested again before it decides, and while the upstream does not
 * answer, every tool needs `mcp:write`.
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

  /** The tools that are known to be read-only, for decisions in this turn of the event loop. */
  get known (): ToolsKnownToRead {
    return this.#age() < freshForMs ? this.#tools : new Set<string>()
  }

  /** Resolves when `known` is up to date. An unknown tool makes the gateway ask the upstream again, at most every five seconds. */
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

// The limit for all pages of the list and the requests before them: the same as for a list that is filtered.
const answersBytesMax = listBytesMax

/** An upstream's answers to the gateway itself are longer than it reads. */
class AnswersTooLong extends Error {
  override readonly name = 'AnswersTooLong'
}

interface AskOptions {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

/** The tools of an upstream of either generation whose `readOnlyHint` is exactly `true`. */
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
  const transport = new StreamableHTTPClientTransport(url, { requestInit: { headers: { ...headers }, redirect: 'error' }, fetch: boundedFetch(answersBytesMax) })
  try {
    await client.connect(transport, { signal })
    return await ask(client)
  } finally {
    endSession(client, transport, signal).catch(() => {})
  }
}

/** In the background, at most until `signal` aborts: an upstream that is slow to end a session delays no call. */
async function endSession (client: Client, transport: StreamableHTTPClientTransport, signal: AbortSignal): Promise<void> {
  const close = () => { client.close().catch(() => {}) }
  if (signal.aborted) return close()
  signal.addEventListener('abort', close, { once: true })
  try {
    await transport.terminateSession()
  } finally {
    signal.removeEventListener('abort', close)
    close()
  }
}

/** `fetch` whose answers together have at most `bytesMax`: the client reads each of them whole, in one turn of the event loop. */
function boundedFetch (bytesMax: number): typeof fetch {
  let left = bytesMax
  return async (input, init) => {
    const { body, status, statusText, headers } = await fetch(input, init)
    const counted = body?.pipeThrough(new TransformStream<Uint8Array, Uint8Array>({
      transform: (piece, controller) => {
        left -= piece.length
        if (left >= 0) controller.enqueue(piece)
        else controller.error(new AnswersTooLong(`The answers are longer than ${bytesMax} bytes.`))
      }
    }))
    return new Response(counted ?? null, { status, statusText, headers })
  }
}

/** The protocol versions that an upstream supports: all in its answer to `server/discover` (2026-07-28), or the one that it negotiates. */
export async function askVersions (options: AskOptions): Promise<readonly string[]> {
  return await connected(options, async (client) => {
    const negotiated = client.getNegotiatedProtocolVersion()
    return client.getDiscoverResult()?.supportedVersions ?? (negotiated === undefined ? [] : [negotiated])
  })
}
