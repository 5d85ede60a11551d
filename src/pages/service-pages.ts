import type { FastifyInstance } from 'fastify'
import type { Config } from '../config/config.ts'
import { systemClock } from '../core/clock.ts'
import { PublicOrigin } from '../core/public-origin.ts'
import { Sessions } from '../core/sessions.ts'
import { ReplaceablePool } from '../db/replaceable-pool.ts'
import { PostgresSessionStore } from '../db/session-store.ts'
import type { Scrubber } from '../http/scrubber.ts'
import { secretsInRequests } from '../http/secrets-in-requests.ts'
import { readPageAssets, siteOf } from './page-assets.ts'
import { digestOf, ManagementDoor } from './sign-in/management-door.ts'
import type { SettingsContext, SignInWay } from './context.ts'
import { contextOfKeys } from './key-pages.ts'
import { settingsOff } from './settings-off.ts'
import { appsPrefix, settingsPages, settingsPrefix } from './settings.ts'
import { pathsAt } from './views/page.ts'

const sessionConnections = 2

/** Settings → Connected Apps as the settings configure it, or a page that says why it is switched off. `gatewayPath`: the path of the gateway, if there is one. */
export async function servicePages (app: FastifyInstance, { config, gatewayPath, scrubber }: { config: Config, gatewayPath: string | undefined, scrubber: Scrubber }): Promise<void> {
  const { pages, managementTokens, databaseUrl, databaseSchema: schema } = config
  const assets = readPageAssets(pages.brand)
  const signIn = await wayIn(config)
  if (signIn === undefined || databaseUrl === undefined) {
    app.log.info('The settings page is off: the database is not the embedded one, and OIDC_ISSUER is not set, so people cannot sign in.')
    await app.register(settingsOff, { assets, prefix: settingsPrefix })
    return
  }
  const origin = new PublicOrigin(pages.publicUrl)
  const settings = app.prefix + settingsPrefix
  const pool = new ReplaceablePool({ url: databaseUrl, schema, max: sessionConnections, prepare: (db) => db })
  app.addHook('onClose', async () => { await pool.close() })
  const context: SettingsContext = {
    ...contextOfKeys(app.apiKeys),
    sessions: new Sessions({ store: new PostgresSessionStore(pool), limits: pages.sessionLimits, credentials: managementTokens.map(({ secret }) => digestOf(secret)) }),
    signIn,
    originOf: ({ headers: { host } }) => origin.of(host),
    mcpServer: pages.mcpUrl ?? gatewayPath,
    tryUrl: '/forward-auth',
    frameOrigins: pages.frameOrigins,
    secrets: secretsInRequests(scrubber),
    assets,
    site: siteOf({ paths: pathsAt({ settings, apps: settings + appsPrefix }), assetsAt: settings, assets })
  }
  await app.register(async (scope) => { await settingsPages(scope, context) }, { prefix: settingsPrefix })
}

async function wayIn ({ pages: { signIn }, managementTokens }: Config): Promise<SignInWay | undefined> {
  switch (signIn.way) {
    // Only loaded if it is configured, as it takes a twentieth of a start.
    case 'provider': return { way: 'provider', provider: new (await import('./sign-in/openid-provider.ts')).OpenIdProvider(signIn.options) }
    case 'management-token': return { way: 'management-token', door: new ManagementDoor({ tokens: managementTokens, clock: systemClock }) }
    case 'off': return undefined
  }
}
