import { ServiceError } from './service-error.ts'

export interface TransportOptions {
  /** The URL of the service, such as `https://keys.example.com`. */
  readonly url: string
  /** A service token to verify and introspect, a management token to manage as well. */
  readonly token: string
  /** Time limit in milliseconds for a verification or a list, including repeats. Default: 5,000. */
  readonly timeoutMs?: number | undefined
  /** Time limit in milliseconds for a change, including repeats: a revocation may take the trust window and its margin. Default: 30,000. */
  readonly changeTimeoutMs?: number | undefined
  /** Default: the global `fetch`. */
  readonly fetch?: typeof fetch | undefined
}

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Percent-encoded. */
  readonly path: string
  readonly query?: Readonly<Record<string, string | number | undefined>> | undefined
  readonly json?: unknown
  readonly form?: Readonly<Record<string, string>> | undefined
  readonly idempotencyKey?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Whether it changes something: it then has more time, and an attempt is not ended early to make another one. */
  readonly isChange?: boolean | undefined
}

const attemptsMax = 3
const firstPauseMs = 100

/** Sends requests that are safe to repeat, and repeats them while the service is unavailable for a short time. */
export class Transport {
  readonly #base: string
  readonly #authorization: string
  readonly #timeoutMs: number
  readonly #changeTimeoutMs: number
  readonly #fetch: typeof fetch

  constructor ({ url, token, timeoutMs = 5000, changeTimeoutMs = 30_000, fetch: send = fetch }: TransportOptions) {
    this.#base = baseOf(url)
    if (token === '' || /[^\x21-\x7e]/.test(token)) throw new TypeError('`token` must be a service token or a management token: one or more visible ASCII characters.')
    this.#authorization = `Bearer ${token}`
    this.#timeoutMs = timeoutMs
    this.#changeTimeoutMs = changeTimeoutMs
    // Some platforms refuse a `fetch` that is called as a method of another object.
    this.#fetch = (input, init) => send(input, init)
  }

  /** Resolves to the body of a 2xx answer, or to `undefined` if it is empty. Rejects with `ServiceError`, or with the reason of `signal`. */
  async send (call: Call): Promise<unknown> {
    const limitMs = call.isChange === true ? this.#changeTimeoutMs : this.#timeoutMs
    const endsAt = Date.now() + limitMs
    const attemptMs = call.isChange === true ? limitMs : Math.ceil(limitMs / 2)
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(call, Math.min(attemptMs, endsAt - Date.now()))
      } catch (error) {
        call.signal?.throwIfAborted()
        if (!(error instanceof ServiceError) || error.code !== 'unavailable' || attempt === attemptsMax) throw error
        const pauseMs = Math.max((error.retryAfterS ?? 0) * 1000, firstPauseMs * 2 ** (attempt - 1) * (0.5 + Math.random()))
        if (Date.now() + pauseMs >= endsAt) throw error
        await pause(pauseMs, call.signal)
      }
    }
  }

  async #attempt (call: Call, timeoutMs: number): Promise<unknown> {
    const timeout = AbortSignal.timeout(Math.max(timeoutMs, 1))
    try {
      const response = await this.#fetch(this.#base + call.path + searchOf(call.query), {
        method: call.method,
        headers: this.#headersOf(call),
        body: bodyOf(call),
        signal: call.signal === undefined ? timeout : AbortSignal.any([timeout, call.signal]),
        // Following a redirect would send the token to another server.
        redirect: 'manual'
      })
      const text = await response.text()
      return response.ok ? parsed(text, response) : refused(text, response)
    } catch (error) {
      if (error instanceof ServiceError) throw error
      const detail = timeout.aborted ? 'The service did not answer in time.' : 'The service cannot be reached.'
      throw new ServiceError('unavailable', { detail, cause: error })
    }
  }

  #headersOf ({ json, form, idempotencyKey }: Call): Record<string, string> {
    return {
      accept: 'application/json',
      authorization: this.#authorization,
      ...(json === undefined ? {} : { 'content-type': 'application/json' }),
      ...(form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
      ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey })
    }
  }
}

// The error of `new URL` contains its input, which may have a password in it.
function baseOf (text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isPlain = url !== undefined && /^https?:$/.test(url.protocol) && `${url.username}${url.password}${url.search}${url.hash}` === ''
  if (!isPlain) throw new TypeError('`url` must be the address of the service, such as https://keys.example.com, without a query or a password.')
  return url.href.replace(/\/+$/, '')
}

function searchOf (query: Call['query'] = {}): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) search.set(name, String(value))
  }
  return search.size === 0 ? '' : `?${search.toString()}`
}

function bodyOf ({ json, form }: Call): string | null {
  if (form !== undefined) return new URLSearchParams(form).toString()
  return json === undefined ? null : JSON.stringify(json)
}

function parsed (text: string, { status }: Response): unknown {
  if (text === '') return undefined
  const value = jsonOf(text)
  if (value === undefined) throw new ServiceError('unexpected_answer', { status, detail: `The answer with status ${status} is not from the service: it is not JSON. Check \`url\`.` })
  return value
}

interface Problem {
  code?: unknown
  detail?: unknown
  errors?: ServiceError['faults']
  key_id?: string
  request_id?: string
}

function refused (text: string, { status, headers }: Response): never {
  const { code, detail, errors, key_id: keyId, request_id: requestId } = (jsonOf(text) ?? {}) as Problem
  const retryAfterS = secondsOf(headers.get('retry-after'))
  if (typeof code === 'string' && typeof detail === 'string') throw new ServiceError(code, { detail, status, faults: errors, keyId, requestId, retryAfterS })
  // An answer of a proxy, whose upstream is unavailable.
  if (status === 502 || status === 503 || status === 504) throw new ServiceError('unavailable', { detail: `The service cannot be reached: a proxy answered ${status}.`, status, retryAfterS })
  throw new ServiceError('unexpected_answer', { status, detail: `The answer with status ${status} is not from the service. Check \`url\`.` })
}

function jsonOf (text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

function secondsOf (text: string | null): number | undefined {
  return text !== null && /^\d{1,6}$/.test(text) ? Number(text) : undefined
}

function pause (ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    const stop = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', stop, { once: true })
  })
}
