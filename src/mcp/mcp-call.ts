import { pipeline, Readable } from 'node:stream'
import type { KeyRecord } from '../core/key-record.ts'
import type { Scope } from '../core/scopes.ts'
import type { Verdict } from '../core/verdict.ts'
import { logOf } from '../http/logging.ts'
import { CallGuard, CutOff } from './call-guard.ts'
import type { CallReport, Decision } from './call-report.ts'
import type { ClientCall } from './client-call.ts'
import { fittedAnswer, ListTooLong } from './fitted-answer.ts'
import { answerBrokeOff, oldTransport, stopping, toRefusal, upstreamFailed, upstreamRefused } from './gateway-refusals.ts'
import type { AuthenticatedRequest } from './gateway-request.ts'
import { keyRefusal } from './key-refusals.ts'
import type { OpenCall } from './open-calls.ts'
import type { McpRefusal } from './protocol/rpc-error.ts'
import { EventTooLong } from './protocol/event-stream.ts'
import { JsonRefused } from './protocol/strict-json.ts'
import type { ToolListRules } from './protocol/tool-list.ts'
import { UpstreamFailure, type UpstreamAnswer, type UpstreamCause } from './upstream-client.ts'
import { answerHeaders, oneLine, told, typeOf, wholeText } from './upstream-headers.ts'

interface McpCallOptions {
  readonly request: AuthenticatedRequest
  readonly call: ClientCall
  /** The scope that the call needs. */
  readonly scope: Scope
  /** How lists of tools in the answer are filtered. `undefined`: the answer can contain none. */
  readonly toolList: ToolListRules | undefined
}

interface Failure {
  readonly cause: CallReport['cause']
  readonly code: string | undefined
}

const longestTimerMs = 0x7fffffff

/** One request to an upstream and its answer. It ends when its key ends. */
export class McpCall implements OpenCall {
  readonly digest
  readonly workspaceId
  readonly usedAt
  readonly #options: McpCallOptions
  #guard: CallGuard | undefined
  #refusal: McpRefusal | undefined
  /** The upstream's JSON-RPC error, where it came with a status of 400 or more: it was read before it is passed on. */
  #errorText: string | undefined
  #expiry: NodeJS.Timeout | undefined
  decision: Decision = 'passed'
  /** Why the upstream failed. */
  failure: Failure | undefined

