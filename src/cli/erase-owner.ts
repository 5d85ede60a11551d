import type { Config } from '../config/config.ts'
import { printJson, type Terminal } from './terminal.ts'
import { withKeys } from './with-keys.ts'
import { counted } from '../core/counted.ts'

export interface EraseFlags {
  readonly workspace: string
  readonly json?: true
}

/** Resolves when every replica refuses the person's keys and the records no longer name the person. */
export async function eraseOwner (config: Config, ownerId: string, { workspace, json }: EraseFlags, terminal: Terminal): Promise<void> {
  const { revoked, erased } = await withKeys(config, { mayBeNew: false }, async ({ service }) => await service.eraseOwner({ workspaceId: workspace, ownerId, actor: 'cli' }))
  if (json) printJson(terminal, { revoked, erased })
  else terminal.writeError(`Revoked ${counted(revoked, 'key')} in workspace ${workspace}, and erased the owner from ${erased}; in force on every replica.\n`)
}
