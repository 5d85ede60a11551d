import type { FastifyInstance } from 'fastify'
import { routes } from './views/page.ts'
import { signedOutPage } from './views/sign-in.ts'
import type { SettingsContext } from './context.ts'

export async function signOutRoutes (app: FastifyInstance, { signIn, site }: SettingsContext): Promise<void> {
  app.post(routes.signOut, { onRequest: app.requirePerson, preHandler: app.requireFormToken }, async function signOut (_request, reply) {
    await reply.endSession()
    return await reply.redirect(site.paths.signedOut, 303)
  })

  app.get(routes.signedOut, async function tellSignedOut (request, reply) {
    const providerSignOut = signIn.way === 'provider' ? await signIn.provider.signOutUrl(request.publicOrigin + site.paths.signedOut) : undefined
    return await reply.type('text/html; charset=utf-8').send(String(signedOutPage({ site, ...(providerSignOut !== undefined && { providerSignOut }) })))
  })
}
