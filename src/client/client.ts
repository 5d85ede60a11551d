import { acceptedPrefix } from '../core/accepted-prefixes.ts'
import { defaultKeyHeader } from '../http/bearer.ts'
import { keyOrAnswer, tokenReader } from './require-key.ts'
import { ServiceError } from './service-error.ts'
import { Transport, type TransportOptions } from './transport.ts'
import type { EventPage, Introspection, LeakAnswer, LeakReport, Scope, Verdict, VerifiedKey } from './wire-types.ts'
import { Workspace, type CallOptions } from './workspace.ts'

export { ServiceError }
export type { ServiceErrorCode } from './service-error.ts'
export type {
  AuditEntry, AuditFilter, AuditPage, Call, CallFilter, CallPage, EventPage, EventType, ImportedKey, ImportResult, Introspection, Key, KeyChange, KeyEvent, KeyFilter,
  KeyPage, KeyWithToken, LeakAnswer, LeakReport, NewKey, NewPolicy, PageOptions, Policy, RateLimit, Reason, Rotation, Scope, Usage, UsagePeriod, Verdict, VerifiedKey
} from './wire-types.ts'
export type { CallOptions, CreateOptions, RevokeOptions, Workspace } from './workspace.ts'

export interface ClientOptions extends TransportOptions {
  /** `TOKEN_PREFIX` of the service. `requireKey` refuses a request that has such a token in its query string. Default: `nops_`. */
  readonly tokenPrefix?: string | undefined
  /** `TOKEN_PREFIXES_ACCEPTED` of the service, for the same purpose. Default: none. */
  readonly tokenPrefixesAccepted?: readonly string[] | undefined
  /** A second header from which `requireKey` reads the token, for clients that cannot send `Authorization`. Empty: none. Default: `x-api-key`. */
  readonly apiKeyHeader?: string | undefined
  /** Called with the cause when `requireKey` answers 503. Default: writes one line to the console. */
  readonly onFailure?: ((error: ServiceError) => void) | undefined
}

export interface Question extends CallOptions {
  /** The required scope. `mcp:write` implies `mcp:read`. Default: any scope. */
  readonly scope?: Scope | undefined
  /** The address of the client that sent the token, for keys with a list of addresses. Take it only from the connection or from your own proxy. */
  readonly address?: string | undefined
}

/** A client of the service without a cache: each verification is a request, so a revoked key is refused from the next one on. */
export interface Client {
  /** Verifies a token. Resolves to a verdict, also for a refused token. Rejects with `ServiceError` when the answer is not known: an outage is never a refusal. */
  verify (token: string, question?: Question): Promise<Verdict>
  /** The same as `verify` in the format of RFC 7662 (token introspection). */
  introspect (token: string, question?: Question): Promise<Introspection>
  /**
   * For a `fetch` handler: resolves to the key of the request, or to the `Response` (401, 403, 429 or 503) to return instead. When the service is
   * unavailable, that is a 503, never a 401. Rejects only if `signal` is aborted.
   */
  requireKey (request: Request, scope: Scope, options?: Omit<Question, 'scope'>): Promise<VerifiedKey | Response>
  /** Revokes a token (RFC 7009): the key, or only a previous token in its grace period. When this resolves, every replica refuses the token, whether it was known or not. */
  revokeToken (token: string, options?: CallOptions): Promise<void>
  /** Reports up to 1,000 leaked tokens. When this resolves, every replica refuses their keys. Repeating is safe. */
  reportLeaks (reports: readonly LeakReport[], options?: CallOptions): Promise<readonly LeakAnswer[]>
  /** The events of all workspaces, oldest first. Call again with `after` set to `next_after`: no event is missed. */
  events (options?: CallOptions & { readonly after?: string | undefined, readonly limit?: number | undefined }): Promise<EventPage>
  /** The calls for one workspace. This call itself sends no request. */
  workspace (workspaceId: string): Workspace
}

export function createClient (options: ClientOptions): Client {
  const { tokenPrefix = 'nops_', tokenPrefixesAccepted = [], onFailure = complain } = options
  const apiKeyHeader = (options.apiKeyHeader ?? defaultKeyHeader).toLowerCase()
  if (!/^[a-z][a-z0-9]{1,15}_$/.test(tokenPrefix)) throw new TypeError('`tokenPrefix` must be 2 to 16 lower-case letters or digits and an underscore, such as "nops_".')
  if (!tokenPrefixesAccepted.every((prefix) => acceptedPrefix.test(prefix))) throw new TypeError('Each of `tokenPrefixesAccepted` must be 2 to 64 of the characters A-Z a-z 0-9 . _ ~ + / -, such as "sk_live_".')
  if (!/^[a-z0-9_-]*$/.test(apiKeyHeader)) throw new TypeError('`apiKeyHeader` must be the name of a header, such as "x-api-key", or empty.')
  const transport = new Transport(options)
  const presented = tokenReader({ prefix: tokenPrefix, accepted: tokenPrefixesAccepted, header: apiKeyHeader })

  async function verify (token: string, { scope, address, signal }: Question = {}): Promise<Verdict> {
    const answer = await transport.send({ method: 'POST', path: '/v1/verify', json: { token, scope, address }, signal })
    if (isVerdict(answer)) return answer
    throw new ServiceError('unexpected_answer', { detail: 'The answer to /v1/verify is not a verdict. Check `url`.', status: 200 })
  }

  return {
    verify,
    async introspect (token, { scope, address, signal } = {}) {
      const form = { token, ...(scope === undefined ? {} : { scope }), ...(address === undefined ? {} : { address }) }
      const answer = await transport.send({ method: 'POST', path: '/v1/introspect', form, signal })
      if (isIntrospection(answer)) return answer
      throw new ServiceError('unexpected_answer', { detail: 'The answer to /v1/introspect is not an introspection response. Check `url`.', status: 200 })
    },
    async requireKey (request, scope, question = {}) {
      if (scope !== 'mcp:read' && scope !== 'mcp:write') throw new TypeError('The required scope must be `mcp:read` or `mcp:write`.')
      return await keyOrAnswer(request, scope, { presented, apiKeyHeader, onFailure, verify: (token) => verify(token, { ...question, scope }) })
    },
    async revokeToken (token, { signal } = {}) {
      await transport.send({ method: 'POST', path: '/v1/revoke', form: { token }, isChange: true, signal })
    },
    async reportLeaks (reports, { signal } = {}) {
      return await transport.send({ method: 'POST', path: '/v1/leaks', json: reports, isChange: true, signal }) as readonly LeakAnswer[]
    },
    async events ({ signal, ...query } = {}) {
      return await transport.send({ method: 'GET', path: '/v1/events', query, signal }) as EventPage
    },
    workspace: (workspaceId) => new Workspace(transport, workspaceId)
  }
}

// Whoever answers here decides about access: refuse every answer that is not exactly a verdict.
function isVerdict (answer: unknown): answer is Verdict {
  const { valid, key, reason } = (answer ?? {}) as { valid?: unknown, key?: { id?: unknown, workspace_id?: unknown }, reason?: unknown }
  if (valid === true) return typeof key?.id === 'string' && typeof key.workspace_id === 'string'
  return valid === false && typeof reason === 'string'
}

function isIntrospection (answer: unknown): answer is Introspection {
  const { active, client_id: clientId } = (answer ?? {}) as { active?: unknown, client_id?: unknown }
  return active === false || (active === true && typeof clientId === 'string')
}

function complain ({ code, message }: ServiceError): void {
  console.error(`navis-keys: a request was answered 503: ${code}: ${message}`)
}
