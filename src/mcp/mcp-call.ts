import { pipeline, type Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { KeyRecord } from '../core/key-record.ts'
import type { Message } from './protocol/message.ts'
import { McpRefusal, type RpcId } from './protocol/rpc-error.ts'
import type { Verdict } from '../core/verdict.ts'
import type { ToolListRules } from './protocol/tool-list.ts'
import { logOf } from '../http/logging.ts'
import { CallGuard, CutOff } from './call-guard.ts'
import type { Decision } from './call-report.ts'
import { badGateway, gatewayTimeout, upstreamRefused } from './gateway-refusals.ts'
import type { OpenCall } from './open-calls.ts'
import { toolListFit } from './tool-list-fit.ts'

interface McpCallOptions {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly key: KeyRecord
  readonly messages: readonly Message[]
  /** The final check (WINDOW R6), as `Verifier.verify` makes it, for the scope that the call needs. */
  readonly verify: () => Verdict | Promise<Verdict>
  readonly refuse: (verdict: Verdict, id: RpcId | undefined) => McpRefusal
  /** How long until the key expires, in milliseconds; `undefined`: never. */
  readonly expiresInMs: (key: KeyRecord) => number | undefined
  readonly silenceMaxMs: number
  /** How the lists of tools in the answer are to be fitted; `undefined`: there are none. */
  readonly toolList: ToolListRules | undefined
}

export interface Answer {
  readonly statusCode: number
  readonly contentType: string
  readonly isEncoded: boolean
  /** For the client. */
  readonly headers: Readonly<Record<string, string>>
  readonly stream: Readable
}

const longestTimerMs = 0x7fffffff

/** One request on its way to an upstream and back, which ends when its key does. */
export class McpCall implements OpenCall {
  readonly digest
  readonly workspaceId
  readonly #options: McpCallOptions
  readonly #cancel = new AbortController()
  #guard: CallGuard | undefined
  #refusal: McpRefusal | undefined
  #expiry: NodeJS.Timeout | undefined
  decision: Decision = 'passed'

  constructor (options: McpCallOptions) {
    this.#options = options
    this.digest = options.key.digest
    this.workspaceId = options.key.workspaceId
    this.#watchExpiry(options.key)
    // From here on the upstream's own limits hold, not those for clients that are slow to ask.
    options.request.raw.socket.setTimeout(0)
    options.reply.raw.once('close', () => { this.#end() })
  }

  /** Cancels what the upstream was asked when the client goes or the key ends. */
  get cancelled (): AbortSignal {
    return this.#cancel.signal
  }

  get id (): RpcId | undefined {
    const [only, ...others] = this.#options.messages
    return others.length === 0 && only?.kind === 'request' ? only.id : undefined
  }

  cut (): void {
    this.#cutAs({ valid: false, reason: 'revoked' })
  }

  interrupt (): void {
    if (this.#options.reply.raw.headersSent) this.cut()
    else this.recheck()
  }

  async recheck (): Promise<void> {
    try {
      const verdict = await this.#options.verify()
      if (verdict.valid) this.#watchExpiry(verdict.key)
      else this.#cutAs(verdict)
    } catch {
      // Not known: whatever comes next is checked anew before it is passed on, and refused while nothing is known.
    }
  }

  /** Whether it lasts as long as somebody listens: a GET stream, or `subscriptions/listen`. */
  get isEndless (): boolean {
    const { messages } = this.#options
    return messages.length === 0 || messages.some((message) => message.kind === 'request' && message.method === 'subscriptions/listen')
  }

  retire (): void {
    const { raw } = this.#options.reply
    this.#guard?.unpipe(raw)
    if (raw.headersSent) raw.end()
    else this.#cancel.abort()
  }

  /** The upstream began to answer. */
  relay (answer: Answer): void {
    const { reply } = this.#options
    const unusable = this.#refusal ?? this.#unusable(answer)
    if (unusable !== undefined || answer.contentType === '') answer.stream.on('error', () => {}).destroy()
    if (unusable !== undefined) {
      this.#fail(unusable)
    } else if (answer.contentType === '') {
      reply.headers(answer.headers).send()
    } else {
      reply.headers(answer.headers).send(this.#guarded(answer))
    }
  }

  /** The upstream did not answer. */
  unanswered (error: Error): void {
    const code = (error as { code?: string }).code ?? ''
    const isTimeout = code === 'FST_REPLY_FROM_GATEWAY_TIMEOUT'
    this.#fail(this.#refusal ?? (isTimeout ? gatewayTimeout(this.id) : badGateway('The upstream MCP server cannot be reached.', this.id)))
  }

  /** What to tell the client of an error that came before the first byte of its answer. */
  refusalOf (error: Error): McpRefusal {
    if (this.decision === 'passed') this.decision = 'upstream_failed'
    return this.#refusal ?? (error instanceof McpRefusal ? error : badGateway('The answer of the upstream MCP server broke off.', this.id))
  }

  #guarded (answer: Answer): CallGuard {
    const { reply, silenceMaxMs, toolList } = this.#options
    const isEventStream = answer.contentType.startsWith('text/event-stream')
    const guard = new CallGuard({ stillAllowed: () => this.#stillAllowed(), silenceMaxMs: isEventStream ? undefined : silenceMaxMs })
    const stages = toolList === undefined ? [] : [toolListFit(answer.contentType, toolList)]
    pipeline([answer.stream, ...stages, guard], (error) => { if (error != null) this.#relayFailed(error) })
    this.#guard = guard
    // An event stream may be silent for long; its client waits for the headers to know that it is open.
    if (isEventStream) reply.raw.once('pipe', () => { reply.raw.flushHeaders() })
    return guard
  }

  #fail (refusal: McpRefusal): void {
    if (!this.#options.reply.sent) this.#options.reply.send(refusal)
  }

  #unusable ({ statusCode, contentType, isEncoded }: Answer): McpRefusal | undefined {
    if (statusCode >= 300 && statusCode < 400) return badGateway('The upstream MCP server redirects. The gateway follows no redirects: an operator has to correct its URL.', this.id)
    if (statusCode === 401 || statusCode === 407) return badGateway('The upstream MCP server does not accept the gateway. An operator has to correct its credential.', this.id)
    if (isJson(contentType) || contentType.startsWith('text/event-stream')) {
      return isEncoded && this.#options.toolList !== undefined ? badGateway('The upstream MCP server compresses what it was asked not to.', this.id) : undefined
    }
    if (statusCode >= 400 && statusCode < 500) return upstreamRefused(statusCode, this.id)
    return contentType === '' && statusCode < 300 ? undefined : badGateway('The upstream MCP server answered with something that is not MCP.', this.id)
  }

  #stillAllowed (): boolean | Promise<boolean> {
    const verdict = this.#options.verify()
    return verdict instanceof Promise ? verdict.then((later) => this.#allows(later)) : this.#allows(verdict)
  }

  #allows (verdict: Verdict): boolean {
    if (!verdict.valid) this.#cutAs(verdict)
    return verdict.valid
  }

  #watchExpiry (key: KeyRecord): void {
    clearTimeout(this.#expiry)
    const inMs = this.#options.expiresInMs(key)
    if (inMs === undefined || this.#cancel.signal.aborted) return
    this.#expiry = setTimeout(() => this.recheck(), Math.min(Math.max(inMs, 50), longestTimerMs)).unref()
  }

  // Destroying the connection, unlike ending it, also drops what was written but not yet sent.
  #cutAs (verdict: Verdict): void {
    if (this.#cancel.signal.aborted) return
    const { reply } = this.#options
    this.decision = 'cut'
    this.#refusal = this.#options.refuse(verdict, this.id)
    this.#cancel.abort(new CutOff('The key was revoked or has expired.'))
    if (reply.raw.headersSent) {
      reply.raw.destroy()
      this.#guard?.destroy()
    }
  }

  #relayFailed (error: Error): void {
    if (this.decision === 'passed' && !this.#cancel.signal.aborted) this.decision = 'upstream_failed'
    logOf(this.#options.request).debug({ reason: error.name }, 'an answer of an upstream ended early')
  }

  #end (): void {
    clearTimeout(this.#expiry)
    this.#cancel.abort()
  }
}

function isJson (contentType: string): boolean {
  return /^application\/json\s*(;|$)/i.test(contentType)
}
