import type { IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { KeyRecord } from '../core/key-record.ts'
import type { Scope } from '../core/scopes.ts'
import type { Verdict } from '../core/verdict.ts'
import { connectionMemo } from '../http/connection-memo.ts'
import { logOf } from '../http/logging.ts'
import { decisionOf, labelsOf, outcomeOf, type CallReport, type Decision, type Labels, type ReportedCall } from './call-report.ts'
import type { Body } from './bodies.ts'
import type { Gateway } from './gateway.ts'
import { inMcp, keyRefusal } from './key-refusals.ts'
import type { ClientInfo, Message } from './protocol/message.ts'
import type { McpRefusal, RpcId } from './protocol/rpc-error.ts'
import type { Upstream } from './upstream.ts'

declare module 'fastify' {
  interface FastifyRequest {
    gatewayRequest: GatewayRequest
  }
}

interface GatewayRequestOptions {
  readonly gateway: Gateway
  readonly upstream: Upstream
  readonly request: FastifyRequest
  readonly reply: FastifyReply
}

/** A request whose token was accepted. The token is kept for the checks while the answer is passed on. */
export interface AuthenticatedRequest extends GatewayRequest {
  readonly key: KeyRecord
  readonly token: string
}

/** One request at the gateway, from its headers to its report. */
export class GatewayRequest {
  readonly gateway: Gateway
  readonly upstream: Upstream
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  /** Aborted when the client disconnects, the key ends, or the answer is complete. All work for the request ends with it. */
  readonly over = new AbortController()
  readonly key: KeyRecord | undefined
  readonly token: string | undefined
  messages: readonly Message[] = []
  clientInfo: ClientInfo | undefined
  /** Set immediately before the request is sent to the upstream. */
  call: ReportedCall | undefined
  readonly #startedAt: number
  #refused: McpRefusal | undefined
  #body: Body | undefined

  constructor ({ gateway, upstream, request, reply }: GatewayRequestOptions) {
    this.gateway = gateway
    this.upstream = upstream
    this.request = request
    this.reply = reply
    this.#startedAt = gateway.clock.monotonicMs()
    reply.raw.once('close', () => { this.#end() })
  }

  /** Accepts any valid token, whatever its scope, before the body is read. It counts as no use yet: whether the request is let through is not known. */
  async authenticate (): Promise<void> {
    const { keys: { verifier }, presented } = this.gateway
    const token = presented(this.request.raw)
    if (typeof token !== 'string') throw inMcp(token, undefined)
    const verdict = await verifier.verify(token, { client: this.request, from: this.request, memo: connectionMemo(this.request.raw), counts: 'nothing' })
    if (!verdict.valid) throw keyRefusal(verdict, undefined)
    Object.assign(this, { key: verdict.key, token })
  }

  /** The final check (WINDOW R6) again, for the scope that the call needs. Only after `authenticate`. */
  recheck (scope: Scope): Verdict | Promise<Verdict> {
    if (this.token === undefined) throw new TypeError('A request is authenticated before it is checked again.')
    return this.gateway.keys.verifier.verify(this.token, { scope, from: this.request, memo: connectionMemo(this.request.raw), counts: 'nothing' })
  }

  isAuthenticated (): this is AuthenticatedRequest {
    return this.key !== undefined && this.token !== undefined
  }

  /** Reads the body from the network. It uses the key's share until `releaseBody`, at most until the request ends. */
  async receiveBody (stream: IncomingMessage): Promise<Buffer> {
    const length = this.request.headers['content-length']
    this.#body = await this.gateway.bodies.receive(this.key?.id ?? '', stream, length === undefined ? undefined : Number(length), this.over.signal)
    // The client disconnected while the body was read.
    if (this.over.signal.aborted) this.releaseBody()
    return this.#body?.bytes ?? Buffer.alloc(0)
  }

  releaseBody (): void {
    this.#body?.release()
    this.#body = undefined
  }

  /** The JSON-RPC id to answer, if the request is a single call. */
  get id (): RpcId | undefined {
    const [only, ...others] = this.messages
    return others.length === 0 && only?.kind === 'request' ? only.id : undefined
  }

  refused (refusal: McpRefusal): void {
    this.#refused ??= refusal
  }

  #end (): void {
    this.over.abort()
    this.releaseBody()
    this.#report().catch((error: Error) => { logOf(this.request).error({ reason: error.name }, 'a call was not reported') })
  }

  // One line for each message of a batch, spread over turns of the event loop.
  async #report (): Promise<void> {
    const { gateway, upstream, request, reply, key, call } = this
    const common = {
      key_id: key?.id,
      workspace_id: key?.workspaceId,
      upstream: upstream.name,
      decision: this.#decision(),
      cause: call?.failure?.cause,
      cause_code: call?.failure?.code,
      status: reply.statusCode,
      duration_ms: Math.round((gateway.clock.monotonicMs() - this.#startedAt) * 10) / 10
    } as const
    const left = this.#labels()
    const reportOne = () => {
      const report: CallReport = { tool: undefined, ...common, ...left.shift() as Labels }
      logOf(request).info({ mcp: report }, 'mcp call')
      gateway.observe(report)
      if (key !== undefined) this.#tellCall(key, report)
      return left.length === 0
    }
    if (!reportOne()) await gateway.bodies.work(key?.id ?? '', { advance: reportOne }, left.length)
  }

  #tellCall (key: KeyRecord, { upstream, method, tool, decision, status, duration_ms: ms }: CallReport): void {
    const { gateway, request } = this
    gateway.onCall({
      key,
      upstream,
      method,
      tool,
      decision: outcomeOf(decision, status),
      status,
      ms,
      usedAt: this.call?.usedAt,
      clientInfo: this.clientInfo ?? gateway.clientOfSession(request.headers['mcp-session-id']),
      userAgent: request.headers['user-agent'],
      address: request.ip
    })
  }

  #decision (): Decision {
    const { call } = this
    if (call?.decision === 'cut') return 'cut'
    if (this.#refused !== undefined) return decisionOf(this.#refused)
    return call?.decision ?? 'refused'
  }

  #labels (): Labels[] {
    const { gateway, request } = this
    if (this.messages.length === 0) return [{ method: `http ${request.method.toLowerCase()}` }]
    return this.messages.map((message) => labelsOf(message, (text) => gateway.keys.tokens.foundIn(text)))
  }
}
