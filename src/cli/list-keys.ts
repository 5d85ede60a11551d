import type { Config } from '../config/config.ts'
import type { KeyStatus, ManagedKey } from '../core/key-record.ts'
import type { Scope } from '../core/scopes.ts'
import { toWireKey } from '../http/wire.ts'
import type { Terminal } from './terminal.ts'
import { table } from './table.ts'
import { withKeys } from './with-keys.ts'

export interface ListFlags {
  readonly workspace: string
  readonly status: KeyStatus | 'all'
  readonly owner?: string
  readonly scope?: Scope
  readonly q?: string
  readonly unusedDays?: number
  readonly expiresWithinDays?: number
  readonly limit: number
  readonly cursor?: string
  readonly json?: true
}

export async function listKeys (config: Config, { workspace, status, owner, scope, q, unusedDays, expiresWithinDays, limit, cursor, json }: ListFlags, terminal: Terminal): Promise<void> {
  const { keys, nextCursor } = await withKeys(config, { mayBeNew: false }, async ({ service }) => {
    return await service.list({ workspaceId: workspace, status, ownerId: owner, scope, q, unusedDays, expiresWithinDays, limit, cursor })
  })
  if (json) {
    terminal.writeOut(`${JSON.stringify({ keys: keys.map(toWireKey), next_cursor: nextCursor }, null, 2)}\n`)
    return
  }
  if (keys.length === 0) terminal.writeError(`No ${status === 'all' ? '' : `${status} `}keys in workspace ${workspace}.\n`)
  else terminal.writeOut(table(['ID', 'HINT', 'NAME', 'SCOPE', 'STATUS', 'CREATED', 'EXPIRES', 'LAST USED'], keys.map(row)))
  if (nextCursor !== null) terminal.writeError(`More keys: --cursor ${nextCursor}\n`)
}

function row ({ id, hint, name, scope, status, createdAt, expiresAt, lastUsedAt }: ManagedKey): string[] {
  return [id, hint, name, scope, status, minute(createdAt), expiresAt === null ? 'never' : minute(expiresAt), lastUsedAt === null ? 'never' : minute(lastUsedAt)]
}

function minute (time: number): string {
  return `${new Date(time).toISOString().slice(0, 16).replace('T', ' ')}Z`
}
