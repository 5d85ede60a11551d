import { knownMethod } from './protocol/methods.ts'
import type { Message } from './protocol/message.ts'

/** What became of a request. `cut`: its key was revoked or expired while its answer was on its way. */
export type Decision = 'passed' | 'unauthenticated' | 'insufficient_scope' | 'refused' | 'unavailable' | 'upstream_failed' | 'cut'

/** One message of a request, for logs and metrics: no arguments, no results, and no text that a stranger made up. */
export interface CallReport {
  readonly key_id: string | undefined
  readonly workspace_id: string | undefined
  readonly upstream: string
  readonly method: string
  readonly tool: string | undefined
  readonly decision: Decision
  readonly status: number
  readonly duration_ms: number
}

const loggableTool = /^[A-Za-z0-9_./-]{1,128}$/

interface Labels {
  readonly method: string
  readonly tool?: string | undefined
}

/** What a message is called in a report. `foundIn` tells a text that holds a token, which people paste anywhere. */
export function labelsOf (message: Message, foundIn: (text: string) => boolean): Labels {
  if (message.kind === 'response') return { method: 'response' }
  const { method, name } = message
  if (method !== 'tools/call' || name === undefined) return { method: knownMethod(method) }
  return { method, tool: loggableTool.test(name) && !foundIn(name) ? name : 'other' }
}
