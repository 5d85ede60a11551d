import type { Config } from '../config/config.ts'
import type { Scope } from '../core/scopes.ts'
import { scopes } from '../core/scopes.ts'
import { printJson, type Terminal } from './terminal.ts'
import { wrongCall } from './wrong-call.ts'
import { withKeys } from './with-keys.ts'

export interface VerifyFlags {
  readonly scope?: Scope
  readonly address?: string
  readonly json?: true
}

/** Verifies a token, without counting a use; a refusal counts, as everywhere. Resolves to whether it is valid. */
export async function verifyToken (config: Config, { scope, address, json }: VerifyFlags, terminal: Terminal): Promise<boolean> {
  const token = (await terminal.readIn()).trim()
  if (token === '') throw wrongCall('Give the token on standard input, so that no shell history and no list of processes shows it: navis-keys verify < token.txt')
  const verdict = await withKeys(config, { mayBeNew: false }, async ({ verifier }) =>
    await verifier.verify(token, { scope, from: address === undefined ? undefined : { ip: address }, counts: 'nothing' }))
  if (!verdict.valid) {
    if (json) printJson(terminal, { valid: false, reason: verdict.reason })
    else terminal.writeOut(`refused: ${verdict.reason}\n`)
    return false
  }
  const { id, workspaceId, ownerId, name, scope: has, expiresAt, metadata } = verdict.key
  const key = { id, workspace_id: workspaceId, owner_id: ownerId, name, scope: has, scopes: scopes[has].implies, expires_at: expiresAt === null ? null : new Date(expiresAt).toISOString(), metadata }
  if (json) printJson(terminal, { valid: true, key })
  else terminal.writeOut(`valid: key ${id} of workspace ${workspaceId}, ${has}\n`)
  return true
}
