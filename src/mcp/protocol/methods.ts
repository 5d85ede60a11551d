import type { Scope } from '../../core/scopes.ts'

/**
 * What clients send in any revision from 2024-11-05 to 2026-07-28 that reads, or only keeps the connection going.
 * A method that is not here, in exactly these letters, is taken to write: extensions, `tasks/cancel`, `tasks/update`
 * and whatever a later revision brings.
 */
const readingMethods: ReadonlySet<string> = new Set([
  'initialize',
  'ping',
  'server/discover',
  'tools/list',
  'resources/list',
  'resources/templates/list',
  'resources/read',
  'resources/subscribe',
  'resources/unsubscribe',
  'prompts/list',
  'prompts/get',
  'completion/complete',
  'logging/setLevel',
  'subscriptions/listen',
  'tasks/get',
  'tasks/list',
  'tasks/result',
  'notifications/initialized',
  'notifications/cancelled',
  'notifications/progress',
  'notifications/roots/list_changed'
])

const otherKnownMethods: ReadonlySet<string> = new Set(['tools/call', 'tasks/cancel', 'tasks/update'])

/** Where a method's `params` hold what `Mcp-Name` repeats (2026-07-28, streamable HTTP; the tasks from SEP-2663). */
const nameMembers: ReadonlyMap<string, string> = new Map([
  ['tools/call', 'name'],
  ['prompts/get', 'name'],
  ['resources/read', 'uri'],
  ['tasks/get', 'taskId'],
  ['tasks/update', 'taskId'],
  ['tasks/cancel', 'taskId']
])

/** The scope of every method but `tools/call`, which its tool decides. */
export function methodScope (method: string): Scope {
  return readingMethods.has(method) ? 'mcp:read' : 'mcp:write'
}

export function nameMemberOf (method: string): string | undefined {
  return nameMembers.get(method)
}

export function isKnownMethod (method: string): boolean {
  return readingMethods.has(method) || otherKnownMethods.has(method)
}

/** The method for logs and metrics, which must not hold what a stranger made up. */
export function knownMethod (method: string): string {
  return isKnownMethod(method) ? method : 'other'
}
