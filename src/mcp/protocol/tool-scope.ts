import type { Scope } from '../../core/scopes.ts'
import type { Message } from './message.ts'
import { methodScope } from './methods.ts'
import type { UpstreamPolicy } from './policy.ts'

/** The tools that an upstream's own `tools/list` marks with `readOnlyHint: true`. */
export interface ToolsKnownToRead {
  has (tool: string): boolean
}

/** The operator's word first, then the upstream's where the operator trusts it. Unknown means write. */
export function toolScope (tool: string, policy: UpstreamPolicy, readOnlyTools: ToolsKnownToRead): Scope {
  return policy.scopeOf(tool) ?? (policy.trustReadOnlyHints && readOnlyTools.has(tool) ? 'mcp:read' : 'mcp:write')
}

interface ScopeRules {
  readonly scopeOfTool: (tool: string) => Scope
  /**
   * Whether the session that the call names was opened by this very key. An answer (to an elicitation or a sampling) may let
   * a call go on: in its own session a key answers only its own calls, elsewhere it might answer a writing one of another's.
   */
  readonly ownSession: boolean
}

/** The scope that all of `messages` together need: one that writes makes the whole request write. */
export function neededScope (messages: readonly Message[], rules: ScopeRules): Scope {
  return messages.every((message) => messageScope(message, rules) === 'mcp:read') ? 'mcp:read' : 'mcp:write'
}

function messageScope (message: Message, { scopeOfTool, ownSession }: ScopeRules): Scope {
  if (message.kind === 'response') return ownSession ? 'mcp:read' : 'mcp:write'
  return message.method === 'tools/call' ? scopeOfTool(message.name ?? '') : methodScope(message.method)
}
