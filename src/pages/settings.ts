import type { FastifyInstance } from 'fastify'
import { routes } from './views/page.ts'
import { assetRoutes } from './assets.ts'
import type { SettingsContext } from './context.ts'
import { keyPages } from './key-pages.ts'
import { managementSignInRoutes } from './management-sign-in.ts'
import { pageScope } from './page-scope.ts'
import { pageSessions } from './page-sessions.ts'
import { providerSignInRoutes } from './provider-sign-in.ts'
import { signOutRoutes } from './sign-out.ts'

/** The prefix of `settingsPages`, and below it that of the pages about keys. */
export const settingsPrefix = '/settings'
export const appsPrefix = '/connected-apps'

/** Settings → Connected Apps, in a Fastify scope with its own body parser, headers, sessions and error pages. */
export async function settingsPages (app: FastifyInstance, context: SettingsContext): Promise<void> {
  await app.register(pageScope, context)
  await app.register(pageSessions, context)

  app.register(assetRoutes, context)
  app.register(context.signIn.way === 'provider' ? providerSignInRoutes : managementSignInRoutes, context)
  app.register(signOutRoutes, context)
  app.register(async (scope) => { await keyPages(scope, context) }, { prefix: appsPrefix })

  app.get(routes.settings, async (_request, reply) => reply.redirect(context.site.paths.list, 303))
}
