import { METHODS } from 'node:http'
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { KeysError } from '../core/errors.ts'
import { claimOfHeaders } from '../mcp/protocol/header-scope.ts'
import { isScope, scopes, type Scope } from '../core/scopes.ts'
import type { Verdict } from '../core/verdict.ts'
import { presentedToken, type PresentedToken } from '../http/bearer.ts'
import { judgeRequest } from '../http/judge-request.ts'
import { problemAnswers } from '../plugins/openapi.ts'
import { refusalOfVerdict, refusals, refuseRequest, setRateHeaders } from '../http/refusals.ts'

const path = '/forward-auth'

interface ForwardAuthOptions {
  /** Reads the token of a request. Default: from `Authorization` and `x-api-key`. */
  readonly presented?: PresentedToken | undefined
}

/**
 * Verifies the tokens of a proxy's clients: nginx `auth_request`, Traefik ForwardAuth, Caddy
 * `forward_auth`, Envoy `ext_authz`. Answers in `onRequest`, before the body is read. Headers about the
 * original request (`X-Forwarded-Uri` and others) are ignored: a client may have sent them.
 */
export const forwardAuthRoutes: FastifyPluginAsync<ForwardAuthOptions> = async (app, { presented = presentedToken(app.apiKeys.tokens) }) => {
  const { verifier } = app.apiKeys

  const answer = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void => {
    const scope = wantedScope(request)
    if (scope instanceof KeysError) {
      // A token in the query string gets the same answer as everywhere else.
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

// Never called: the hook has answered each request before.
function handler (): never {
  throw new Error('A request went past the hook that answers it.')
}

/** Includes the methods of WebDAV and others: a proxy uses the method of its client. CONNECT is missing because Node does not emit a request for it. */
function allMethods (app: FastifyInstance): string[] {
  for (const method of METHODS) {
    if (method !== 'CONNECT' && !app.supportedMethods.includes(method)) app.addHttpMethod(method)
  }
  return app.supportedMethods
}

/**
 * The required scope. On the path itself the query string comes from the configuration of the proxy: an unknown scope or a misspelled
 * `scope` is a mistake there, and is refused. Below the path, Envoy appends the path and query string of the client: there an unknown
 * `scope` belongs to the application and is ignored, and a known one can only require more.
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
 * `?mcp=1` or `?mcp={upstream}`: the headers of the MCP call decide whether `mcp:write` is needed. Below the path a client can add an upstream, so a tool
 * counts as reading only if it is read-only at every named upstream.
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
  if (verdict.rate !== undefined) setRateHeaders(reply, verdict.rate)
  const { id, workspaceId, ownerId, scope } = verdict.key
  // Always all four: a proxy that copies only the headers that exist would pass on the client's own header of that name.
  reply
    .header('x-auth-key-id', id)
    .header('x-auth-workspace-id', safe(workspaceId))
    .header('x-auth-owner-id', ownerId === null ? '' : safe(ownerId))
    .header('x-auth-scopes', scopesInHeader[scope])
    .send()
}

const scopesInHeader: Readonly<Record<Scope, string>> = {
  'mcp:read': scopes['mcp:read'].implies.join(' '),
  'mcp:write': scopes['mcp:write'].implies.join(' ')
}

// Keys that were created here have only these characters; other programs may have written rows too.
function safe (id: string): string {
  return /^[A-Za-z0-9._:@|+/=~-]*$/.test(id) ? id : encodeURIComponent(id)
}
