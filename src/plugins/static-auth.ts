import { hash, timingSafeEqual } from 'node:crypto'
import bearerAuth from '@fastify/bearer-auth'
import type { FastifyRequest, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { KeysError } from '../core/errors.ts'
import { isRepeated } from '../http/repeated-header.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Refuses whoever holds no management token. */
    requireManagement: onRequestHookHandler
    /** Refuses whoever holds neither a service nor a management token. */
    requireService: onRequestHookHandler
  }
  interface FastifyRequest {
    /** Name of the management or service token that the request came with; empty where none was asked for. */
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
  /** What keys begin with. */
  readonly tokenPrefixes: readonly string[]
}

interface Holder {
  readonly name: string
  readonly manages: boolean
  readonly digest: Buffer
}

/** The static credentials of people and services that manage and ask about keys. Keys are no such credential. */
export const staticAuth = fp<StaticAuthOptions>(async (app, { managementTokens, serviceTokens, tokenPrefixes }) => {
  const holders: Holder[] = [
    ...managementTokens.map(({ name, secret }) => ({ name, manages: true, digest: digestOf(secret) })),
    ...serviceTokens.map(({ name, secret }) => ({ name, manages: false, digest: digestOf(secret) }))
  ]
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
        if (holder === undefined && tokenPrefixes.some((prefix) => presented.startsWith(prefix))) throw keysManageNothing()
        if (holder === undefined) return false
        if (mustManage && !holder.manages) throw servicesManageNothing()
        request.actor = holder.name
        return true
      }
    })
    return (request, reply, done) => {
      if (isRepeated('authorization', request.raw.rawHeaders)) return done(twoCredentials())
      const { authorization = '' } = request.headers
      // The library answers in a later turn, when the body has come in already and has to be kept: who is right goes on at once.
      const holder = authorization.startsWith('Bearer ') ? holderOf(authorization.slice(7), holders) : undefined
      if (holder !== undefined && (holder.manages || !mustManage)) {
        request.actor = holder.name
        return done()
      }
      verify(request, reply, (error?: Error) => done(error === undefined || error instanceof KeysError ? error : noCredential()))
    }
  }
  app.decorate('requireManagement', guard(true))
  app.decorate('requireService', guard(false))
}, { name: 'static-auth', fastify: '5.x' })

// Every holder is compared, and digests have one length: the time tells neither which one it was nor how much of it was right.
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

function noCredential (): KeysError {
  return new KeysError('unauthenticated', { detail: 'Send "Authorization: Bearer <token>" with a token that this service was configured with.' })
}

function twoCredentials (): KeysError {
  return new KeysError('invalid_request', { detail: 'There is more than one Authorization header. Send one.' })
}

function keysManageNothing (): KeysError {
  return new KeysError('forbidden', { detail: 'Keys never manage keys, nor ask about them here. Send a management token, or a service token where one is enough.' })
}

function servicesManageNothing (): KeysError {
  return new KeysError('forbidden', { detail: 'A service token may verify and introspect, not manage. Send a management token.' })
}
