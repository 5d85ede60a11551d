import type { Config } from '../config/config.ts'
import { withKeys } from './with-keys.ts'

export interface RevokeFlags {
  readonly workspace: string
  readonly reason?: string
  readonly json?: true
}

const meanings = {
  fast: 'every replica has confirmed it',
  slow: 'not every replica answered, so the trust window was waited out'
}

/** Returns when the revocation is in force everywhere. */
export async function revokeKey (config: Config, id: string, { workspace, reason, json }: RevokeFlags): Promise<void> {
  const path = await withKeys(config, { mayBeNew: false }, async ({ service, window }) => {
    await service.revoke({ workspaceId: workspace, keyId: id, actor: 'cli', reason })
    // This process has made this one change and no other.
    return window.snapshot().inForce.slow.count > 0 ? 'slow' : 'fast'
  })
  if (json) process.stdout.write(`${JSON.stringify({ id, workspace_id: workspace, in_force: true, path }, null, 2)}\n`)
  else process.stderr.write(`Revoked ${id}, in force everywhere by the ${path} path: ${meanings[path]}.\n`)
}
