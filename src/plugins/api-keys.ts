import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import fp from 'fastify-plugin'
import { KeysError } from '../core/errors.ts'
import type { KeyRecord } from '../core/key-record.ts'
import { isScope, type Scope } from '../core/scopes.ts'
import type { Verdict } from '../core/verdict.ts'
import { openKeys, type Keys, type KeysHealth, type KeysOptions, type KeysStats } from '../engine/open-keys.ts'
import { bearerToken } from '../http/bearer.ts'
import { failureFor, refusalFor, refuseRequest } from '../http/refusals.ts'

export { KeysError, openKeys }
export type { Keys, KeysHealth, KeysOptions, KeysStats, Scope, Verdict }

/** The key that a request was accepted with. Times are milliseconds since the epoch. Shared between requests, and frozen. */
export type ApiKey = Omit<KeyRecord, 'digest'>

export interface ApiKeysOptions extends KeysOptions {
  /** An engine of `openKeys` that is used instead of a new one. Closing it remains yours. */
  readonly keys?: Keys | undefined
}

/** Lets only requests pass whose bearer token is a key with the scope; each refusal is a complete answer. */
export type RequireKey = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) => void

declare module 'fastify' {
  interface FastifyInstance {
    readonly apiKeys: Keys
    /** An `onRequest` hook that lets only keys with `scope` pass. `mcp:write` implies `mcp:read`. */
    requireScope (scope: Scope): RequireKey
  }
  interface FastifyRequest {
    /** The key that the request was accepted with. Throws on a request that no `requireScope` has let pass. */
    readonly apiKey: ApiKey
  }
}

const verified = Symbol('navis-keys.verified')

interface Verified {
  [verified]?: ApiKey | undefined
}

/** API keys for a Fastify application: `app.requireScope(scope)` in front of a route, `request.apiKey` inside it. */
export const apiKeys = fp(async function apiKeys (app: FastifyInstance, options: ApiKeysOptions) {
  const keys = options.keys ?? await openKeys({ log: app.log, ...options })
  const { verifier, tokens } = keys

  // Node leaves out the headers beyond a count, a second Authorization among them; their bytes are bounded anyway.
  app.server.maxHeadersCount ??= 0
  app.decorate('apiKeys', keys)
  app.decorateRequest(verified, undefined)
  app.decorateRequest('apiKey', {
    getter (this: FastifyRequest & Verified): ApiKey {
      const key = this[verified]
      if (key === undefined) throw new Error('`request.apiKey` is only there behind `onRequest: app.requireScope(…)`.')
      return key
    }
  })
  app.decorate('requireScope', function requireScope (scope: Scope): RequireKey {
    if (!isScope(scope)) throw new TypeError('The scope to require is `mcp:read` or `mcp:write`.')
    return function requireKey (request: FastifyRequest & Verified, reply, done) {
      const token = bearerToken(request.raw, tokens)
      if (typeof token !== 'string') return refuseRequest(reply, token)
      const verdict = verifier.verify(token, { scope, client: request })
      // No promise for a hit: this is all that it costs.
      if (!(verdict instanceof Promise)) return settle(request, reply, done, verdict)
      verdict.then(
        (late) => { settle(request, reply, done, late) },
        (error: unknown) => { refuseRequest(reply, failureFor(error)) }
      )
    }
  })

  if (options.keys === undefined) app.addHook('onClose', () => keys.close())
}, { name: 'api-keys', fastify: '5.x' })

export default apiKeys

function settle (request: FastifyRequest & Verified, reply: FastifyReply, done: HookHandlerDoneFunction, verdict: Verdict): void {
  if (!verdict.valid) return refuseRequest(reply, refusalFor(verdict.reason, verdict.scope))
  request[verified] = verdict.key
  done()
}
