import type { Config } from '../config/config.ts'
import type { Terminal } from './terminal.ts'
import { withKeys } from './with-keys.ts'

export interface RevokeFlags {
  readonly workspace: string
  readonly reason?: string
  readonly json?: true
}

const meanings = {
  fast: 'every replica confirmed it',
  slow: 'not every replica confirmed it, so the command waited for the trust window'
}

/** Resolves when every replica refuses the key. */
export async function revokeKey (config: Config, id: string, { workspace, reason, json }: RevokeFlags, terminal: Terminal): Promise<void> {
  const path = await withKeys(config, { mayBeNew: false }, async ({ service, window }) => {
    await service.revoke({ workspaceId: workspace, keyId: id, actor: 'cli', reason })
    // This process has made only one change.
    return window.snapshot().inForce.slow.count > 0 ? 'slow' : 'fast'
  })
  if (json) terminal.writeOut(`${JSON.stringify({ id, workspace_id: workspace, in_force: true, path }, null, 2)}\n`)
  else terminal.writeError(`Revoked ${id}; in force on every replica by the ${path} path: ${meanings[path]}.\n`)
}
