import replyFrom, { type FastifyReplyFromOptions } from '@fastify/reply-from'
import fp from 'fastify-plugin'
import { systemClock, type Clock } from '../core/clock.ts'
import type { Scope } from '../core/scopes.ts'
import { Gateway, type GatewayOptions } from './gateway.ts'
import type { Keys } from '../engine/open-keys.ts'
import { mcpMetrics } from './mcp-metrics.ts'
import { jwks } from './jwks.ts'
import { mcp } from './mcp.ts'
import { noOAuth } from './no-oauth.ts'

export interface McpGatewayOptions extends GatewayOptions {
  readonly keys: Pick<Keys, 'verifier' | 'window' | 'tokens'>
  readonly clock?: Clock | undefined
}

declare module 'fastify' {
  interface FastifyInstance {
    /** The scope that a tool of an upstream needs; `mcp:write` for one that is not known. */
    mcpToolScope (upstream: string, tool: string): Promise<Scope>
  }
}

const retireAfterMs = 4000

/** MCP servers behind `/mcp` and `/mcp/{name}`, for keys. */
export const mcpGateway = fp<McpGatewayOptions>(async (app, options) => {
  const { keys, clock = systemClock, ...settings } = options
  const observe = app.hasDecorator('metricsRegistry') ? mcpMetrics(app.metricsRegistry, () => gateway.openCalls.size) : undefined
  const gateway = await Gateway.open({ observe, ...settings }, { keys, clock, log: app.log })
  // The plugin's own way to connect does not check certificates unless told to; ours does.
  const undici = { request: gateway.agent.request.bind(gateway.agent) } as FastifyReplyFromOptions['undici']
  await app.register(replyFrom, { undici, disableRequestLogging: true } as FastifyReplyFromOptions)
  await app.register(mcp, { gateway })
  await app.register(noOAuth)
  if (gateway.callerTokens !== undefined) await app.register(jwks, { callerTokens: gateway.callerTokens })

  app.decorate('mcpToolScope', (upstream, tool) => gateway.scopeOfTool(upstream, tool))
  app.addHook('preClose', async () => {
    gateway.openCalls.retireEndless()
    setTimeout(() => { gateway.openCalls.retireAll() }, retireAfterMs).unref()
  })
  app.addHook('onClose', async () => { await gateway.close() })
}, { name: 'mcp-gateway', fastify: '5.x' })
