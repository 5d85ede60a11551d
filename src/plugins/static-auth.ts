import { hash, timingSafeEqual } from 'node:crypto'
import bearerAuth from '@fastify/bearer-auth'
import type { FastifyRequest, onRequestHookHandler, preValidationHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { KeysError } from '../core/errors.ts'
import { isRepeated } from '../http/repeated-header.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Refuses requests without a management token. */
    requireManagement: onRequestHookHandler
    /** Refuses requests without a service or management token. */
    requireService: onRequestHookHandler
    /**
     * The same for OAuth clients: also accepts `client_secret_basic` (RFC 6749, section 2.3.1), and lets form requests pass that may have `client_secret_post` in the body;
     * `requireServiceClientInBody` checks those.
     */
    requireServiceClient: onRequestHookHandler
    /** Refuses requests that have no credential, neither in a header nor in `client_id` and `client_secret` of the body. */
    requireServiceClientInBody: preValidationHookHandler
  }
  interface FastifyRequest {
    /** The name of the management or service token of the request; empty on routes that need none. */
    actor: string
  }
}

interface NamedSecret {
  readonly name: string
  readonly secret: string
}

interface StaticAuthOptions {
  readonly managementTokens: readonly NamedSecret[]
  readonly serviceTokens: readonly NamedSecret[]
  /** The prefix of API keys. */
  readonly tokenPrefixes: readonly string[]
  /** The header other than `Authorization` that may have an API key; empty: none. */
  readonly apiKeyHeader: string
}

interface Holder {
  readonly name: string
  readonly manages: boolean
  readonly digest: Buffer
}

/** The static credentials of people and services that manage or verify keys. An API key is not accepted as such a credential. */
export const staticAuth = fp<StaticAuthOptions>(async (app, { managementTokens, serviceTokens, tokenPrefixes, apiKeyHeader }) => {
  const holders: Holder[] = [
    ...managementTokens.map(({ name, secret }) => ({ name, manages: true, digest: digestOf(secret) })),
    ...serviceTokens.map(({ name, secret }) => ({ name, manages: false, digest: digestOf(secret) }))
  ]
  const keyHeader = apiKeyHeader.toLowerCase()
  const isKey = (presented: string) => tokenPrefixes.some((prefix) => presented.startsWith(prefix))
  app.decorateRequest('actor', '')
  await app.register(bearerAuth, { addHook: false, keys: new Set<string>() })

  const guard = (mustManage: boolean): onRequestHookHandler => {
    const verify = app.verifyBearerAuthFactory!({
      addHook: false,
      keys: new Set<string>(),
      specCompliance: 'rfc6749',
      verifyErrorLogLevel: 'trace',
      auth: (presented: string, request: FastifyRequest) => {
        const holder = holderOf(presented, holders)
        if (holder === undefined && isKey(presented)) throw keysManageNothing()
        if (holder === undefined) return false
        if (mustManage && !holder.manages) throw servicesManageNothing()
        request.actor = holder.name
        return true
      }
    })
    return (request, reply, done) => {
      if (isRepeated('authorization', request.raw.rawHeaders)) return done(twoCredentials())
      const { authorization = '' } = request.headers
      // bearer-auth resolves in a later turn, by which time Node has buffered the body. Accept known holders synchronously.
      const holder = authorization.startsWith('Bearer ') ? holderOf(authorization.slice(7), holders) : undefined
      if (holder !== undefined && (holder.manages || !mustManage)) {
        request.actor = holder.name
        return done()
      }
      if (authorization === '' && isKey(String(request.headers[keyHeader] ?? '').replace(/^bearer +/i, ''))) return done(keysManageNothing())
      verify(request, reply, (error?: Error) => done(error === undefined || error instanceof KeysError ? error : noCredential()))
    }
  }
  app.decorate('requireManagement', guard(true))
  const requireService = guard(false)
  app.decorate('requireService', requireService)
  app.decorate('requireServiceClient', function (request, reply, done) {
    const { authorization } = request.headers
    // Only a form can contain a credential: other content types are refused before the body is read.
    if (authorization === undefined && isForm(request.headers['content-type'])) return done()
    if (authorization === undefined || !/^basic /i.test(authorization) || isRepeated('authorization', request.raw.rawHeaders)) return requireService.call(app, request, reply, done)
    const { id, secret } = basicOf(authorization)
    const holder = holderOf(secret, holders)
    // RFC 6749, section 5.2: name the scheme that the client used.
    if (holder === undefined || holder.name !== id) return done(wrongClient('Basic'))
    request.actor = holder.name
    done()
  })
  app.decorate('requireServiceClientInBody', function (request, _reply, done) {
    const { client_id: id, client_secret: secret } = (request.body ?? {}) as { client_id?: unknown, client_secret?: unknown }
    if (request.actor !== '') return done(secret === undefined ? undefined : twoClientCredentials())
    if (typeof secret !== 'string') return done(noCredential())
    const holder = holderOf(secret, holders)
    if (holder === undefined || holder.name !== id) return done(wrongClient())
    request.actor = holder.name
    done()
  })
}, { name: 'static-auth', fastify: '5.x' })

// Compares all holders, with digests of equal length: the time reveals neither the holder nor a partial match.
function holderOf (presented: string, holders: readonly Holder[]): Holder | undefined {
  presentedDigest.write(hash('sha256', presented, 'binary'), 'latin1')
  let found: Holder | undefined
  for (const holder of holders) {
    if (timingSafeEqual(holder.digest, presentedDigest)) found = holder
  }
  return found
}

const presentedDigest = Buffer.alloc(32)

function digestOf (secret: string): Buffer {
  return hash('sha256', secret, 'buffer')
}

function isForm (contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/x-www-form-urlencoded(?:[ \t]*;|$)/i.test(contentType)
}

// RFC 6749, section 2.3.1: both parts are form-encoded. A text that cannot be decoded matches no holder.
function basicOf (authorization: string): { readonly id: string, readonly secret: string } {
  const text = Buffer.from(authorization.slice('basic '.length).trim(), 'base64').toString('utf8')
  const colon = text.indexOf(':')
  const [id = '', secret = ''] = colon === -1 ? [] : [text.slice(0, colon), text.slice(colon + 1)].map(formDecoded)
  return { id, secret }
}

function formDecoded (text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}

function wrongClient (scheme?: 'Basic'): KeysError {
  return new KeysError('unauthenticated', { ...scheme && { scheme }, detail: 'Unknown client. Send the name of a service or management token as client_id, and that token as client_secret.' })
}

function twoClientCredentials (): KeysError {
  return new KeysError('invalid_request', { detail: 'The client sent its credential in two ways. Send it in the Authorization header or in client_secret.' })
}

function noCredential (): KeysError {
  return new KeysError('unauthenticated', { detail: 'Send "Authorization: Bearer <token>" with a management or service token of this service.' })
}

function twoCredentials (): KeysError {
  return new KeysError('invalid_request', { detail: 'There is more than one Authorization header. Send one.' })
}

function keysManageNothing (): KeysError {
  return new KeysError('forbidden', { detail: 'An API key cannot manage or verify keys. Send a management token, or a service token where that is enough.' })
}

function servicesManageNothing (): KeysError {
  return new KeysError('forbidden', { detail: 'A service token may verify and introspect keys, but not manage them. Send a management token.' })
}
