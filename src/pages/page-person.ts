import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { KeysError } from '../core/errors.ts'
import { isFormToken, type Session } from '../core/sessions.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Not named `session`: the host application may have that decorator. */
    pageSession: Session | null
  }
  interface FastifyInstance {
    /** Hook: redirects people who are not signed in to the sign-in page, or throws `unauthenticated` where there is none. */
    requirePerson (request: FastifyRequest, reply: FastifyReply): Promise<unknown>
    /** Hook: throws `forbidden` unless the form comes from a page of this session. */
    requireFormToken (request: FastifyRequest): Promise<void>
  }
}

interface PagePersonOptions {
  /** The session of the request; `undefined`: not signed in. */
  find (request: FastifyRequest): Promise<Session | undefined>
  /** The sign-in page. `undefined`: an error page says that the person is not signed in. */
  readonly signInUrl: string | undefined
  /** The sign-in page after a form that was sent without a session, which says that nothing was changed. `signInUrl`. */
  readonly unsentUrl?: string | undefined
}

/** Finds the person who sent the request. */
export const pagePerson = fp<PagePersonOptions>(async function pagePerson (app, { find, signInUrl, unsentUrl = signInUrl }) {
  app.decorateRequest('pageSession', null)

  app.decorate('requirePerson', async function requirePerson (request: FastifyRequest, reply: FastifyReply) {
    const found = await find(request)
    if (found === undefined && signInUrl !== undefined) return await reply.redirect(request.method === 'POST' ? unsentUrl ?? signInUrl : signInUrl, 303)
    if (found === undefined) throw new KeysError('unauthenticated', { detail: 'Please sign in, and open this page again.' })
    request.pageSession = found
  })

  app.decorate('requireFormToken', async function requireFormToken (request: FastifyRequest) {
    const { form_token: presented } = (request.body ?? {}) as { form_token?: unknown }
    if (request.pageSession === null || !isFormToken(request.pageSession, presented)) {
      throw new KeysError('forbidden', { detail: 'This form was opened before you signed in. Please open the page again.' })
    }
  })
}, { name: 'page-person' })
