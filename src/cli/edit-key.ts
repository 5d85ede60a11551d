import type { Config } from '../config/config.ts'
import type { RateLimit } from '../core/key-record.ts'
import { printKey, type KeyFlags } from './show-key.ts'
import type { Terminal } from './terminal.ts'
import { given } from './values.ts'
import { wrongCall } from './wrong-call.ts'
import { withKeys } from './with-keys.ts'

export interface EditFlags extends KeyFlags {
  readonly name?: string
  /** Milliseconds since the epoch. */
  readonly expires?: number | 'none'
  readonly allowedCidrs?: readonly string[] | 'none'
  readonly rateLimit?: RateLimit | 'none'
}

/** Resolves when every restriction is in force on every replica. */
export async function editKey (config: Config, id: string, { workspace, name, expires, allowedCidrs, rateLimit, json }: EditFlags, terminal: Terminal): Promise<void> {
  if ([name, expires, allowedCidrs, rateLimit].every((value) => value === undefined)) throw wrongCall('Give at least one change: --name, --expires, --allowed-cidrs or --rate-limit.')
  const key = await withKeys(config, { mayBeNew: false }, async ({ service }) =>
    await service.update({ workspaceId: workspace, keyId: id, actor: 'cli', name, expiresAt: given(expires), allowedCidrs: given(allowedCidrs), rateLimit: given(rateLimit) }))
  printKey(key, { ...json && { json } }, terminal)
}
