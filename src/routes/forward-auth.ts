import { METHODS } from 'node:http'
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { KeysError } from '../core/errors.ts'
import type { KeyRecord } from '../core/key-record.ts'
import { claimOfHeaders } from '../mcp/protocol/header-scope.ts'
import { isScope, scopes, type Scope } from '../core/scopes.ts'
import type { Verdict } from '../core/verdict.ts'
import { presentedToken, type PresentedToken } from '../http/bearer.ts'
import { judgeRequest } from '../http/judge-request.ts'
import { problemAnswers } from '../plugins/openapi.ts'
import { rateHeaders, refusalOfVerdict, refusals, refuseRequest } from '../http/refusals.ts'

const path = '/forward-auth'

interface ForwardAuthOptions {
  /** Reads the token that a request presents. `Authorization` and `x-api-key`. */
  readonly presented?: PresentedToken | undefined
}

/**
 * Answers proxies about the token that a client presented to them: nginx `auth_request`, Traefik ForwardAuth, Caddy
 * `forward_auth`, Envoy `ext_authz`. Everything happens in `onRequest`, so a body of any type is never read. What a
 * proxy tells of the original request (`X-Forwarded-Uri` and the like) decides nothing: a client may have written it.
 */
export const forwardAuthRoutes: FastifyPluginAsync<ForwardAuthOptions> = async (app, { presented = presentedToken(app.apiKeys.tokens) }) => {
  const { verifier } = app.apiKeys

  const answer = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void => {
    const scope = wantedScope(request)
    if (scope instanceof KeysError) {
      // A token among the parameters that are not known gets the answer that it gets everywhere.
      const { tokenInQuery } = refusals
      return presented(request.raw) === tokenInQuery ? refuseRequest(reply, tokenInQuery) : done(scope)
    }
    const { mcp } = request.query as { mcp?: string | string[] }
    if (mcp === undefined) return judge(request, reply, scope)
    mcpScope(app, request, [mcp].flat()).then((needed) => { judge(request, reply, scope === 'mcp:write' ? scope : needed) }, done)
  }

  const judge = (request: FastifyRequest, reply: FastifyReply, scope: Scope | undefined): void => {
    judgeRequest({
      presented,
      verifier,
      request,
      scope,
      onVerdict: (verdict) => { tell(reply, verdict) },
      onRefusal: (refusal) => { refuseRequest(reply, refusal) }
    })
  }

  const onlyGet = { tags: ['verification'], security: [{ key: [] }], summary: 'Check the key of a request, for proxies; any method', response: answers }
  for (const url of [path, `${path}/*`]) {
    app.route({ method: allMethods(app), url, onRequest: answer, exposeHeadRoute: false, schema: { ...onlyGet, hide: url !== path }, handler })
  }
}

const answers = {
  200: { description: 'The request is allowed. `x-auth-key-id`, `x-auth-workspace-id`, `x-auth-owner-id` and `x-auth-scopes` describe its key.', type: 'null' },
  ...problemAnswers(400, 401, 403, 429, 503)
}

// Never reached: each request has been answered before its body would be read.
function handler (): never {
  throw new Error('A request went past the hook that answers it.')
}

/** Also what WebDAV and others use, since a proxy asks with the method that its client chose. CONNECT never becomes a request here. */
function allMethods (app: FastifyInstance): string[] {
  for (const method of METHODS) {
    if (method !== 'CONNECT' && !app.supportedMethods.includes(method)) app.addHttpMethod(method)
  }
  return app.supportedMethods
}

/**
 * The scope that is asked for. On the path itself the query is the proxy's configuration, and a scope that does not exist,
 * or another spelling of `scope`, is a mistake in it, which must not let anybody in. Below it, Envoy has put the client's own path and query: there a
 * foreign `scope` is the application's, and one of ours can only ask for more.
 */
function wantedScope (request: FastifyRequest): Scope | undefined | KeysError {
  const query = request.query as { scope?: string | string[] }
  const { scope } = query
  const isBelow = request.url.startsWith(`${path}/`)
  if (!isBelow && !isKnown(query)) return unknownParameter()
  if (scope === undefined) return undefined
  if (isScope(scope)) return scope
  const asked = [scope].flat()
  if (!isBelow || asked.some((one) => one.startsWith('mcp:') && !isScope(one))) return unknownScope()
  return asked.includes('mcp:write') ? 'mcp:write' : asked.find(isScope)
}

/**
 * `?mcp=1`, or `?mcp={upstream}`: read or write by the headers of an MCP call. Below the path a client can add a name, so a tool
 * reads only where every upstream named says so.
 */
async function mcpScope (app: FastifyInstance, request: FastifyRequest, upstreams: readonly string[]): Promise<Scope> {
  const claim = claimOfHeaders(request.headers)
  if ('scope' in claim) return claim.scope
  if (!app.hasDecorator('mcpToolScope')) return 'mcp:write'
  const needed = await Promise.all(upstreams.map((upstream) => app.mcpToolScope(upstream === '1' ? 'default' : upstream, claim.tool)))
  return needed.every((scope) => scope === 'mcp:read') ? 'mcp:read' : 'mcp:write'
}

function isKnown (query: object): boolean {
  for (const name in query) {
    if (name !== 'scope' && name !== 'mcp') return false
  }
  return true
}

function unknownParameter (): KeysError {
  return new KeysError('invalid_request', { detail: 'Unknown query parameter. Known parameters: "scope" and "mcp", in lower case.' })
}

function unknownScope (): KeysError {
  return new KeysError('invalid_request', {
    detail: 'Unknown scope. Ask for mcp:read or mcp:write, once.',
    faults: [{ pointer: '/scope', detail: 'Must be mcp:read or mcp:write.' }]
  })
}

function tell (reply: FastifyReply, verdict: Verdict): void {
  if (!verdict.valid) return refuseRequest(reply, refusalOfVerdict(verdict))
  if (verdict.rate !== undefined) reply.headers(rateHeaders(verdict.rate))
  reply.code(200).headers(headersOf(verdict.key)).send()
}

// All four, always: a proxy that copies only what it finds would let through what the client sent under the same name.
function headersOf ({ id, workspaceId, ownerId, scope }: KeyRecord): Record<string, string> {
  return {
    'cache-control': 'no-store',
    'x-auth-key-id': id,
    'x-auth-workspace-id': safe(workspaceId),
    'x-auth-owner-id': ownerId === null ? '' : safe(ownerId),
    'x-auth-scopes': scopesInHeader[scope]
  }
}

const scopesInHeader: Readonly<Record<Scope, string>> = {
  'mcp:read': scopes['mcp:read'].implies.join(' '),
  'mcp:write': scopes['mcp:write'].implies.join(' ')
}

// Ids are made of these characters when keys are made here; rows may have been written otherwise.
function safe (id: string): string {
  return /^[A-Za-z0-9._:@|+/=~-]*$/.test(id) ? id : encodeURIComponent(id)
}
