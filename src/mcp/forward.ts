import type { KeyRecord } from '../core/key-record.ts'
import type { Scope } from '../core/scopes.ts'
import type { Verdict } from '../core/verdict.ts'
import { rateHeaders } from '../http/refusals.ts'
import type { ClientCall } from './client-call.ts'
import type { AuthenticatedRequest } from './gateway-request.ts'
import { keyRefusal, unknownMethod } from './key-refusals.ts'
import { McpCall } from './mcp-call.ts'
import { isKnownMethod } from './protocol/methods.ts'
import type { McpRefusal } from './protocol/rpc-error.ts'
import type { ToolListRules } from './protocol/tool-list.ts'
import { identityHeaders, passableHeaders } from './upstream-headers.ts'

/** Sends a call to its upstream if its key may make it. The key is checked immediately before sending. */
export async function forward (request: AuthenticatedRequest, call: ClientCall, body: Buffer | undefined): Promise<void> {
  const { gateway, upstream, key } = request
  await upstream.settled(toolsOf(call))
  const authorization = await upstream.authorization(key)
  const scope = upstream.scopeOf(call.messages, call)
  const checked = request.recheck(scope)
  const verdict = checked instanceof Promise ? await checked : checked
  if (!verdict.valid) throw refusalOf(verdict, request, call)
  limitCalls(request, call, verdict.key)
  gateway.keys.verifier.noteUse(verdict.key, request.request)
  const open = track(request, call, scope)
  try {
    await open.relay(await gateway.traced(upstream.name, async (headers) => await gateway.client.request({
      url: upstream.url,
      method: request.request.method,
      headers: { ...callHeaders(request, call, body), ...headers, ...identityHeaders(verdict.key), ...authorization },
      body,
      signal: request.over.signal,
      onSent: () => { request.releaseBody() }
    })))
  } catch (error) {
    open.unanswered(error)
  }
}

// The rate limit of a key counts calls: no notifications, responses or streams.
function limitCalls ({ gateway: { keys: { verifier } }, id, reply }: AuthenticatedRequest, { messages }: ClientCall, key: KeyRecord): void {
  for (const { kind } of messages) {
    const rate = kind === 'request' ? verifier.limit(key) : undefined
    if (rate?.isAllowed === false) throw keyRefusal({ valid: false, reason: 'rate_limited', rate }, id)
    if (rate !== undefined) for (const [name, value] of Object.entries(rateHeaders(rate))) reply.raw.setHeader(name, value)
  }
}

function track (request: AuthenticatedRequest, call: ClientCall, scope: Scope): McpCall {
  const open = new McpCall({ request, call, scope, toolList: toolListRules(request, call) })
  request.call = open
  request.reply.raw.once('close', request.gateway.openCalls.add(open))
  return open
}

// An unknown method counts as a write. A read key is told that the method does not exist.
function refusalOf (verdict: Verdict, request: AuthenticatedRequest, { messages: [only, ...others], generation }: ClientCall): McpRefusal {
  const isUnknown = only?.kind === 'request' && others.length === 0 && !isKnownMethod(only.method)
  if (!verdict.valid && verdict.reason === 'insufficient_scope' && isUnknown) return unknownMethod(verdict, request.id, generation)
  return keyRefusal(verdict, request.id)
}

function callHeaders ({ request, upstream }: AuthenticatedRequest, call: ClientCall, body: Buffer | undefined): Record<string, string> {
  return {
    ...passableHeaders(request.headers),
    ...call.headers,
    'accept-encoding': 'identity',
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    ...upstream.headers
  }
}

function toolsOf ({ messages }: ClientCall): string[] {
  return messages.flatMap((message) => message.kind !== 'response' && message.method === 'tools/call' ? [message.name ?? ''] : [])
}

// A resumed stream can repeat the answer to an earlier tools/list.
function toolListRules ({ upstream, key }: { upstream: AuthenticatedRequest['upstream'], key: KeyRecord }, call: ClientCall): ToolListRules | undefined {
  const lists = call.messages.some((message) => message.kind === 'request' && message.method === 'tools/list')
  const markPrivate = call.generation === 'modern'
  if (!lists && !call.resumes) return undefined
  if (key.scope !== 'mcp:read') return markPrivate ? { markPrivate } : undefined
  return { mayCall: upstream.readingTools(), markPrivate }
}
