import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import type { KeysOptions } from '../../src/engine/keys-options.ts'
import { openKeys } from '../../src/engine/open-keys.ts'
import type { Scope } from '../../src/core/scopes.ts'
import type { CallReport } from '../../src/mcp/call-report.ts'
import { mcpGateway, type McpGatewayOptions } from '../../src/mcp/mcp-gateway.ts'
import { freshDatabase, type Teardowns } from './servers.ts'

interface GatewayTestOptions extends Omit<McpGatewayOptions, 'keys' | 'upstreams'> {
  /** URLs by name; a single URL is the upstream `default`. */
  readonly upstreams: string | McpGatewayOptions['upstreams']
  readonly databaseUrl?: string
  readonly keysOptions?: KeysOptions
}

/** A gateway on a real database, listening on its own port. */
export async function startGateway (t: Teardowns, { upstreams, databaseUrl, keysOptions = {}, ...options }: GatewayTestOptions) {
  const lines: string[] = []
  const reports: CallReport[] = []
  const keys = await openKeys({ databaseUrl: databaseUrl ?? await freshDatabase(t), ...keysOptions })
  t.teardown(() => keys.close())
  const app = Fastify({ logger: { level: 'debug', stream: { write: (line) => { lines.push(line) } } } })
  await app.register(mcpGateway, {
    keys,
    upstreams: typeof upstreams === 'string' ? [{ name: 'default', url: upstreams }] : upstreams,
    observe: (report) => { reports.push(report) },
    ...options
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    // A client may have opened a connection that it never used, which counts as busy.
    setTimeout(() => { app.server.closeAllConnections() }, 500).unref()
    await app.close()
  })
  const origin = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  return {
    app,
    keys,
    origin,
    url: `${origin}/mcp`,
    lines,
    reports,
    async mint (scope: Scope, { workspaceId = 'ws-1', ownerId = 'owner-1', expiresAt }: { workspaceId?: string, ownerId?: string, expiresAt?: number } = {}) {
      const { key, token } = await keys.service.create({ workspaceId, ownerId, name: 'test', scope, actor: 'test', expiresAt: expiresAt ?? null })
      return { key, token, async revoke () { await keys.service.revoke({ workspaceId, keyId: key.id, actor: 'test' }) } }
    }
  }
}
