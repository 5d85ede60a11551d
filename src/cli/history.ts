import type { Config } from '../config/config.ts'
import type { CallDecision } from '../core/usage.ts'
import { csvText } from '../http/csv.ts'
import { auditColumns, callColumns, toWireAuditEntry, toWireCall, usageColumns, usageRows } from '../http/wire.ts'
import { table } from './table.ts'
import { printJson, type Terminal } from './terminal.ts'
import type { KeyFlags } from './show-key.ts'
import { withKeys } from './with-keys.ts'

interface PageFlags {
  readonly workspace: string
  readonly key?: string
  /** Milliseconds since the epoch. */
  readonly from?: number
  readonly to?: number
  readonly limit: number
  readonly cursor?: string
  readonly json?: true
  readonly csv?: true
}

export interface AuditFlags extends PageFlags {
  readonly actor?: string
}

export interface CallFlags extends PageFlags {
  readonly tool?: string
  readonly decision?: CallDecision
}

export interface UsageFlags extends KeyFlags {
  readonly csv?: true
  readonly from?: string
  readonly to?: string
}

export async function listAudit (config: Config, { workspace, key, actor, from, to, limit, cursor, json, csv }: AuditFlags, terminal: Terminal): Promise<void> {
  const page = await withKeys(config, { mayBeNew: false }, async ({ service }) => await service.audit({ workspaceId: workspace, keyId: key, actor, from, to, limit, cursor }))
  const entries = page.entries.map(toWireAuditEntry)
  if (json) return printJson(terminal, { entries, next_cursor: page.nextCursor })
  if (csv) terminal.writeOut(csvText(auditColumns, entries))
  else terminal.writeOut(table(['AT', 'ACTION', 'ACTOR', 'KEY', 'DETAILS'], entries.map(({ at, action, actor, key_id: keyId, details }) => [at, action, actor, keyId ?? '', JSON.stringify(details)])))
  tellMore(page.nextCursor, terminal)
}

export async function listCalls (config: Config, { workspace, key, tool, decision, from, to, limit, cursor, json, csv }: CallFlags, terminal: Terminal): Promise<void> {
  const page = await withKeys(config, { mayBeNew: false }, async ({ reports }) => await reports.calls({ workspaceId: workspace, keyId: key, tool, decision, from, to, limit, cursor }))
  const calls = page.calls.map(toWireCall)
  if (json) return printJson(terminal, { calls, next_cursor: page.nextCursor })
  if (csv) terminal.writeOut(csvText(callColumns, calls))
  else terminal.writeOut(table(['AT', 'KEY', 'UPSTREAM', 'METHOD', 'TOOL', 'DECISION', 'STATUS', 'MS'], calls.map((call) => Object.values(call).map((value) => value === null ? '' : String(value)))))
  tellMore(page.nextCursor, terminal)
}

export async function showUsage (config: Config, id: string, { workspace, from, to, json, csv }: UsageFlags, terminal: Terminal): Promise<void> {
  const { days, tools, last } = await withKeys(config, { mayBeNew: false }, async ({ reports }) => await reports.usage({ workspaceId: workspace, keyId: id, from, to }))
  const shownLast = last && { ...last, at: new Date(last.at).toISOString() }
  if (json) return printJson(terminal, { days, tools, last: shownLast })
  if (csv) return terminal.writeOut(csvText(usageColumns, usageRows({ days })))
  terminal.writeOut(table(['DAY', 'ACCEPTED', 'REFUSED'], days.map(({ day, accepted, refused }) => [day, String(accepted), Object.entries(refused).map(([reason, count]) => `${reason} ${count}`).join(', ')])))
  if (tools.length > 0) terminal.writeOut(`\n${table(['TOOL', 'CALLS', 'DENIED', 'FAILED'], tools.map(({ tool, calls, denied, failed }) => [tool, String(calls), String(denied), String(failed)]))}`)
  terminal.writeError(shownLast === null ? 'Never used.\n' : `Last used ${shownLast.at}${shownLast.address === null ? '' : ` from ${shownLast.address}`}${shownLast.client === null ? '' : ` by ${shownLast.client}`}.\n`)
}

function tellMore (nextCursor: string | null, terminal: Terminal): void {
  if (nextCursor !== null) terminal.writeError(`More: --cursor ${nextCursor}\n`)
}
