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
  /** What the tokens of the service begin with, to find one in a query string, where none is accepted. `nops_`. */
  readonly tokenPrefix?: string | undefined
  /** Other beginnings of tokens that the service accepts, `TOKEN_PREFIXES_ACCEPTED`, for the same purpose. None. */
  readonly tokenPrefixesAccepted?: readonly string[] | undefined
  /** A second header that `requireKey` takes the token from, for clients that cannot send `Authorization`. `x-api-key`; empty: none. */
  readonly apiKeyHeader?: string | undefined
  /** Told why `requireKey` had to answer 503. Writes one line to the console. */
  readonly onFailure?: ((error: ServiceError) => void) | undefined
}

export interface Question extends CallOptions {
  /** What the token has to be good for. `mcp:write` implies `mcp:read`. */
  readonly scope?: Scope | undefined
  /** Where the request came from, for keys that are bound to addresses: only what a proxy of your own has told you. */
  readonly address?: string | undefined
}

/** A client of the service that remembers nothing: each verification is asked anew, so a revoked key is refused by the very next one. */
export interface Client {
  /** Whose token this is, and whether it may do that. Rejects when that is not known: an outage is never a refusal. */
  verify (token: string, question?: Question): Promise<Verdict>
  /** The same question in the words of RFC 7662. */
  introspect (token: string, question?: Question): Promise<Introspection>
  /**
   * For a handler of the `fetch` kind: resolves to the key that `request` presents, or to the whole answer to give instead. Rejects for
   * an aborted `signal` only; when the service is away the answer is a 503, never a 401.
   */
  requireKey (request: Request, scope: Scope, options?: Omit<Question, 'scope'>): Promise<VerifiedKey | Response>
  /** Ends a token (RFC 7009): its key, or only itself when it is in its grace. In force on every replica when this resolves, whatever the token was. */
  revokeToken (token: string, options?: CallOptions): Promise<void>
  /** Tells of tokens that were found where they must not be, up to 1,000. Their keys are refused on every replica when this resolves; repeating does no harm. */
  reportLeaks (reports: readonly LeakReport[], options?: CallOptions): Promise<readonly LeakAnswer[]>
  /** What happened to keys of all workspaces, oldest first: ask again with `after` set to `next_after`, and no event is left out. */
  events (options?: CallOptions & { readonly after?: string | undefined, readonly limit?: number | undefined }): Promise<EventPage>
  /** The keys of a workspace; asks nothing yet. */
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

// Whatever answers here decides who gets in: what is not exactly a verdict lets nobody in.
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
