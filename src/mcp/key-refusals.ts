import type { Verdict } from '../core/verdict.ts'
import type { Generation } from './protocol/protocol.ts'
import { McpRefusal, rpcCodes, type RpcId } from './protocol/rpc-error.ts'
import { refusalOfVerdict, type Refusal } from '../http/refusals.ts'

// Many clients show their agent only this text.
const advice: Readonly<Record<string, string>> = {
  insufficient_scope: ' tools/list shows the tools that this key may call. For the others, ask a person for a key with "Read + Write".',
  revoked: ' Ask a person to do so; trying again does not help.',
  expired: ' Ask a person to do so; trying again does not help.'
}

/** A bearer refusal (RFC 6750) with a JSON-RPC error as its body. */
export function inMcp (refusal: Refusal, id: RpcId | undefined): McpRefusal {
  const { detail, code } = refusal
  const { 'www-authenticate': challenge, 'retry-after': retryAfter } = refusal.headers
  return new McpRefusal({
    status: refusal.status,
    code: refusal.status,
    message: detail + (advice[code] ?? ''),
    id,
    // Many clients do not show the headers to their agent.
    detail: { code, ...(code === 'insufficient_scope' ? { scope: 'mcp:write' } : {}), ...(retryAfter === undefined ? {} : { retry_after_seconds: Number(retryAfter) }) },
    headers: { ...challenge === undefined ? {} : { 'www-authenticate': challenge }, ...limitsOf(refusal.headers) }
  })
}

// The headers of a rate limit.
function limitsOf (headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(['retry-after', 'ratelimit', 'ratelimit-policy'].flatMap((name) => headers[name] === undefined ? [] : [[name, headers[name]]]))
}

export function keyRefusal (verdict: Verdict, id: RpcId | undefined): McpRefusal {
  if (verdict.valid) throw new TypeError('A verdict that accepts is no refusal.')
  return inMcp(refusalOfVerdict(verdict), id)
}

/**
 * JSON-RPC 2.0, -32601. An unknown method may write, so the upstream is not asked. With 2026-07-28 the status is 404, as for a method that
 * does not exist; in earlier versions 404 means that the session has ended.
 */
export function unknownMethod (verdict: Verdict, id: RpcId | undefined, generation: Generation): McpRefusal {
  const { headers } = keyRefusal(verdict, id)
  return new McpRefusal({
    status: generation === 'modern' ? 404 : 403,
    code: rpcCodes.methodNotFound,
    message: 'Method not found. A method that the gateway does not know is passed on for keys with the scope mcp:write only.',
    id,
    detail: { code: 'unknown_method', scope: 'mcp:write' },
    headers: generation === 'modern' ? {} : headers
  })
}
