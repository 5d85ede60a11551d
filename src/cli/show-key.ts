import type { Config } from '../config/config.ts'
import type { ManagedKey } from '../core/key-record.ts'
import { toWireKey } from '../http/wire.ts'
import { table } from './table.ts'
import { printJson, type Terminal } from './terminal.ts'
import { withKeys } from './with-keys.ts'

export interface KeyFlags {
  readonly workspace: string
  readonly json?: true
}

export async function showKey (config: Config, id: string, flags: KeyFlags, terminal: Terminal): Promise<void> {
  printKey(await withKeys(config, { mayBeNew: false }, async ({ service }) => await service.get({ workspaceId: flags.workspace, keyId: id })), flags, terminal)
}

/** Shows a key, one field per line. */
export function printKey (key: ManagedKey, { json }: Pick<KeyFlags, 'json'>, terminal: Terminal): void {
  const shown = toWireKey(key)
  if (json) return printJson(terminal, shown)
  terminal.writeOut(table(['MEMBER', 'VALUE'], Object.entries(shown).map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)])))
}
