import type { FastifyInstance } from 'fastify'
import { paths } from './views/page.ts'
import { signedOutPage } from './views/sign-in.ts'
import type { SettingsContext } from './context.ts'

export async function signOutRoutes (app: FastifyInstance, { signIn, assets }: SettingsContext): Promise<void> {
  app.post(paths.signOut, { onRequest: app.requirePerson, preHandler: app.requireFormToken }, async function signOut (_request, reply) {
    await reply.endSession()
    return await reply.redirect(paths.signedOut, 303)
  })

  app.get(paths.signedOut, async function tellSignedOut (request, reply) {
    const providerSignOut = signIn.way === 'provider' ? await signIn.provider.signOutUrl(request.publicOrigin + paths.signedOut) : undefined
    return await reply.type('text/html; charset=utf-8').send(String(signedOutPage({ assets: assets.urls, ...(providerSignOut !== undefined && { providerSignOut }) })))
  })
}
