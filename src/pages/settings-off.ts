import type { FastifyInstance } from 'fastify'
import { headersOfPages } from './page-security.ts'
import { siteOf, type PageAssets } from './page-assets.ts'
import { messagePage } from './views/message.ts'
import { assetRoutes } from './assets.ts'
import { appsPrefix } from './settings.ts'
import { pathsAt } from './views/page.ts'

const title = 'Connected Apps is switched off'
const text = 'Sign-in is not set up. The operator of this service switches the page on with OIDC_ISSUER, OIDC_CLIENT_ID and PUBLIC_URL; until then, create and revoke keys through the API or the command line.'

/** Answers every page with a text that says why the pages are switched off: no sign-in is configured. */
export async function settingsOff (app: FastifyInstance, { assets }: { assets: PageAssets }): Promise<void> {
  const site = siteOf({ paths: pathsAt({ settings: app.prefix, apps: app.prefix + appsPrefix }), assetsAt: app.prefix, assets })
  app.addHook('onRoute', (route) => { route.schema = Object.assign({}, route.schema, { hide: true }) })
  app.addHook('onRequest', async (_request, reply) => { reply.headers(headersOfPages()) })
  app.register(assetRoutes, { assets })
  for (const url of ['', '/*']) {
    app.get(url, async function tellOff (_request, reply) {
      return await reply.code(404).type('text/html; charset=utf-8').send(String(messagePage({ site, title, text, next: null })))
    })
  }
}
