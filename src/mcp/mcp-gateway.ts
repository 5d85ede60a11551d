import fp from 'fastify-plugin'
import { systemClock, type Clock } from '../core/clock.ts'
import type { Scope } from '../core/scopes.ts'
import type { Tracing } from '../core/tracing.ts'
import { presentedToken, type PresentedToken } from '../http/bearer.ts'
import { retiredAfterMs } from '../http/stop-times.ts'
import { Gateway, type GatewayOptions } from './gateway.ts'
import type { Keys } from '../engine/open-keys.ts'
import { mcpMetrics } from './mcp-metrics.ts'
import { jwks } from './jwks.ts'
import { mcp } from './mcp.ts'
import { noOAuth } from './no-oauth.ts'
import type { UpstreamState } from './upstream.ts'

export interface McpGatewayOptions extends GatewayOptions {
  readonly keys: Pick<Keys, 'verifier' | 'window' | 'tokens'>
  readonly clock?: Clock | undefined
  readonly tracing?: Tracing | undefined
  /** Reads the token of a request. From `Authorization` and `x-api-key`. */
  readonly presented?: PresentedToken | undefined
}

declare module 'fastify' {
  interface FastifyInstance {
    /** The scope that a tool of an upstream needs; `mcp:write` for an unknown tool or upstream. */
    mcpToolScope (upstream: string, tool: string): Promise<Scope>
    /** The state of each upstream, by the newest request to it. */
    mcpUpstreams (): readonly UpstreamState[]
  }
}

/** MCP servers behind `/mcp` and `/mcp/{name}`, for keys. */
export const mcpGateway = fp<McpGatewayOptions>(async (app, options) => {
  const { keys, clock = systemClock, tracing, presented = presentedToken(keys.tokens), ...settings } = options
  const gateway = await Gateway.open(settings, { keys, presented, clock, tracing, log: app.log })
  if (app.hasDecorator('metricsRegistry')) mcpMetrics(app.metricsRegistry, gateway)
  await app.register(mcp, { gateway })
  await app.register(noOAuth)
  if (gateway.callerTokens !== undefined) await app.register(jwks, { callerTokens: gateway.callerTokens })

  app.decorate('mcpToolScope', (upstream, tool) => gateway.scopeOfTool(upstream, tool))
  app.decorate('mcpUpstreams', () => gateway.upstreams.map(({ state }) => state))
  app.addHook('preClose', async () => {
    gateway.openCalls.retireEndless()
    setTimeout(() => { gateway.openCalls.retireAll() }, retiredAfterMs).unref()
  })
  app.addHook('onClose', async () => { await gateway.close() })
}, { name: 'mcp-gateway', fastify: '5.x' })