  constructor (options: McpCallOptions) {
    const { gateway, key, request, reply } = options.request
    this.#options = options
    this.digest = key.digest
    this.workspaceId = key.workspaceId
    this.usedAt = gateway.clock.monotonicMs()
    this.#watchExpiry(key)
    // The request has been received: from now on the time limits are those for upstreams.
    request.raw.socket.setTimeout(0)
    reply.raw.once('close', () => { clearTimeout(this.#expiry) })
  }

  cut (): void {
    this.#cutAs({ valid: false, reason: 'revoked' })
  }

  interrupt (): void {
    if (this.#raw.headersSent) this.cut()
    else this.recheck()
  }

  async recheck (): Promise<void> {
    try {
      const verdict = await this.#verify()
      if (verdict.valid) this.#watchExpiry(verdict.key)
      else this.#cutAs(verdict)
    } catch {
      // It is not known whether the key is valid. The next piece is checked before it is passed on, and refused if it is still not known.
    }
  }

  /** Whether it lasts until the client disconnects: a GET stream, or `subscriptions/listen`. */
  get isEndless (): boolean {
    const { messages } = this.#options.call
    return messages.length === 0 || messages.some((message) => message.kind === 'request' && message.method === 'subscriptions/listen')
  }

  retire (): void {
    this.#guard?.unpipe(this.#raw)
    if (this.#raw.headersSent) {
      this.#raw.end()
    } else {
      this.#refusal ??= stopping(this.#options.request.id)
      this.#options.request.over.abort()
    }
  }

  /** Passes on the answer that the upstream has begun. */
  async relay (answer: UpstreamAnswer): Promise<void> {
    const { request } = this.#options
    const { reply, upstream } = request
    const refusal = await this.#unusableInTime(answer)
    // Meanwhile the key may have ended, or the client may have disconnected.
    const unusable = this.#refusal ?? refusal
    if (unusable !== undefined) {
      answer.stream.destroy()
      return this.#fail(unusable)
    }
    upstream.answered()
    const contentType = typeOf(answer)
    reply.code(answer.status).headers({ ...answerHeaders(answer.headers), ...this.#sealedSession(answer) })
    if (isAcknowledgement(answer) || (contentType === '' && !await hasBody(answer.stream))) {
      answer.stream.destroy()
      reply.removeHeader('content-type').send()
    } else {
      reply.header('content-type', answer.headers['content-type'] ?? 'application/json').send(this.#guarded(answer))
    }
  }

  /** Refuses the call because the upstream did not answer. */
  unanswered (error: unknown): void {
    if (this.#refusal === undefined && !(error instanceof UpstreamFailure)) throw error
    this.#fail(this.#refusal ?? this.#failed(error as UpstreamFailure))
  }

  /** The refusal for an error before the first byte of the answer. */
  refusalOf (error: Error): McpRefusal | undefined {
    if (this.#refusal !== undefined) return this.#refusal
    if (error instanceof ListTooLong || error instanceof EventTooLong) return this.#failed({ reason: 'too_large', wasSent: true, code: undefined })
    if (error instanceof JsonRefused) return this.#failed({ reason: 'not_mcp', wasSent: true, code: undefined })
    const refusal = toRefusal(error, this.#options.request.id)
    if (refusal !== undefined) return refusal
    this.#note('broke_off', undefined)
    return answerBrokeOff(this.#options.request.id)
  }

  get #raw () {
    return this.#options.request.reply.raw
  }

  /** The final check (WINDOW R6), for the scope that the call needs. */
  #verify (): Verdict | Promise<Verdict> {
    const { request, scope } = this.#options
    return request.recheck(scope)
  }

  // An upstream may repeat its session id in every answer; only `initialize` has a client to remember.
  #sealedSession ({ headers }: UpstreamAnswer): Record<string, string> {
    const { request: { gateway, upstream, key, clientInfo }, call } = this.#options
    const session = headers['mcp-session-id']
    if (call.generation !== 'legacy' || typeof session !== 'string') return {}
    const sealed = gateway.sessionSeal.seal(session, upstream.name, key.id)
    if (clientInfo !== undefined) gateway.rememberClient(sealed, clientInfo)
    return { 'mcp-session-id': sealed }
  }

  #guarded (answer: UpstreamAnswer): CallGuard {
    const { request, toolList } = this.#options
    const contentType = typeOf(answer)
    const isEventStream = contentType.startsWith('text/event-stream')
    const guard = new CallGuard({ stillAllowed: () => this.#stillAllowed(), silenceMaxMs: isEventStream ? undefined : request.gateway.answerTimeoutMs })
    const stream = this.#errorText === undefined ? answer.stream : Readable.from([Buffer.from(this.#errorText)])
    pipeline(stream, fittedAnswer(contentType, { request, toolList }), guard, (error) => { if (error != null) this.#relayFailed(error) })
    this.#guard = guard
    // An event stream may send nothing for a long time, and its client waits for the headers to know that it is open.
    if (isEventStream) this.#raw.once('pipe', () => { this.#raw.flushHeaders() })
    return guard
  }

  #fail (refusal: McpRefusal): void {
    const { reply } = this.#options.request
    if (!reply.sent) reply.send(refusal)
  }

  /** A body whose type the headers do not tell is looked at: it has to begin in time, and before the connection ends. */
  async #unusableInTime (answer: UpstreamAnswer): Promise<McpRefusal | undefined> {
    const { stream } = answer
    let isSilent = false
    const silence = setTimeout(() => {
      isSilent = true
      stream.destroy()
    }, this.#options.request.gateway.answerTimeoutMs)
    try {
      const refusal = await this.#unusable(answer)
      return refusal === undefined && stream.destroyed && !stream.complete ? this.#answered(isSilent ? 'timeout' : 'closed') : refusal
    } finally {
      clearTimeout(silence)
    }
  }

  async #unusable (answer: UpstreamAnswer): Promise<McpRefusal | undefined> {
    const { status, headers } = answer
    const contentType = typeOf(answer)
    if (status < 200 || status > 599) return this.#answered('status')
    if (status >= 300 && status < 400) return this.#answered('redirect')
    if (status === 401 || status === 407) return this.#answered('credential')
    if (status >= 400 && status < 500 && this.#speaksOldTransport) return oldTransport()
    if (status >= 400 && isJson(contentType)) return await this.#refusedInJson(answer)
    if (isJson(contentType) || contentType.startsWith('text/event-stream')) {
      const isEncoded = headers['content-encoding'] !== undefined && headers['content-encoding'] !== 'identity'
      const isRead = this.#options.toolList !== undefined || !isJson(contentType)
      return isEncoded && isRead ? this.#answered('not_mcp') : undefined
    }
    if (status >= 400 && status < 500) return await this.#refusedBy(answer)
    if (isAcknowledgement(answer) || (contentType === '' && status < 300 && await looksLikeJson(answer.stream))) return undefined
    return this.#answered('not_mcp', retryAfterOf(answer))
  }

  /** A JSON-RPC error is passed on unchanged, but never with a credential in it. Other JSON is text. */
  async #refusedInJson (answer: UpstreamAnswer): Promise<McpRefusal | undefined> {
    let text: string | undefined
    try {
      text = await wholeText(answer)
    } catch {
      // It broke off or took too long: `#unusableInTime` tells.
      return undefined
    }
    if (text === undefined || this.#betrays(text)) return this.#refusedWith('', answer)
    if (text.includes('"jsonrpc"')) {
      this.#errorText = text
      return undefined
    }
    return answer.status < 500 ? this.#refusedWith(oneLine(text), answer) : this.#answered('not_mcp', retryAfterOf(answer))
  }

  async #refusedBy (answer: UpstreamAnswer): Promise<McpRefusal> {
    return this.#refusedWith(await told(answer, { foundIn: (text) => this.#betrays(text) }), answer)
  }

  #refusedWith (text: string, answer: UpstreamAnswer): McpRefusal {
    const { request } = this.#options
    request.upstream.answered()
    return upstreamRefused(answer.status, { id: request.id, text, retryAfter: retryAfterOf(answer) })
  }

  #betrays (text: string): boolean {
    const { gateway, upstream } = this.#options.request
    return gateway.keys.tokens.foundIn(text) || upstream.isBetrayedBy(text)
  }

  // A client of HTTP+SSE, the transport of 2024-11-05, begins with a GET that has neither a version nor a session.
  get #speaksOldTransport (): boolean {
    const { method, headers } = this.#options.request.request
    return method === 'GET' && headers['mcp-protocol-version'] === undefined && headers['mcp-session-id'] === undefined
  }

  #answered (reason: UpstreamCause, retryAfter?: string): McpRefusal {
    return this.#failed({ reason, wasSent: true, code: undefined }, retryAfter)
  }

  #failed (failure: Pick<UpstreamFailure, 'reason' | 'wasSent' | 'code'>, retryAfter?: string): McpRefusal {
    this.#note(failure.reason, failure.code)
    return upstreamFailed(failure, this.#options.request.id, retryAfter)
  }

  #note (cause: Failure['cause'], code: string | undefined): void {
    if (this.decision === 'passed') this.decision = 'upstream_failed'
    this.failure ??= { cause, code }
    this.#options.request.upstream.failed(cause ?? 'broke_off', code)
  }

  #stillAllowed (): boolean | Promise<boolean> {
    const verdict = this.#verify()
    return verdict instanceof Promise ? verdict.then((later) => this.#allows(later)) : this.#allows(verdict)
  }

  #allows (verdict: Verdict): boolean {
    if (!verdict.valid) this.#cutAs(verdict)
    return verdict.valid
  }

  #watchExpiry (key: KeyRecord): void {
    const { gateway, over } = this.#options.request
    clearTimeout(this.#expiry)
    const inMs = gateway.expiresInMs(key)
    if (inMs === undefined || over.signal.aborted) return
    this.#expiry = setTimeout(() => this.recheck(), Math.min(Math.max(inMs, 50), longestTimerMs)).unref()
  }

  // `destroy`, unlike `end`, also drops bytes that were written but not sent yet.
  #cutAs (verdict: Verdict): void {
    const { request } = this.#options
    if (request.over.signal.aborted) return
    this.decision = 'cut'
    this.#refusal = keyRefusal(verdict, request.id)
    request.over.abort(new CutOff('The key was revoked or has expired.'))
    if (this.#raw.headersSent) {
      this.#raw.destroy()
      this.#guard?.destroy()
    }
  }

  #relayFailed (error: Error): void {
    const { request } = this.#options
    if (this.decision === 'passed' && !request.over.signal.aborted) this.#note('broke_off', (error as { code?: string }).code)
    logOf(request.request).debug({ reason: error.name }, 'an answer of an upstream ended too early')
  }
}

function isAcknowledgement ({ status }: UpstreamAnswer): boolean {
  return status === 202 || status === 204
}

function isJson (contentType: string): boolean {
  return /^application\/json\s*(;|$)/.test(contentType)
}

function retryAfterOf ({ headers }: UpstreamAnswer): string | undefined {
  return headers['retry-after']
}

async function firstPiece (stream: Readable): Promise<Buffer | undefined> {
  for (;;) {
    const piece = stream.read() as Buffer | null
    if (piece !== null) {
      stream.unshift(piece)
      return piece
    }
    if (stream.readableEnded || stream.destroyed) return undefined
    await new Promise<void>((resolve) => {
      for (const name of ['readable', 'end', 'close']) stream.once(name, resolve)
    })
  }
}

async function hasBody (stream: Readable): Promise<boolean> {
  return await firstPiece(stream) !== undefined
}

// Some servers omit Content-Type. A body that begins like JSON is accepted as JSON.
async function looksLikeJson (stream: Readable): Promise<boolean> {
  const piece = await firstPiece(stream)
  return piece === undefined || /^[\s]*[{[]/.test(piece.toString('latin1'))
}
