import type { FastifyRequest } from 'fastify'
import type { TokenFormat } from '../core/token.ts'
import { refuse, type Reason, type Verdict } from '../core/verdict.ts'
import { McpRefusal, type RpcId } from '../core/mcp/rpc-error.ts'

const bearer = /^bearer +([^\s]+) *$/i

/** The token of a request, `undefined` for none at all, or the verdict on what is no token. */
export function presentedToken (request: FastifyRequest, tokens: TokenFormat): string | undefined | Verdict {
  if (tokens.foundIn(request.url)) return refuse('malformed')
  const headers = request.raw.rawHeaders.filter((text, i) => i % 2 === 0 && text.toLowerCase() === 'authorization')
  if (headers.length === 0) return undefined
  const token = headers.length === 1 ? bearer.exec(request.headers.authorization ?? '')?.[1] : undefined
  return token ?? refuse('malformed')
}

const realm = 'Bearer realm="navis-keys"'
const explained: Readonly<Record<Reason, string>> = {
  malformed: 'This is no key of this service. Send "Authorization: Bearer nops_…", once, and not in the URL.',
  unknown: 'No such key exists. Check that it was copied whole, or make a new one.',
  revoked: 'This key was revoked. Make a new one in the settings under Connected Apps.',
  expired: 'This key has expired. Make a new one in the settings under Connected Apps.',
  insufficient_scope: 'This needs a key with the scope mcp:write ("Read + Write"); this key has mcp:read. Call only tools that tools/list shows, or ask for another key.'
}

export function noToken (): McpRefusal {
  return new McpRefusal({
    status: 401,
    code: 401,
    message: 'A key is needed: send "Authorization: Bearer nops_…". Keys are made in the settings under Connected Apps.',
    detail: { code: 'unauthenticated' },
    headers: { 'www-authenticate': realm }
  })
}

/** A refusing verdict in the dialects of RFC 6750 and of JSON-RPC. */
export function refusalOf (verdict: Verdict, id: RpcId | undefined): McpRefusal {
  const reason = verdict.valid ? 'unknown' : verdict.reason
  const message = explained[reason]
  const quoted = message.replaceAll('"', "'").replaceAll('…', '...')
  const challenge = reason === 'insufficient_scope'
    ? `${realm}, error="insufficient_scope", scope="mcp:write", error_description="${quoted}"`
    : `${realm}, error="invalid_token", error_description="${quoted}"`
  const status = reason === 'insufficient_scope' ? 403 : 401
  return new McpRefusal({ status, code: status, message, id, detail: { code: reason }, headers: { 'www-authenticate': challenge } })
}
