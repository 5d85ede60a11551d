import type { Config } from '../config/config.ts'
import { printJson, type Terminal } from './terminal.ts'
import { wrongCall } from './wrong-call.ts'
import { withKeys } from './with-keys.ts'
import { counted } from '../core/counted.ts'

export interface RevokeAllFlags {
  readonly workspace: string
  readonly owner?: string
  readonly everyone?: true
  readonly reason?: string
  readonly json?: true
}

/** Resolves when every replica refuses the keys. */
export async function revokeAll (config: Config, { workspace, owner, everyone, reason, json }: RevokeAllFlags, terminal: Terminal): Promise<void> {
  if ((owner === undefined) === (everyone === undefined)) throw wrongCall('Give --owner <id>, or --everyone for every key of the workspace.')
  const { revoked } = await withKeys(config, { mayBeNew: false }, async ({ service }) => await service.revokeWorkspace({ workspaceId: workspace, ownerId: owner, actor: 'cli', reason }))
  if (json) printJson(terminal, { revoked })
  else terminal.writeError(`Revoked ${counted(revoked, 'key')} ${owner === undefined ? '' : `of ${owner} `}in workspace ${workspace}; in force on every replica.\n`)
}
