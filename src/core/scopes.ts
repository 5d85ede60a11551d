/** What a key may do. One scope a key; `mcp:write` implies `mcp:read`, everywhere a scope is asked for. */
export type Scope = 'mcp:read' | 'mcp:write'

interface ScopeMeaning {
  label: string
  grants: string
  /** Every scope that a key of this scope has, itself included. */
  implies: readonly Scope[]
}

export const scopes: Readonly<Record<Scope, ScopeMeaning>> = {
  'mcp:read': {
    label: 'Read',
    grants: 'Read access to all workspace data',
    implies: ['mcp:read']
  },
  'mcp:write': {
    label: 'Read + Write',
    grants: 'Read, create, update and delete all workspace data',
    implies: ['mcp:read', 'mcp:write']
  }
}

export function isScope (text: unknown): text is Scope {
  return text === 'mcp:read' || text === 'mcp:write'
}

/** Whether a key of the scope `held` has the scope `wanted`. */
export function includesScope (held: Scope, wanted: Scope): boolean {
  return held === wanted || held === 'mcp:write'
}
