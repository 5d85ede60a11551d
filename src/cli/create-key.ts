import type { Config } from '../config/config.ts'
import type { Scope } from '../core/scopes.ts'
import { toWireKey } from '../http/wire.ts'
import type { Terminal } from './terminal.ts'
import { withKeys } from './with-keys.ts'

export interface CreateFlags {
  readonly workspace: string
  readonly name: string
  readonly scope: Scope
  readonly owner?: string
  /** Milliseconds since the epoch. */
  readonly expires?: number
  readonly metadata?: Readonly<Record<string, string>>
  readonly json?: true
}

export async function createKey (config: Config, { workspace, name, scope, owner, expires, metadata, json }: CreateFlags, terminal: Terminal): Promise<void> {
  const { key, token } = await withKeys(config, { mayBeNew: true }, async ({ service }) => await service.create({
    workspaceId: workspace,
    actor: 'cli',
    name,
    scope,
    ownerId: owner,
    expiresAt: expires,
    metadata
  }))
  if (json) {
    terminal.writeOut(`${JSON.stringify({ ...toWireKey(key), token }, null, 2)}\n`)
    return
  }
  const end = key.expiresAt === null ? 'never expires' : `expires ${new Date(key.expiresAt).toISOString()}`
  terminal.writeError(`Created "${key.name}" (${key.hint}) in workspace ${key.workspaceId}: ${key.scope}, ${end}, id ${key.id}. This token is shown only once:\n`)
  terminal.writeOut(`${token}\n`)
}
