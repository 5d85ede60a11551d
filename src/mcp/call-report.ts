import type { KeyRecord } from '../core/key-record.ts'
import type { ClientInfo, Message } from './protocol/message.ts'
import { knownMethod } from './protocol/methods.ts'
import type { McpRefusal } from './protocol/rpc-error.ts'
import type { UpstreamCause } from './upstream-client.ts'

/** How a request ended. `cut`: its key was revoked or expired before the answer was complete. */
export type Decision = 'passed' | 'unauthenticated' | 'insufficient_scope' | 'refused' | 'unavailable' | 'upstream_refused' | 'upstream_failed' | 'cut'

/** A call that was passed on, as far as a report needs it. */
export interface ReportedCall {
  /** The monotonic time at which it was let through. */
  readonly usedAt: number
  readonly decision: Decision
  /** Why the upstream failed. */
  readonly failure: { readonly cause: CallReport['cause'], readonly code: string | undefined } | undefined
  /** The refusal for an error before the first byte of the answer. */
  refusalOf (error: Error): McpRefusal | undefined
}

/** One message of a request, for logs and metrics. It has no arguments, no results, and no text that a caller can choose freely. */
export interface CallReport {
  readonly key_id: string | undefined
  readonly workspace_id: string | undefined
  readonly upstream: string
  readonly method: string
  readonly tool: string | undefined
  readonly decision: Decision
  /** Why the upstream failed, and the code that the system has for it. */
  readonly cause: UpstreamCause | 'broke_off' | undefined
  readonly cause_code: string | undefined
  readonly status: number
  readonly duration_ms: number
}

/** One message of an authenticated key, for counting the use of keys. */
export interface GatewayCall {
  readonly key: KeyRecord
  readonly upstream: string
  readonly method: string
  readonly tool: string | undefined
  /** `denied`: by the gateway. `failed`: by the upstream, or because it was not known whether the key is valid. */
  readonly decision: 'passed' | 'denied' | 'failed'
  readonly status: number
  readonly ms: number
  /** The monotonic time at which it was let through, and so counted as a use of the key; undefined: it was not. */
  readonly usedAt: number | undefined
  /** The `clientInfo` of MCP, if this replica received it. */
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

/** A call that was cut after its answer had begun counts as passed on; one that was cut before that, as denied. */
export function outcomeOf (decision: Decision, status: number): GatewayCall['decision'] {
  return decision === 'cut' ? status === 401 ? 'denied' : 'passed' : told[decision]
}

// By `data.code` of the refusal, not by its status: upstreams use the same statuses.
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
  // Told only after the server has refused.
  old_transport: 'upstream_refused',
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

/** The names of a message for a report. `foundIn` finds tokens in a text: people paste them anywhere. */
export function labelsOf (message: Message, foundIn: (text: string) => boolean): Labels {
  if (message.kind === 'response') return { method: 'response' }
  const { method, name } = message
  if (method !== 'tools/call' || name === undefined) return { method: knownMethod(method) }
  return { method, tool: loggableTool.test(name) && !foundIn(name) ? name : 'other' }
}
