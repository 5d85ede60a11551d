import fp from 'fastify-plugin'
import type { onRequestHookHandler, preValidationHookHandler } from 'fastify'
import { KeysError } from '../core/errors.ts'
import type { Scrubber } from '../http/scrubber.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Refuses a credential in the query string: logs and browser histories keep URLs. */
    refuseQueryCredentials: onRequestHookHandler
    /** Whether there is a token, or a configured secret, in a text. */
    holdsSecret (text: string): boolean
    /** Refuses a configured secret in what would be stored. */
    refuseStoredSecrets: preValidationHookHandler
  }
}

export const secretRefusal = fp<{ scrubber: Scrubber }>(async (app, { scrubber }) => {
  app.decorate('holdsSecret', (text) => scrubber.finds(text))
  app.decorate('refuseQueryCredentials', (request, _reply, done) => {
    const at = request.url.indexOf('?')
    done(at !== -1 && holdsCredential(request.url.slice(at), scrubber) ? queryCredential() : undefined)
  })
  app.decorate('refuseStoredSecrets', (request, _reply, done) => {
    const text = JSON.stringify([request.params, request.query, request.body])
    done(scrubber.findsSecret(text) ? storedSecret() : undefined)
  })
}, { name: 'secret-refusal', fastify: '5.x' })

function holdsCredential (query: string, scrubber: Scrubber): boolean {
  return /[?&](?:access_token|token)=/i.test(query) || scrubber.finds(query)
}

function queryCredential (): KeysError {
  return new KeysError('invalid_request', { detail: 'The query string contains a credential, and logs keep query strings. Send the credential in the Authorization header, and revoke or replace it.' })
}

function storedSecret (): KeysError {
  return new KeysError('invalid_request', { detail: 'The request contains a management or service token outside the Authorization header. Nothing was stored.' })
}
