import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { KeyRecord } from '../core/key-record.ts'
import type { ToolListRules } from './protocol/tool-list.ts'
import type { Scope } from '../core/scopes.ts'
import type { Gateway } from './gateway.ts'
import { McpCall, type Answer } from './mcp-call.ts'
import { keyRefusal } from './key-refusals.ts'
import type { ReadCall } from './read-call.ts'
import { cancelSignal } from './upstream-agent.ts'
import { answerHeaders, identityHeaders, passableHeaders } from './upstream-headers.ts'
import type { Upstream } from './upstream.ts'

export interface Passage {
  readonly gateway: Gateway
  readonly upstream: Upstream
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly call: ReadCall
}

/** Sends a call to its upstream, if its key may make it. The check is the last thing before. */
export async function forward (passage: Passage): Promise<void> {
  const { gateway, upstream, request, call } = passage
  const { gatewayRequest: visit } = request
  const key = visit.key as KeyRecord
  await upstream.settled(toolsOf(call))
  const authorization = await upstream.authorization(key)
  const scope = upstream.scopeOf(call.messages, call)
  const checked = gateway.keys.verifier.verify(visit.token, { scope })
  const verdict = checked instanceof Promise ? await checked : checked
  if (!verdict.valid) throw keyRefusal(verdict, visit.id)
  send(passage, track(passage, verdict.key, scope), { ...callHeaders(request, call), ...identityHeaders(verdict.key), ...authorization })
}

function track ({ gateway, upstream, request, reply, call }: Passage, key: KeyRecord, scope: Scope): McpCall {
  const { gatewayRequest: visit } = request
  const open = new McpCall({
    request,
    reply,
    key,
    messages: call.messages,
    verify: () => gateway.keys.verifier.verify(visit.token, { scope }),
    refuse: keyRefusal,
    expiresInMs: (record) => gateway.expiresInMs(record),
    silenceMaxMs: gateway.answerTimeoutMs,
    toolList: toolListRules(upstream, key, call, request)
  })
  visit.call = open
  reply.raw.once('close', gateway.openCalls.add(open))
  return open
}

function send ({ gateway, upstream, request, reply, call }: Passage, open: McpCall, headers: Record<string, string>): void {
  reply.from(upstream.url.href, {
    ...(call.text === undefined ? {} : { body: call.text, contentType: 'application/json' }),
    queryString: () => upstream.url.search.slice(1),
    retryDelay: () => null,
    rewriteRequestHeaders: () => ({ ...headers, [cancelSignal]: open.cancelled }) as IncomingHttpHeaders,
    rewriteHeaders: () => ({}),
    onResponse: (_request, _reply, response) => {
      const { statusCode, headers: answered, stream } = response as unknown as UpstreamAnswer
      const session = answered['mcp-session-id']
      const sealed = call.generation === 'legacy' && typeof session === 'string' ? gateway.seal.seal(session, upstream.name, (request.gatewayRequest.key as KeyRecord).id) : undefined
      open.relay(answerOf({ statusCode, headers: answered, stream }, sealed))
    },
    onError: (_reply, { error }) => { open.unanswered(error) }
  })
}

interface UpstreamAnswer {
  readonly statusCode: number
  readonly headers: IncomingHttpHeaders
  readonly stream: Readable
}

function answerOf ({ statusCode, headers, stream }: UpstreamAnswer, session: string | undefined): Answer {
  const isAcknowledgement = statusCode === 202 || statusCode === 204
  return {
    statusCode,
    contentType: isAcknowledgement ? '' : headers['content-type']?.toLowerCase() ?? '',
    isEncoded: headers['content-encoding'] !== undefined && headers['content-encoding'] !== 'identity',
    headers: { ...answerHeaders(headers), ...(session === undefined ? {} : { 'mcp-session-id': session }) },
    stream
  }
}

function callHeaders (request: FastifyRequest, call: ReadCall): Record<string, string> {
  return {
    ...passableHeaders(request.headers),
    ...call.headers,
    'accept-encoding': 'identity',
    ...(call.text === undefined ? {} : { 'content-type': 'application/json' })
  }
}

function toolsOf ({ messages }: ReadCall): string[] {
  return messages.flatMap((message) => message.kind !== 'response' && message.method === 'tools/call' ? [message.name ?? ''] : [])
}

// A stream that is resumed may bring again the answer to a tools/list of before.
function toolListRules (upstream: Upstream, key: KeyRecord, call: ReadCall, request: FastifyRequest): ToolListRules | undefined {
  const lists = call.messages.some((message) => message.kind === 'request' && message.method === 'tools/list')
  const resumes = request.method === 'GET' && request.headers['last-event-id'] !== undefined
  const mayCall = key.scope === 'mcp:read' ? (tool: string) => upstream.scopeOfTool(tool) === 'mcp:read' : undefined
  const markPrivate = call.generation === 'modern'
  return (lists || resumes) && (mayCall !== undefined || markPrivate) ? { mayCall, markPrivate } : undefined
}
