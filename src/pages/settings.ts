import formbody from '@fastify/formbody'
import type { FastifyInstance } from 'fastify'
import { pageErrors } from './page-errors.ts'
import { pageSecurity } from './page-security.ts'
import { pageSessions } from './page-sessions.ts'
import { routes } from './views/page.ts'
import { adminRoutes } from './admin.ts'
import { assetRoutes } from './assets.ts'
import { createKeyRoutes } from './create-key.ts'
import type { SettingsContext } from './context.ts'
import { firstUseRoutes } from './first-use.ts'
import { keyListRoutes } from './key-list.ts'
import { keyPageRoutes } from './key-page.ts'
import { managementSignInRoutes } from './management-sign-in.ts'
import { providerSignInRoutes } from './provider-sign-in.ts'
import { revokeKeyRoutes } from './revoke-key.ts'
import { rotateKeyRoutes } from './rotate-key.ts'
import { signOutRoutes } from './sign-out.ts'

/** Settings -> Connected Apps: the pages, in a scope of their own with their own body parser, headers and errors. */
export async function settingsPages (app: FastifyInstance, context: SettingsContext): Promise<void> {
  // Pages are no API: openapi.json leaves them out.
  app.addHook('onRoute', (route) => { route.schema = Object.assign({}, route.schema, { hide: true }) })
  app.removeAllContentTypeParsers()
  await app.register(formbody, { bodyLimit: 16_384 })
  await app.register(pageErrors, context)
  await app.register(pageSecurity, context)
  await app.register(pageSessions, context)
  app.addHook('onRequest', app.refuseQueryCredentials)

  app.register(assetRoutes, context)
  app.register(context.signIn.way === 'provider' ? providerSignInRoutes : managementSignInRoutes, context)
  app.register(signOutRoutes, context)
  app.register(keyListRoutes, context)
  app.register(createKeyRoutes, context)
  app.register(adminRoutes, context)
  app.register(keyPageRoutes, context)
  app.register(firstUseRoutes, context)
  app.register(rotateKeyRoutes, context)
  app.register(revokeKeyRoutes, context)

  app.get(routes.settings, async (_request, reply) => reply.redirect(context.site.paths.list, 303))
}
