import type { KeyRecord } from '../core/key-record.ts'
import type { ClientInfo, Message } from './protocol/message.ts'
import { knownMethod } from './protocol/methods.ts'
import type { McpRefusal } from './protocol/rpc-error.ts'
import type { UpstreamCause } from './upstream-client.ts'

/** What became of a request. `cut`: its key was revoked or expired while its answer was on its way. */
export type Decision = 'passed' | 'unauthenticated' | 'insufficient_scope' | 'refused' | 'unavailable' | 'upstream_refused' | 'upstream_failed' | 'cut'

/** A call that was passed on, as far as a report needs it. */
export interface ReportedCall {
  readonly decision: Decision
  /** Why the upstream failed. */
  readonly failure: { readonly cause: CallReport['cause'], readonly code: string | undefined } | undefined
  /** What the client is told of an error that came before the first byte of its answer. */
  refusalOf (error: Error): McpRefusal | undefined
}

/** One message of a request, for logs and metrics: no arguments, no results, and no text that a stranger made up. */
export interface CallReport {
  readonly key_id: string | undefined
  readonly workspace_id: string | undefined
  readonly upstream: string
  readonly method: string
  readonly tool: string | undefined
  readonly decision: Decision
  /** Why the upstream failed, and what the system calls it. */
  readonly cause: UpstreamCause | 'broke_off' | undefined
  readonly cause_code: string | undefined
  readonly status: number
  readonly duration_ms: number
}

/** One message of an authenticated key, for those who count the use of keys. */
export interface GatewayCall {
  readonly key: KeyRecord
  readonly upstream: string
  readonly method: string
  readonly tool: string | undefined
  /** `denied`: by the gateway. `failed`: by the upstream, or because nothing was known. */
  readonly decision: 'passed' | 'denied' | 'failed'
  readonly status: number
  readonly ms: number
  /** What MCP says of the client, where it was said at this replica. */
  readonly clientInfo: ClientInfo | undefined
  readonly userAgent: string | undefined
  readonly address: string
}

const told: Readonly<Record<Exclude<Decision, 'cut'>, GatewayCall['decision']>> = {
  passed: 'passed',
  unauthenticated: 'denied',
  insufficient_scope: 'denied',
  refused: 'denied',
  unavailable: 'failed',
  upstream_refused: 'failed',
  upstream_failed: 'failed'
}

/** A call whose answer was cut had been passed on; one that was cut before its answer began was denied. */
export function outcomeOf (decision: Decision, status: number): GatewayCall['decision'] {
  return decision === 'cut' ? status === 401 ? 'denied' : 'passed' : told[decision]
}

// By `data.code` of the refusal, never by its status: an upstream answers with the same statuses.
const decisions: Readonly<Record<string, Decision>> = {
  unauthenticated: 'unauthenticated',
  malformed: 'unauthenticated',
  unknown: 'unauthenticated',
  revoked: 'unauthenticated',
  expired: 'unauthenticated',
  address_not_allowed: 'unauthenticated',
  insufficient_scope: 'insufficient_scope',
  unknown_method: 'insufficient_scope',
  unavailable: 'unavailable',
  too_many_unknown_tokens: 'unavailable',
  internal: 'unavailable',
  stopping: 'unavailable',
  upstream_refused: 'upstream_refused',
  upstream_failed: 'upstream_failed',
  upstream_unreachable: 'upstream_failed',
  upstream_timeout: 'upstream_failed'
}

export function decisionOf ({ detail }: McpRefusal): Decision {
  return decisions[String(detail?.['code'])] ?? 'refused'
}

const loggableTool = /^[A-Za-z0-9_./-]{1,128}$/

export interface Labels {
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
