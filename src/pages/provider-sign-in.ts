import type { FastifyInstance } from 'fastify'
import { KeysError } from '../core/errors.ts'
import { logOf } from '../http/logging.ts'
import type { Journey } from './sign-in/openid-provider.ts'
import { messagePage } from './views/message.ts'
import { routes } from './views/page.ts'
import { isUnsent, signInPage } from './views/sign-in.ts'
import type { SettingsContext } from './context.ts'

// Contains state, nonce and PKCE verifier of a sign-in that has begun. Not signed: the provider checks the verifier, and `__Host-` keeps other hosts from setting it.
const cookieName = '__Host-navis-sign-in'
const attributes = { path: '/', secure: true, httpOnly: true, sameSite: 'lax' } as const
const journeyS = 600

/** Sign-in through an OpenID provider. */
export async function providerSignInRoutes (app: FastifyInstance, { signIn, site }: SettingsContext): Promise<void> {
  if (signIn.way !== 'provider') throw new Error('The sign-in through a provider has none.')
  const { provider } = signIn

  app.get<{ Querystring: Record<string, unknown> }>(routes.signIn, async function askToSignIn ({ query }, reply) {
    return await reply.type('text/html; charset=utf-8').send(String(signInPage({ site, way: 'provider', isUnsent: isUnsent(query) })))
  })

  app.get(routes.signInStart, async function leaveForProvider (request, reply) {
    const { url, journey } = await provider.leave(request.publicOrigin + site.paths.signInCallback)
    reply.setCookie(cookieName, packed(journey), { ...attributes, maxAge: journeyS })
    return await reply.redirect(url.href, 303)
  })

  app.get(routes.signInCallback, async function arriveFromProvider (request, reply) {
    const journey = unpacked(request.cookies[cookieName])
    reply.clearCookie(cookieName, attributes)
    if (journey === undefined) throw new KeysError('unauthenticated', { detail: 'The sign-in took too long, or was started in another browser. Please start it again.' })
    const admission = await provider.arrive(new URL(request.url, request.publicOrigin), journey)
    if (admission.admitted) {
      await reply.startSession(admission.person)
      return await reply.redirect(site.paths.list, 303)
    }
    logOf(request).warn({ missing: admission.missing }, 'sign-in without a usable claim')
    return await reply.code(403).type('text/html; charset=utf-8').send(String(messagePage({
      site,
      title: 'No workspace for you here',
      text: `You are signed in, but your sign-in provider does not say which ${admission.missing === 'workspace' ? 'workspace is' : 'keys are'} yours. Please ask its operator.`,
      next: { href: site.paths.signIn, label: 'Sign in as someone else' }
    })))
  })
}

function packed (journey: Journey): string {
  return Buffer.from(JSON.stringify(journey)).toString('base64url')
}

function unpacked (text: string | undefined): Journey | undefined {
  if (text === undefined) return undefined
  try {
    const { state, nonce, verifier } = JSON.parse(Buffer.from(text, 'base64url').toString()) as Record<string, unknown>
    if (typeof state !== 'string' || typeof nonce !== 'string' || typeof verifier !== 'string') return undefined
    return { state, nonce, verifier }
  } catch {
    return undefined
  }
}
