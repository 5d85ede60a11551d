import { isScope, type Scope } from '../../core/scopes.ts'
import { folded } from './folded.ts'
import { isJsonObject, JsonRefused, readStrictJson, type Json, type JsonObject } from './strict-json.ts'

/** The operator's policy for the tools of one upstream. */
export interface UpstreamPolicy {
  /** Whether `annotations.readOnlyHint === true` in this upstream's own `tools/list` makes a tool readable. */
  readonly trustReadOnlyHints: boolean
  /** The scope that the file gives a tool; `undefined` if it has no entry for it. */
  scopeOf (tool: string): Scope | undefined
}

export type Policies = ReadonlyMap<string, UpstreamPolicy>

/** A policy file that cannot be used. The message names the place and says what belongs there. */
export class PolicyRefused extends Error {
  override readonly name = 'PolicyRefused'
}

// A longer name cannot be the name of a tool, and counts as a write.
const nameLengthMax = 1024
// A pattern matches only the characters that MCP recommends for names. An upstream may read a name with other characters (controls, spaces,
// slashes) as the name of another tool, so only an exact entry can make such a name read-only.
const nameRun = '[A-Za-z0-9_.-]*'
const entry = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/

export const silentPolicy: UpstreamPolicy = { trustReadOnlyHints: false, scopeOf: () => undefined }

/**
 * Reads `{"upstreams": {"<name>": {"trust_read_only_hints": false, "tools": {"get_*": "mcp:read"}}}}`.
 * `upstreams` are the configured names: a policy for any other name is a typing error.
 */
export function readPolicies (bytes: Uint8Array, upstreams: readonly string[]): Policies {
  const file = objectAt('', parse(bytes), ['upstreams'])
  const policies = new Map<string, UpstreamPolicy>()
  for (const [name, value] of objectAt('/upstreams', file.get('upstreams') ?? null)) {
    if (!upstreams.includes(name)) {
      throw new PolicyRefused(`/upstreams/${name}: no upstream has this name. Configured: ${upstreams.join(', ')}.`)
    }
    policies.set(name, readUpstream(`/upstreams/${name}`, value))
  }
  return policies
}

function parse (bytes: Uint8Array): Json {
  try {
    return readStrictJson(bytes).value
  } catch (error) {
    if (error instanceof JsonRefused) throw new PolicyRefused(error.message.replaceAll('The body', 'The file'))
    throw error
  }
}

function readUpstream (place: string, value: Json): UpstreamPolicy {
  const upstream = objectAt(place, value, ['trust_read_only_hints', 'tools'])
  const trust = upstream.get('trust_read_only_hints') ?? false
  if (typeof trust !== 'boolean') throw new PolicyRefused(`${place}/trust_read_only_hints: must be true or false.`)
  const exact = new Map<string, Scope>()
  const writing = new Set<string>()
  const patterns: (readonly [RegExp, Scope])[] = []
  for (const [name, scope] of objectAt(`${place}/tools`, upstream.get('tools') ?? new Map())) {
    if (!entry.test(name)) throw new PolicyRefused(`${place}/tools: the name or pattern of a tool must be printable ASCII without spaces around it.`)
    if (!isScope(scope)) throw new PolicyRefused(`${place}/tools/${name}: must be "mcp:read" or "mcp:write".`)
    if (name.includes('*')) patterns.push([patternOf(name, scope), scope])
    else exact.set(name, scope)
    if (scope === 'mcp:write' && !name.includes('*')) writing.add(folded(name))
  }
  return {
    trustReadOnlyHints: trust,
    // A tolerant upstream may take this name for a tool with an exact `mcp:write`: then no pattern makes it read-only. Folding a very long name would take long.
    scopeOf: (tool) => exact.get(tool) ?? (tool.length > nameLengthMax || writing.has(folded(tool)) ? 'mcp:write' : strictest(patterns, tool))
  }
}

// The members of a JSON object have no order: of several matching patterns, the stricter scope applies.
function strictest (patterns: readonly (readonly [RegExp, Scope])[], tool: string): Scope | undefined {
  const scopes = patterns.filter(([pattern]) => pattern.test(tool)).map(([, scope]) => scope)
  return scopes.includes('mcp:write') ? 'mcp:write' : scopes[0]
}

// A pattern for `mcp:write` ignores the case: an upstream may ignore it too.
function patternOf (pattern: string, scope: Scope): RegExp {
  const parts = pattern.split(/\*+/).map((part) => part.replaceAll(/[^A-Za-z0-9_]/g, '\\$&'))
  return new RegExp(`^(?=.{1,128}$)${parts.join(nameRun)}$`, scope === 'mcp:write' ? 'i' : '')
}

function objectAt (place: string, value: Json, members?: readonly string[]): JsonObject {
  if (!isJsonObject(value)) throw new PolicyRefused(`${place === '' ? '/' : place}: must be an object.`)
  for (const name of value.keys()) {
    if (members !== undefined && !members.includes(name)) {
      throw new PolicyRefused(`${place}/${name}: unknown field. Known fields: ${members.join(', ')}.`)
    }
  }
  return value
}
