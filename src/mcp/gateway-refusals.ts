import { KeysError } from '../core/errors.ts'
import { McpRefusal, type RpcId } from './protocol/rpc-error.ts'

// MCP 2026-07-28, "Error Codes": ours lie outside the range that JSON-RPC reserves, and say what HTTP says.
function refusal (status: number, message: string, options: { id?: RpcId | undefined, code: string }): McpRefusal {
  return new McpRefusal({ status, code: status, message, id: options.id, detail: { code: options.code } })
}

export function foreignOrigin (): McpRefusal {
  return refusal(403, 'Requests from this origin are not allowed. An operator can allow it with MCP_ALLOWED_ORIGINS.', { code: 'forbidden_origin' })
}

export function unknownSession (id: RpcId | undefined): McpRefusal {
  return refusal(404, 'This key has no such session here. Send "initialize" to open one.', { id, code: 'unknown_session' })
}

export function methodNotAllowed (allow: string): McpRefusal {
  return refusal(405, `Use ${allow} here.`, { code: 'method_not_allowed' })
}

export function badGateway (message: string, id: RpcId | undefined): McpRefusal {
  return refusal(502, message, { id, code: 'upstream_failed' })
}

export function upstreamRefused (status: number, id: RpcId | undefined): McpRefusal {
  return refusal(status, `The upstream MCP server refused the request with status ${status}.`, { id, code: 'upstream_refused' })
}

export function gatewayTimeout (id: RpcId | undefined): McpRefusal {
  return refusal(504, 'The upstream MCP server did not answer in time. Whether it did what was asked is not known.', { id, code: 'upstream_timeout' })
}

export function unforeseen (id: RpcId | undefined): McpRefusal {
  return refusal(500, 'Something went wrong in the gateway.', { id, code: 'internal' })
}

/** Any failure as what the client is told, or `undefined` for one that nobody foresaw. */
export function toRefusal (error: unknown, id: RpcId | undefined): McpRefusal | undefined {
  if (error instanceof McpRefusal) return error
  if (error instanceof KeysError) return fromKeysError(error, id)
  const { statusCode, code } = error as { statusCode?: number, code?: string }
  if (statusCode === 413) return refusal(413, 'The body is too large for this gateway.', { code: 'body_too_large' })
  if (statusCode === 415) return refusal(415, 'Send the message as application/json in UTF-8, not compressed.', { code: 'unsupported_media_type' })
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) return refusal(statusCode, 'The request cannot be read.', { code: code === 'FST_ERR_CTP_EMPTY_JSON_BODY' ? 'empty_body' : 'invalid_request' })
  return undefined
}

function fromKeysError (error: KeysError, id: RpcId | undefined): McpRefusal {
  const status = error.code === 'too_many_unknown_tokens' ? 429 : error.code === 'unavailable' ? 503 : 400
  return new McpRefusal({
    status,
    code: status,
    message: error.message,
    id,
    detail: { code: error.code },
    headers: error.retryAfterS === undefined ? {} : { 'retry-after': String(error.retryAfterS) }
  })
}
