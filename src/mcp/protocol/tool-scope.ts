import type { Scope } from '../../core/scopes.ts'
import type { Message } from './message.ts'
import { methodScope } from './methods.ts'
import type { UpstreamPolicy } from './policy.ts'

/** The tools that an upstream's own `tools/list` marks with `readOnlyHint: true`. */
export interface ToolsKnownToRead {
  has (tool: string): boolean
}

/** The operator's policy decides first, then the upstream's hint if the operator trusts it. Otherwise `mcp:write`. */
export function toolScope (tool: string, policy: UpstreamPolicy, readOnlyTools: ToolsKnownToRead): Scope {
  return policy.scopeOf(tool) ?? (policy.trustReadOnlyHints && readOnlyTools.has(tool) ? 'mcp:read' : 'mcp:write')
}

interface ScopeRules {
  readonly scopeOfTool: (tool: string) => Scope
  /**
   * Whether this key opened the session of the call. An answer (to an elicitation or a sampling request) can let a call of the server
   * continue: in its own session a key answers only its own calls, elsewhere it could answer a writing call of another key.
   */
  readonly ownSession: boolean
}

/** The scope that all `messages` together need: if one needs `mcp:write`, the whole request does. */
export function neededScope (messages: readonly Message[], rules: ScopeRules): Scope {
  return messages.every((message) => messageScope(message, rules) === 'mcp:read') ? 'mcp:read' : 'mcp:write'
}

function messageScope (message: Message, { scopeOfTool, ownSession }: ScopeRules): Scope {
  if (message.kind === 'response') return ownSession ? 'mcp:read' : 'mcp:write'
  return message.method === 'tools/call' ? scopeOfTool(message.name ?? '') : methodScope(message.method)
}
