import type { Scope } from '../../core/scopes.ts'

/**
 * The methods of clients, in any revision from 2024-11-05 to 2026-07-28, that only read or only maintain the connection.
 * Any method that is not in this list, with exactly this spelling, counts as a write: extensions, `tasks/cancel`, `tasks/update`
 * and methods of later revisions.
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

/** The member of a method's `params` that `Mcp-Name` mirrors (2026-07-28, streamable HTTP; tasks: SEP-2663). */
const nameMembers: ReadonlyMap<string, string> = new Map([
  ['tools/call', 'name'],
  ['prompts/get', 'name'],
  ['resources/read', 'uri'],
  ['tasks/get', 'taskId'],
  ['tasks/update', 'taskId'],
  ['tasks/cancel', 'taskId']
])

/** The scope of every method except `tools/call`, whose scope its tool decides. */
export function methodScope (method: string): Scope {
  return readingMethods.has(method) ? 'mcp:read' : 'mcp:write'
}

export function nameMemberOf (method: string): string | undefined {
  return nameMembers.get(method)
}

export function isKnownMethod (method: string): boolean {
  return readingMethods.has(method) || otherKnownMethods.has(method)
}

/** The method for logs and metrics, which must not contain text that a caller can choose. */
export function knownMethod (method: string): string {
  return isKnownMethod(method) ? method : 'other'
}
