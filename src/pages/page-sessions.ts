import cookie from '@fastify/cookie'
import fp from 'fastify-plugin'
import { KeysError } from '../core/errors.ts'
import type { Person } from '../core/person.ts'
import { isFormToken, type Session, type Sessions } from '../core/sessions.ts'
import type { Site } from './views/page.ts'

declare module 'fastify' {
  interface FastifyRequest {
    session: Session | null
  }
  interface FastifyInstance {
    /** Hook: goes on for people who are signed in, leads everyone else to the sign-in page. */
    requirePerson (request: FastifyRequest, reply: FastifyReply): Promise<unknown>
    /** Hook: goes on when the form came from a page of this very session. */
    requireFormToken (request: FastifyRequest): Promise<void>
  }
  interface FastifyReply {
    /** `credential`: the digest of the management token that opens it, with which it ends. */
    startSession (person: Person, credential?: Buffer): Promise<void>
    endSession (): Promise<void>
  }
}

// `__Host-`: no other host of the domain can set it, and no path or subdomain has one of its own. Lax and not Strict:
// the first page after the provider's redirect would be without it.
const name = '__Host-navis-session'
const attributes = { path: '/', secure: true, httpOnly: true, sameSite: 'lax' } as const

export const pageSessions = fp<{ sessions: Sessions, site: Site }>(async function pageSessions (app, { sessions, site }) {
  await app.register(cookie)
  app.decorateRequest('session', null)

  app.decorate('requirePerson', async function requirePerson (request, reply) {
    const found = await sessions.find(request.cookies[name])
    if (found === undefined) return await reply.redirect(site.paths.signIn, 303)
    request.session = found
  })

  app.decorate('requireFormToken', async function requireFormToken (request) {
    const { form_token: presented } = (request.body ?? {}) as { form_token?: unknown }
    if (request.session === null || !isFormToken(request.session, presented)) {
      throw new KeysError('forbidden', { detail: 'This form is from before you signed in. Please open the page again.' })
    }
  })

  app.decorateReply('startSession', async function startSession (person, credential) {
    // Also what a provider says of a person is stored, and shown.
    if (app.holdsSecret(JSON.stringify(person))) throw new KeysError('invalid_request', { detail: 'What the sign-in says of you holds a token or a secret. Nothing was stored.' })
    await sessions.end(this.request.cookies[name])
    this.setCookie(name, await sessions.start(person, credential), { ...attributes, maxAge: Math.floor(sessions.limits.lifetimeMs / 1000) })
  })

  app.decorateReply('endSession', async function endSession () {
    await sessions.end(this.request.cookies[name])
    this.clearCookie(name, attributes)
  })
}, { name: 'page-sessions' })
