import type { Description, Operation } from './description.ts'

export interface Listed {
  /** The path, or for a webhook the type of the event. */
  readonly path: string
  readonly method: string
  readonly operation: Operation
  /** Whether the service sends it. */
  readonly isWebhook: boolean
}

/** The operations of each tag. Forward-auth is listed once, for all its methods. */
export function listedByTag ({ tags = [], paths = {}, webhooks = {} }: Description): Array<{ tag: { name: string, description: string }, members: Listed[] }> {
  const all = [...listed(paths, false), ...listed(webhooks, true)].filter(({ operation: { operationId = '' } }) => !/^forwardAuth./.test(operationId))
  return tags.map((tag) => ({ tag, members: all.filter(({ operation }) => operation.tags?.includes(tag.name)) })).filter(({ members }) => members.length > 0)
}

function listed (items: Readonly<Record<string, Readonly<Record<string, Operation>>>>, isWebhook: boolean): Listed[] {
  return Object.entries(items).flatMap(([path, item]) => Object.entries(item).map(([method, operation]) => ({ path, method, operation, isWebhook })))
}
