import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import fp from 'fastify-plugin'
import { KeysError } from '../core/errors.ts'
import type { KeyRecord } from '../core/key-record.ts'
import { isScope, type Scope } from '../core/scopes.ts'
import type { Verdict } from '../core/verdict.ts'
import { UnfitDatabase } from '../db/unfit-database.ts'
import { migrateKeys } from '../engine/migrate-keys.ts'
import type { KeysOptions } from '../engine/keys-options.ts'
import { openKeys, type Keys, type KeysHealth, type KeysStats } from '../engine/open-keys.ts'
import { presentedToken } from '../http/bearer.ts'
import { judgeRequest } from '../http/judge-request.ts'
import { refusalOfVerdict, refuseRequest, setRateHeaders } from '../http/refusals.ts'
import { withoutThoseOfRegister } from '../http/register-options.ts'

export { KeysError, migrateKeys, openKeys, UnfitDatabase }
export type { Keys, KeysHealth, KeysOptions, KeysStats, Scope, Verdict }

/** The key that a request was accepted with. Times are milliseconds since the epoch. Shared between requests, and frozen. */
export type ApiKey = Omit<KeyRecord, 'digest'>

export interface ApiKeysOptions extends KeysOptions {
  /** An engine of `openKeys`, instead of a new one, for which no options of an engine are taken. The plugin does not close it. */
  readonly keys?: Keys | undefined
  /**
   * A prefix for the names of the decorators, for a second instance in one context or where a name is taken: with `partner` they are
   * `app.partnerApiKeys`, `app.partnerRequireScope` and `request.partnerApiKey`. Default: none.
   */
  readonly decoratorPrefix?: string | undefined
  /** A second header that may contain the token, for clients that cannot send `Authorization`. Empty: none. Default: `x-api-key`. */
  readonly apiKeyHeader?: string | undefined
}

/** An `onRequest` hook that accepts only requests with a key that has the scope, and answers all others itself (RFC 6750). */
export type RequireKey = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) => void

declare module 'fastify' {
  interface FastifyInstance {
    readonly apiKeys: Keys
    /** Returns an `onRequest` hook that accepts only keys with `scope`. `mcp:write` implies `mcp:read`. */
    requireScope (scope: Scope): RequireKey
  }
  interface FastifyRequest {
    /** The key of the request. Throws unless a hook of `requireScope` has accepted the request. */
    readonly apiKey: ApiKey
  }
}

/** The decorators of the application with `decoratorPrefix`. Declare `interface FastifyInstance extends PrefixedApiKeys<'partner'> {}`. */
export type PrefixedApiKeys<Prefix extends string> =
  & { readonly [Name in `${Prefix}ApiKeys`]: Keys }
  & { readonly [Name in `${Prefix}RequireScope`]: (scope: Scope) => RequireKey }

/** The decorator of a request with `decoratorPrefix`. Declare `interface FastifyRequest extends PrefixedApiKey<'partner'> {}`. */
export type PrefixedApiKey<Prefix extends string> = { readonly [Name in `${Prefix}ApiKey`]: ApiKey }

/** API keys for a Fastify application: `app.requireScope(scope)` in front of a route, `request.apiKey` inside it. */
export const apiKeys = fp(async function apiKeys (app: FastifyInstance, { decoratorPrefix, apiKeyHeader, keys: given, ...options }: ApiKeysOptions) {
  const names = namesFor(decoratorPrefix)
  assertFree(app, names)
  assertHeader(apiKeyHeader)
  const own = withoutThoseOfRegister(options)
  if (given !== undefined) assertNone(own)
  const keys = given ?? await openKeys({ log: app.log, ...own })
  if (given === undefined && options.retention === undefined) app.log.info(noUpkeep)
  const { verifier, tokens } = keys
  const presented = presentedToken(tokens, apiKeyHeader)
  // One symbol per instance: two instances in one context must not share keys.
  const verified = Symbol('navis-keys.verified')
  type Verified = FastifyRequest & { [verified]?: ApiKey | undefined }

  // Node drops headers over a maximum count, which could hide a second Authorization header. The size of all headers is limited anyway.
  app.server.maxHeadersCount ??= 0
  app.decorate(names.keys, keys)
  app.decorateRequest(verified, undefined)
  app.decorateRequest(names.key, {
    getter (this: Verified): ApiKey {
      const key = this[verified]
      if (key === undefined) throw new Error(`\`request.${names.key}\` is only available after \`onRequest: app.${names.requireScope}(…)\`.`)
      return key
    }
  })
  app.decorate(names.requireScope, function requireScope (scope: Scope): RequireKey {
    if (!isScope(scope)) throw new TypeError('The required scope must be `mcp:read` or `mcp:write`.')
    return function requireKey (request: Verified, reply, done) {
      judgeRequest({
        presented,
        verifier,
        request,
        scope,
        onVerdict: (verdict) => { settle(request, reply, done, verdict) },
        onRefusal: (refusal) => { refuseRequest(reply, refusal) }
      })
    }
  })

  function settle (request: Verified, reply: FastifyReply, done: HookHandlerDoneFunction, verdict: Verdict): void {
    if (!verdict.valid) return refuseRequest(reply, refusalOfVerdict(verdict))
    if (verdict.rate !== undefined) setRateHeaders(reply, verdict.rate)
    request[verified] = verdict.key
    done()
  }

  if (given === undefined) app.addHook('onClose', () => keys.close())
}, { name: 'api-keys', fastify: '5.x' })

export default apiKeys

const noUpkeep = 'navis-keys: this process does not tell of keys that expire, revoke unused ones, or delete old history. A replica of navis-keys-service on the same database does, or one process with the option `retention`.'

/** An engine that is there already has its options. */
function assertNone (options: KeysOptions): void {
  for (const [name, value] of Object.entries(options)) if (value !== undefined) throw new TypeError(`\`${name}\` has no effect beside \`keys\`: give it to \`openKeys\`.`)
}

interface Names {
  readonly keys: string
  readonly key: string
  readonly requireScope: string
}

function namesFor (prefix: string | undefined): Names {
  if (prefix === undefined) return { keys: 'apiKeys', key: 'apiKey', requireScope: 'requireScope' }
  if (!/^[a-z][A-Za-z0-9]*$/.test(prefix)) throw new TypeError('`decoratorPrefix` must be a lower-case letter, then letters and digits, such as "partner".')
  return { keys: `${prefix}ApiKeys`, key: `${prefix}ApiKey`, requireScope: `${prefix}RequireScope` }
}

// RFC 9110, section 5.6.2: a token.
function assertHeader (name: unknown): void {
  if (name !== undefined && !(typeof name === 'string' && /^[\w!#$%&'*+.^`|~-]*$/.test(name))) throw new TypeError('`apiKeyHeader` must be the name of a header, such as "x-api-key", or empty.')
}

// Check this before opening connections, with an error that says what to do.
function assertFree (app: FastifyInstance, { keys, key, requireScope }: Names): void {
  const taken = [
    ...[keys, requireScope].filter((name) => app.hasDecorator(name)).map((name) => `app.${name}`),
    ...[key].filter((name) => app.hasRequestDecorator(name)).map((name) => `request.${name}`)
  ]
  if (taken.length > 0) throw new Error(`\`${taken.join('` and `')}\` already exists. Register navis-keys with another \`decoratorPrefix\`, or in a separate Fastify context.`)
}
