import { Agent, type Dispatcher } from 'undici'

/** The name under which a request's headers carry the signal that cancels it: the proxy plugin has no other way in. */
export const cancelSignal = Symbol('cancel')

interface UpstreamAgentOptions {
  /** How long an upstream may take to begin its answer, in milliseconds. */
  readonly answerTimeoutMs: number
}

type Requested = (error: Error | null, answer: Dispatcher.ResponseData) => void
type Headers = Record<string | symbol, string | AbortSignal | undefined>

const connectTimeoutMs = 5000

/** The pooled connections to all upstreams. Certificates are checked; redirects are handed back, not followed. */
export class UpstreamAgent {
  readonly #agent: Agent

  constructor ({ answerTimeoutMs }: UpstreamAgentOptions) {
    // No limit between two pieces of an answer: an event stream may be silent for hours.
    this.#agent = new Agent({ connect: { timeout: connectTimeoutMs }, headersTimeout: answerTimeoutMs, bodyTimeout: 0 })
  }

  request (options: Dispatcher.RequestOptions, requested: Requested): void {
    const { [cancelSignal]: signal, ...headers } = options.headers as Headers
    const known = Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined)) as Record<string, string>
    this.#agent.request({ ...options, headers: known, ...(signal instanceof AbortSignal ? { signal } : {}) }, requested)
  }

  async close (): Promise<void> {
    await this.#agent.destroy()
  }
}
