import { KeysError } from '../core/errors.ts'
import { meanings } from '../http/problem-document.ts'
import { TooMuchWaiting } from './byte-budget.ts'
import { McpRefusal, type RpcId } from './protocol/rpc-error.ts'
import { JsonRefused } from './protocol/strict-json.ts'
import type { UpstreamCause, UpstreamFailure } from './upstream-client.ts'

interface RefusalOptions {
  readonly id?: RpcId | undefined
  readonly code: string
  readonly detail?: Readonly<Record<string, unknown>>
  readonly headers?: Readonly<Record<string, string>>
}

// MCP 2026-07-28, "Error Codes": our codes lie outside the range that JSON-RPC reserves, and equal the HTTP status.
function refusal (status: number, message: string, { id, code, detail, headers }: RefusalOptions): McpRefusal {
  return new McpRefusal({ status, code: status, message, id, detail: { code, ...detail }, headers: headers ?? {} })
}

export function foreignOrigin (): McpRefusal {
  return refusal(403, 'Requests from this origin are not allowed. An operator can allow it with MCP_ALLOWED_ORIGINS.', { code: 'forbidden_origin' })
}

export function unknownSession (id: RpcId | undefined): McpRefusal {
  return refusal(404, 'This key has no such session. Send "initialize" to open one.', { id, code: 'unknown_session' })
}

export function unknownEvent (): McpRefusal {
  return refusal(400, 'Unknown Last-Event-ID: this key received no event with that id. Open the stream without that header.', { code: 'unknown_event' })
}

export function methodNotAllowed (allow: string): McpRefusal {
  return refusal(405, `Use ${allow} here.`, { code: 'method_not_allowed' })
}

export function oldTransport (): McpRefusal {
  return refusal(405, 'This endpoint speaks streamable HTTP and not the older HTTP+SSE transport. In the client, choose the transport "http" or "streamable-http" instead of "sse".', { code: 'old_transport', headers: { allow: 'POST' } })
}

// The rest of the body is not read.
const notReadOn = { connection: 'close' }

export function bodyTooLarge (): McpRefusal {
  return refusal(413, 'The body is too large for this gateway.', { code: 'body_too_large', headers: notReadOn })
}

export function bodyInCrumbs (): McpRefusal {
  return refusal(400, 'The body arrives in too many small chunks. Send larger chunks, or send it with a Content-Length.', { code: 'invalid_request', headers: notReadOn })
}

export function unsupportedMediaType (): McpRefusal {
  return refusal(415, 'Send the message as application/json in UTF-8, not compressed.', { code: 'unsupported_media_type', headers: notReadOn })
}

/** The upstream refused with a body that is not MCP, or that must not be passed on; `text` is what may be told of it. */
export function upstreamRefused (status: number, { id, text, retryAfter }: { id: RpcId | undefined, text: string, retryAfter: string | undefined }): McpRefusal {
  return refusal(status, `The upstream MCP server refused the request with status ${status}${text === '' ? '.' : `: ${text}`}`, {
    id, code: 'upstream_refused', headers: retryAfter === undefined ? {} : { 'retry-after': retryAfter }
  })
}

const notSent = 'The request was not sent, so nothing was done: trying again is safe.'
const notKnown = 'It is not known whether the request was carried out: check before you try again.'
const anOperator = 'An operator must correct this.'

// With the first six nothing was sent. With a redirect or a refused credential, the upstream did not carry out the call.
const failures: Readonly<Record<UpstreamCause, string>> = {
  refused: `The upstream MCP server cannot be reached: it accepts no connections. ${notSent}`,
  dns: `The upstream MCP server cannot be reached: its name is not found. ${notSent}`,
  unreachable: `The upstream MCP server cannot be reached. ${notSent}`,
  connect_timeout: `The upstream MCP server cannot be reached in time. ${notSent}`,
  tls: `The upstream MCP server cannot be reached over TLS. ${notSent}`,
  certificate: `The certificate of the upstream MCP server is not accepted. ${notSent}`,
  closed: `The upstream MCP server closed the connection before it had answered. ${notKnown}`,
  timeout: `The upstream MCP server did not answer in time. ${notKnown}`,
  malformed: `The upstream MCP server answered with something that is not HTTP. ${notKnown}`,
  status: `The upstream MCP server answered with a status that MCP does not use. ${notKnown}`,
  redirect: `The upstream MCP server redirects, and the gateway follows no redirects. ${anOperator}`,
  credential: `The upstream MCP server does not accept the gateway's credential. ${anOperator}`,
  not_mcp: `The upstream MCP server answered with something that is not MCP. ${notKnown}`,
  too_large: `The upstream MCP server answered with a list of tools, an event or an event id that is longer than the gateway reads, or that took too long to arrive. ${notKnown}`
}

export function upstreamFailed ({ reason, wasSent }: Pick<UpstreamFailure, 'reason' | 'wasSent'>, id: RpcId | undefined, retryAfter?: string): McpRefusal {
  const isTimeout = reason === 'timeout'
  return refusal(isTimeout ? 504 : 502, failures[reason], {
    id,
    code: isTimeout ? 'upstream_timeout' : wasSent ? 'upstream_failed' : 'upstream_unreachable',
    detail: { reason, sent: wasSent },
    headers: retryAfter === undefined ? {} : { 'retry-after': retryAfter }
  })
}

export function answerBrokeOff (id: RpcId | undefined): McpRefusal {
  return refusal(502, `The answer of the upstream MCP server ended too early. ${notKnown}`, { id, code: 'upstream_failed' })
}

export function stopping (id: RpcId | undefined): McpRefusal {
  return refusal(503, `This service is stopping and did not wait for the answer. ${notKnown}`, { id, code: 'stopping' })
}

export function unforeseen (id: RpcId | undefined): McpRefusal {
  return refusal(500, 'Internal error in the gateway.', { id, code: 'internal' })
}

/** The refusal for a known kind of failure; `undefined` for any other. */
export function toRefusal (error: unknown, id: RpcId | undefined): McpRefusal | undefined {
  if (error instanceof McpRefusal) return error
  if (error instanceof KeysError) return fromKeysError(error, id)
  if (error instanceof JsonRefused) return new McpRefusal({ status: 400, code: -32700, message: error.message })
  if (error instanceof TooMuchWaiting) return refusal(429, 'Too many large requests of this key are in progress. Send fewer at the same time.', { id, code: 'too_many_requests', headers: { 'retry-after': '1' } })
  const { statusCode, code } = error as { statusCode?: number, code?: string }
  if (statusCode === 413) return bodyTooLarge()
  if (statusCode === 415) return unsupportedMediaType()
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) return refusal(statusCode, 'The request cannot be read.', { code: code === 'FST_ERR_CTP_EMPTY_JSON_BODY' ? 'empty_body' : 'invalid_request' })
  return undefined
}

function fromKeysError (error: KeysError, id: RpcId | undefined): McpRefusal {
  return refusal(meanings[error.code].status, error.message, {
    id, code: error.code, headers: error.retryAfterS === undefined ? {} : { 'retry-after': String(error.retryAfterS) }
  })
}
