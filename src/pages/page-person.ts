import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { KeysError } from '../core/errors.ts'
import { isFormToken, type Session } from '../core/sessions.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Not `session`: the application around these pages may have one of its own. */
    pageSession: Session | null
  }
  interface FastifyInstance {
    /** Hook: goes on for people who are signed in; everyone else is led to where they sign in. */
    requirePerson (request: FastifyRequest, reply: FastifyReply): Promise<unknown>
    /** Hook: goes on when the form came from a page of this very session. */
    requireFormToken (request: FastifyRequest): Promise<void>
  }
}

interface PagePersonOptions {
  /** Who has sent the request; `undefined`: nobody who is signed in. */
  find (request: FastifyRequest): Promise<Session | undefined>
  /** Where people sign in. `undefined`: they are told that they are not signed in. */
  readonly signInUrl: string | undefined
}

/** Who is there, for the pages that want to know. */
export const pagePerson = fp<PagePersonOptions>(async function pagePerson (app, { find, signInUrl }) {
  app.decorateRequest('pageSession', null)

  app.decorate('requirePerson', async function requirePerson (request: FastifyRequest, reply: FastifyReply) {
    const found = await find(request)
    if (found === undefined && signInUrl !== undefined) return await reply.redirect(signInUrl, 303)
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
