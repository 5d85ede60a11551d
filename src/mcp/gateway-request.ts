import type { FastifyReply, FastifyRequest } from 'fastify'
import type { KeyRecord } from '../core/key-record.ts'
import type { Message } from './protocol/message.ts'
import type { McpRefusal, RpcId } from './protocol/rpc-error.ts'
import { logOf } from '../http/logging.ts'
import { labelsOf, type CallReport, type Decision } from './call-report.ts'
import type { Gateway } from './gateway.ts'
import type { McpCall } from './mcp-call.ts'
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

const decisions: Readonly<Record<number, Decision>> = {
  401: 'unauthenticated', 403: 'insufficient_scope', 429: 'unavailable', 502: 'upstream_failed', 503: 'unavailable', 504: 'upstream_failed'
}

function decisionOf ({ status, detail }: McpRefusal): Decision {
  return detail?.['code'] === 'forbidden_origin' ? 'refused' : decisions[status] ?? 'refused'
}

/** One request at the gateway, from its headers to the report about it. */
export class GatewayRequest {
  readonly #options: GatewayRequestOptions
  readonly #startedAt: number
  /** Set once the token was found good; `token` is kept to ask again while an answer passes. */
  key: KeyRecord | undefined
  token = ''
  messages: readonly Message[] = []
  call: McpCall | undefined
  #refused: Decision | undefined

  constructor (options: GatewayRequestOptions) {
    this.#options = options
    this.#startedAt = options.gateway.clock.monotonicMs()
    options.reply.raw.once('close', () => { this.#report() })
  }

  /** The id to answer to, where there is one. */
  get id (): RpcId | undefined {
    const [only, ...others] = this.messages
    return others.length === 0 && only?.kind === 'request' ? only.id : undefined
  }

  refused (refusal: McpRefusal): void {
    this.#refused ??= decisionOf(refusal)
  }

  #report (): void {
    const { gateway, upstream, request, reply } = this.#options
    const common = {
      key_id: this.key?.id,
      workspace_id: this.key?.workspaceId,
      upstream: upstream.name,
      decision: this.call?.decision === 'cut' ? 'cut' : this.#refused ?? this.call?.decision ?? 'refused',
      status: reply.statusCode,
      duration_ms: Math.round((gateway.clock.monotonicMs() - this.#startedAt) * 10) / 10
    } as const
    for (const labels of this.#labels()) {
      const report: CallReport = { tool: undefined, ...common, ...labels }
      logOf(request).info({ mcp: report }, 'mcp call')
      gateway.observe(report)
    }
  }

  #labels (): ReadonlyArray<{ method: string, tool?: string | undefined }> {
    const { gateway, request } = this.#options
    if (this.messages.length === 0) return [{ method: `http ${request.method.toLowerCase()}` }]
    return this.messages.map((message) => labelsOf(message, (text) => gateway.keys.tokens.foundIn(text)))
  }
}
