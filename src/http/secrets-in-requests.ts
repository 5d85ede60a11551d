import type { onRequestHookHandler, preValidationHookHandler } from 'fastify'
import { KeysError } from '../core/errors.ts'
import type { Scrubber } from './scrubber.ts'

/** What keeps credentials out of places where they are stored. */
export interface SecretsInRequests {
  /** Whether there is a token, or a configured secret, in a text. */
  holdsSecret (text: string): boolean
  /** Hook: refuses a credential in the query string, because logs and browser histories keep URLs. */
  readonly refuseQueryCredentials: onRequestHookHandler
  /** Hook: refuses every query string, of a path that reads none. A scope that a client asked for there would not be checked. */
  readonly refuseQuery: onRequestHookHandler
  /** Hook: refuses a configured secret in what would be stored. */
  readonly refuseStoredSecrets: preValidationHookHandler
}

export function secretsInRequests (scrubber: Scrubber): SecretsInRequests {
  return {
    holdsSecret: (text) => scrubber.finds(text),
    refuseQueryCredentials: ({ url }, _reply, done) => {
      const at = url.indexOf('?')
      done(at !== -1 && holdsCredential(url.slice(at), scrubber) ? queryCredential() : undefined)
    },
    refuseQuery: ({ url }, _reply, done) => {
      const at = url.indexOf('?')
      if (at === -1 || at === url.length - 1) done()
      else done(holdsCredential(url.slice(at), scrubber) ? queryCredential() : unreadQuery())
    },
    refuseStoredSecrets: (request, _reply, done) => {
      const text = JSON.stringify([request.params, request.query, request.body])
      done(scrubber.findsSecret(text) ? storedSecret() : undefined)
    }
  }
}

function holdsCredential (query: string, scrubber: Scrubber): boolean {
  return /[?&](?:access_token|token)=/i.test(query) || scrubber.finds(query)
}

function queryCredential (): KeysError {
  return new KeysError('invalid_request', { detail: 'The query string contains a credential, and logs keep query strings. Send the credential in the Authorization header, and revoke or replace it.' })
}

function unreadQuery (): KeysError {
  return new KeysError('invalid_request', { detail: 'This path has no query parameters. Send all fields in the body.' })
}

function storedSecret (): KeysError {
  return new KeysError('invalid_request', { detail: 'The request contains a management or service token outside the Authorization header. Nothing was stored.' })
}
