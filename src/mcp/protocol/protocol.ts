import { decodeMcpName, encodeMcpName } from './mcp-name.ts'
import type { Message, MessageBody } from './message.ts'
import { headerMismatch, invalidRequest, McpRefusal, rpcCodes, type RpcId } from './rpc-error.ts'

/** `modern` is stateless: one message for each POST, mirrored in headers. `legacy` has `initialize`, sessions and GET streams. */
export type Generation = 'modern' | 'legacy'

export type HeaderSource = Readonly<Record<string, string | string[] | undefined>>

const modernVersions = ['2026-07-28']
const legacyVersions = ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05', '2024-10-07']
/** All versions that the gateway knows, the newest first. */
export const supported: readonly string[] = [...modernVersions, ...legacyVersions]
const batchVersion = '2025-03-26'

/** The header of the client, or the version that a missing header means (2025-06-18, "Protocol Version Header"). */
export function protocolVersion (headers: HeaderSource, id?: RpcId): string {
  const version = headers['mcp-protocol-version'] ?? batchVersion
  if (typeof version === 'string' && supported.includes(version)) return version
  throw unsupportedVersion(headers, id, supported)
}

export function isKnownVersion (headers: HeaderSource): boolean {
  return supported.includes(String(headers['mcp-protocol-version'] ?? batchVersion))
}

/** `spoken` are the versions of the upstream. The refusal offers those that the gateway supports too. */
export function unsupportedVersion (headers: HeaderSource, id: RpcId | undefined, spoken: readonly string[]): McpRefusal {
  const version = headers['mcp-protocol-version']
  const offered = supported.filter((known) => spoken.includes(known))
  return new McpRefusal({
    status: 400,
    code: rpcCodes.unsupportedVersion,
    message: `Unsupported protocol version. Supported versions: ${offered.join(', ')}.`,
    id,
    detail: { supported: offered, ...(typeof version === 'string' && /^[A-Za-z0-9.-]{1,64}$/.test(version) ? { requested: version } : {}) }
  })
}

export function generationOf (version: string): Generation {
  return modernVersions.includes(version) ? 'modern' : 'legacy'
}

/**
 * The headers that mirror the body, for the upstream. They are written from the body, after the client's headers were found to agree with it:
 * an upstream, or a proxy in front of it, may act on either, so a disagreement is refused.
 */
export function mirroredHeaders (body: MessageBody, headers: HeaderSource): Record<string, string> {
  const only = body.batch ? undefined : body.messages[0]
  const id = only?.kind === 'request' ? only.id : undefined
  const version = protocolVersion(headers, id)
  if (body.batch) allowBatch(body, version, headers)
  for (const message of body.messages) agreeOnVersion(message, version)
  const modern = generationOf(version) === 'modern'
  if (only === undefined || only.kind === 'response') {
    if (modern) throw invalidRequest('Protocol version 2026-07-28 has no responses from clients.')
    return versionHeader(headers)
  }
  return { ...versionHeader(headers), ...mirrorOf(only, headers, modern && only.kind === 'request') }
}

function allowBatch (body: MessageBody, version: string, headers: HeaderSource): void {
  if (version !== batchVersion) throw invalidRequest(`Protocol version ${version} has no batches. Send each message in a POST of its own.`)
  if (headers['mcp-method'] !== undefined || headers['mcp-name'] !== undefined) {
    throw headerMismatch('Header mismatch: Mcp-Method and Mcp-Name cannot speak for a batch.')
  }
  if (body.messages.some((message) => message.kind !== 'response' && message.method === 'initialize')) {
    throw invalidRequest('"initialize" may not be part of a batch.')
  }
}

function agreeOnVersion (message: Message, version: string): void {
  if (message.kind === 'response' || message.version === undefined || message.version === version) return
  throw headerMismatch('Header mismatch: MCP-Protocol-Version differs from the version in the _meta of the body.', idOf(message))
}

function mirrorOf (message: Exclude<Message, { kind: 'response' }>, headers: HeaderSource, required: boolean): Record<string, string> {
  const method = headers['mcp-method']
  const name = headers['mcp-name']
  const id = idOf(message)
  if (method === undefined ? required : method !== message.method) {
    throw headerMismatch('Header mismatch: Mcp-Method is missing or differs from the method of the body.', id)
  }
  const named = message.name !== undefined
  if (named && (name === undefined ? required : typeof name !== 'string' || decodeMcpName(name) !== message.name)) {
    throw headerMismatch('Header mismatch: Mcp-Name is missing, malformed, or differs from the name in the body.', id)
  }
  return {
    ...(method === undefined ? {} : { 'mcp-method': message.method }),
    ...(named && name !== undefined ? { 'mcp-name': encodeMcpName(message.name) } : {})
  }
}

function versionHeader (headers: HeaderSource): Record<string, string> {
  const version = headers['mcp-protocol-version']
  return typeof version === 'string' ? { 'mcp-protocol-version': version } : {}
}

function idOf (message: Message): RpcId | undefined {
  return message.kind === 'request' ? message.id : undefined
}
