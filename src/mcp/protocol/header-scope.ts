import type { Scope } from '../../core/scopes.ts'
import { decodeMcpName } from './mcp-name.ts'
import { methodScope } from './methods.ts'
import { generationOf, type HeaderSource } from './protocol.ts'

/** What the mirroring headers of a call say of the scope that it needs; a tool's name where that decides. */
export type HeaderClaim = { readonly scope: Scope } | { readonly tool: string }

/**
 * Reads `Mcp-Method` and `Mcp-Name` in the place of a body that is not there. Only a server of 2026-07-28 holds the one
 * against the other, so headers of any other version, or of none, claim nothing but the most.
 */
export function claimOfHeaders (headers: HeaderSource): HeaderClaim {
  const { 'mcp-protocol-version': version, 'mcp-method': method, 'mcp-name': name } = headers
  if (typeof version !== 'string' || generationOf(version) !== 'modern' || typeof method !== 'string') return { scope: 'mcp:write' }
  if (method !== 'tools/call') return { scope: methodScope(method) }
  const tool = typeof name === 'string' ? decodeMcpName(name) : undefined
  return tool === undefined ? { scope: 'mcp:write' } : { tool }
}
