import type { Scope } from '../../core/scopes.ts'
import { decodeMcpName } from './mcp-name.ts'
import { methodScope } from './methods.ts'
import { generationOf, type HeaderSource } from './protocol.ts'

/** The scope that the mirroring headers of a call ask for, or the name of the tool that decides it. */
export type HeaderClaim = { readonly scope: Scope } | { readonly tool: string }

/**
 * Decides by `Mcp-Method` and `Mcp-Name` where the body cannot be seen. Only a server of 2026-07-28 compares them with the body, so with
 * headers of any other version, or of none, the call needs `mcp:write`.
 */
export function claimOfHeaders (headers: HeaderSource): HeaderClaim {
  const { 'mcp-protocol-version': version, 'mcp-method': method, 'mcp-name': name } = headers
  if (typeof version !== 'string' || generationOf(version) !== 'modern' || typeof method !== 'string') return { scope: 'mcp:write' }
  if (method !== 'tools/call') return { scope: methodScope(method) }
  const tool = typeof name === 'string' ? decodeMcpName(name) : undefined
  return tool === undefined ? { scope: 'mcp:write' } : { tool }
}
