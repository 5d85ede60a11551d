import type { Config } from '../config/config.ts'
import { toWireKey } from '../http/wire.ts'
import type { KeyFlags } from './show-key.ts'
import { printJson, type Terminal } from './terminal.ts'
import { withKeys } from './with-keys.ts'

export interface RotateFlags extends KeyFlags {
  readonly graceSeconds?: number
  readonly graceStarts?: 'now' | 'first_use'
}

export async function rotateKey (config: Config, id: string, { workspace, graceSeconds, graceStarts, json }: RotateFlags, terminal: Terminal): Promise<void> {
  const { key, token } = await withKeys(config, { mayBeNew: false }, async ({ service }) =>
    await service.rotate({ workspaceId: workspace, keyId: id, actor: 'cli', graceSeconds, graceStarts }))
  const lost = `The key ${key.id} was rotated, and its new token is lost: rotate it again or revoke it.`
  if (json) return printJson(terminal, { ...toWireKey(key), token }, lost)
  const { previousToken } = key
  const before = previousToken === null ? 'the previous token is refused everywhere' : `the previous token (${previousToken.hint}) ends ${new Date(previousToken.endsAt).toISOString()} at the latest`
  terminal.writeError(`Rotated "${key.name}" (${key.hint}); ${before}. This token is shown only once:\n`)
  terminal.writeOut(`${token}\n`, lost)
}
