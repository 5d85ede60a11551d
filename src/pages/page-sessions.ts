import cookie from '@fastify/cookie'
import fp from 'fastify-plugin'
import { KeysError } from '../core/errors.ts'
import type { Person } from '../core/person.ts'
import type { SettingsContext } from './context.ts'
import { pagePerson } from './page-person.ts'
import { unsentAt } from './views/sign-in.ts'

declare module 'fastify' {
  interface FastifyReply {
    /** `credential`: the digest of the management token that was used. The session ends when that token is removed from the settings. */
    startSession (person: Person, credential?: Buffer): Promise<void>
    endSession (): Promise<void>
  }
}

// `__Host-`: another host of the same domain cannot set this cookie (RFC 6265bis, section 4.1.3). `Lax`, because browsers do not send
// a `Strict` cookie with the redirect from the provider.
const name = '__Host-navis-session'
const attributes = { path: '/', secure: true, httpOnly: true, sameSite: 'lax' } as const

/** Our own sessions, in a cookie. */
export const pageSessions = fp<Pick<SettingsContext, 'sessions' | 'site' | 'secrets'>>(async function pageSessions (app, { sessions, site, secrets }) {
  await app.register(cookie)
  await app.register(pagePerson, { find: (request) => sessions.find(request.cookies[name]), signInUrl: site.paths.signIn, unsentUrl: unsentAt(site) })

  app.decorateReply('startSession', async function startSession (person, credential) {
    // What a provider says about a person is stored and shown: refuse secrets in it.
    if (secrets.holdsSecret(JSON.stringify(person))) throw new KeysError('invalid_request', { detail: 'Your sign-in data contains a token or a secret. Nothing was stored.' })
    await sessions.end(this.request.cookies[name])
    this.setCookie(name, await sessions.start(person, credential), { ...attributes, maxAge: Math.floor(sessions.limits.lifetimeMs / 1000) })
  })

  app.decorateReply('endSession', async function endSession () {
    await sessions.end(this.request.cookies[name])
    this.clearCookie(name, attributes)
  })
}, { name: 'page-sessions' })
