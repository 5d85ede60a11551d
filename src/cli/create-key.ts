import type { Config } from '../config/config.ts'
import type { RateLimit } from '../core/key-record.ts'
import type { Scope } from '../core/scopes.ts'
import { toWireKey } from '../http/wire.ts'
import { printJson, type Terminal } from './terminal.ts'
import { given } from './values.ts'
import { withKeys } from './with-keys.ts'

export interface CreateFlags {
  readonly workspace: string
  readonly name: string
  readonly scope: Scope
  readonly owner?: string
  /** Milliseconds since the epoch; `none`: never, where the policy allows it; left out: what the policy says. */
  readonly expires?: number | 'none'
  readonly metadata?: Readonly<Record<string, string>>
  readonly allowedCidrs?: readonly string[] | 'none'
  readonly rateLimit?: RateLimit | 'none'
  readonly json?: true
}

export async function createKey (config: Config, { workspace, name, scope, owner, expires, metadata, allowedCidrs, rateLimit, json }: CreateFlags, terminal: Terminal): Promise<void> {
  const { key, token } = await withKeys(config, { mayBeNew: true }, async ({ service }) => await service.create({
    workspaceId: workspace,
    actor: 'cli',
    name,
    scope,
    ownerId: owner,
    expiresAt: given(expires),
    metadata,
    allowedCidrs: given(allowedCidrs),
    rateLimit: given(rateLimit)
  }))
  const lost = `The key ${key.id} was created, and its token is lost: rotate or revoke the key.`
  if (json) return printJson(terminal, { ...toWireKey(key), token }, lost)
  const end = key.expiresAt === null ? 'never expires' : `expires ${new Date(key.expiresAt).toISOString()}`
  terminal.writeError(`Created "${key.name}" (${key.hint}) in workspace ${key.workspaceId}: ${key.scope}, ${end}, id ${key.id}. This token is shown only once:\n`)
  terminal.writeOut(`${token}\n`, lost)
}
