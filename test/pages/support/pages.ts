import type { AddressInfo } from 'node:net'
import Fastify, { type RouteOptions } from 'fastify'
import { systemClock } from '../../../src/core/clock.ts'
import { KeyService } from '../../../src/core/key-service.ts'
import { PublicOrigin } from '../../../src/core/public-origin.ts'
import { Sessions, type SessionLimits } from '../../../src/core/sessions.ts'
import { Policies } from '../../../src/core/policies.ts'
import { noPolicy } from '../../../src/core/policy.ts'
import { UsageReports } from '../../../src/core/usage-reports.ts'
import { PostgresUsageStore } from '../../../src/db/usage-store.ts'
import { TokenFormat } from '../../../src/core/token.ts'
import type { Force } from '../../../src/core/window/trust.ts'
import { connect } from '../../../src/db/connect.ts'
import { PostgresKeyStore } from '../../../src/db/key-store.ts'
import { borrowedPool } from '../../../src/db/replaceable-pool.ts'
import { PostgresSessionStore } from '../../../src/db/session-store.ts'
import { Scrubber } from '../../../src/http/scrubber.ts'
import { secretsInRequests } from '../../../src/http/secrets-in-requests.ts'
import { readPageAssets, siteOf } from '../../../src/pages/page-assets.ts'
import type { SettingsContext, SignInWay } from '../../../src/pages/context.ts'
import { settingsPages, settingsPrefix } from '../../../src/pages/settings.ts'
import { digestOf, ManagementDoor } from '../../../src/pages/sign-in/management-door.ts'
import { pathsAt } from '../../../src/pages/views/page.ts'
import { freshDatabase, type Teardowns } from '../../support/servers.ts'

export const managementToken = 'm'.repeat(40)

interface Options {
  readonly signIn?: SignInWay
  readonly limits?: SessionLimits
  readonly force?: Force
  readonly databaseUrl?: string
  readonly mcpServer?: string | undefined
  readonly frameOrigins?: readonly string[]
  /** The argument of `readPageAssets`. */
  readonly brand?: Parameters<typeof readPageAssets>[0]
  onRoute? (route: RouteOptions): void
}

export const servicePaths = pathsAt({ apps: '/settings/connected-apps', settings: settingsPrefix })

const atOnce: Force = { inForce: async () => 'fast', announce () {} }

/** Only the pages, on a real database. */
export async function servePages (t: Teardowns, { signIn, limits, force = atOnce, databaseUrl, onRoute, frameOrigins = [], brand, ...rest }: Options = {}) {
  const database = connect({ url: databaseUrl ?? await freshDatabase(t) })
  const pool = borrowedPool(database.db, (db) => db)
  const mcpServer = 'mcpServer' in rest ? rest.mcpServer : '/mcp'
  const store = new PostgresKeyStore({ pool })
  const service = new KeyService({ store, force, clock: systemClock, tokens: new TokenFormat() })
  const app = Fastify()
  const assets = readPageAssets(brand)
  const origin = new PublicOrigin(undefined)
  if (onRoute !== undefined) app.addHook('onRoute', onRoute)
  const context: SettingsContext = {
    service,
    reports: new UsageReports({ store: new PostgresUsageStore({ reads: pool, writes: pool }), today: () => Date.now() }),
    sessions: new Sessions({ store: new PostgresSessionStore(pool), limits: limits ?? { idleMs: 60_000, lifetimeMs: 600_000 }, credentials: [digestOf(managementToken)] }),
    signIn: signIn ?? { way: 'management-token', door: new ManagementDoor({ tokens: [{ name: 'ops', secret: managementToken }], clock: systemClock }) },
    originOf: ({ headers: { host } }) => origin.of(host),
    mcpServer,
    tryUrl: '/forward-auth',
    overview: store,
    policies: new Policies({ store, force, clock: systemClock }),
    settingsPolicy: noPolicy,
    policyOf: async (workspaceId) => await store.policy(workspaceId),
    settleUses: async () => {},
    tokenPrefix: 'nops_',
    revokeLongestMs: 10_252,
    frameOrigins,
    secrets: secretsInRequests(new Scrubber({ tokenPrefix: 'nops_', secrets: [managementToken] })),
    assets,
    site: siteOf({ paths: servicePaths, assetsAt: settingsPrefix, assets })
  }
  app.register(async (scope) => { await settingsPages(scope, context) }, { prefix: settingsPrefix })
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    await app.close()
    await database.close()
  })
  return { app, service, store, database, url: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}` }
}
