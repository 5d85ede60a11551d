import cookie from '@fastify/cookie'
import fp from 'fastify-plugin'
import { KeysError } from '../core/errors.ts'
import type { Person } from '../core/person.ts'
import type { Sessions } from '../core/sessions.ts'
import { pagePerson } from './page-person.ts'
import type { Site } from './views/page.ts'

declare module 'fastify' {
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

/** Sessions of our own, in a cookie. */
export const pageSessions = fp<{ sessions: Sessions, site: Site }>(async function pageSessions (app, { sessions, site }) {
  await app.register(cookie)
  await app.register(pagePerson, { find: (request) => sessions.find(request.cookies[name]), signInUrl: site.paths.signIn })

  app.decorateReply('startSession', async function startSession (person, credential) {
    // Also what a provider says of a person is stored, and shown.
    if (app.holdsSecret(JSON.stringify(person))) throw new KeysError('invalid_request', { detail: 'Your sign-in data contains a token or a secret. Nothing was stored.' })
    await sessions.end(this.request.cookies[name])
    this.setCookie(name, await sessions.start(person, credential), { ...attributes, maxAge: Math.floor(sessions.limits.lifetimeMs / 1000) })
  })

  app.decorateReply('endSession', async function endSession () {
    await sessions.end(this.request.cookies[name])
    this.clearCookie(name, attributes)
  })
}, { name: 'page-sessions' })
