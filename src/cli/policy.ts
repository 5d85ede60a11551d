import type { Config } from '../config/config.ts'
import { counted } from '../core/counted.ts'
import type { Policy } from '../core/policy.ts'
import { table } from './table.ts'
import { printJson, type Terminal } from './terminal.ts'
import { withKeys } from './with-keys.ts'

export interface PolicyFlags {
  readonly workspace: string
  readonly maxLifetimeDays?: number
  readonly defaultLifetimeDays?: number
  readonly unusedDays?: number
  readonly apply?: 'new' | 'all'
  readonly json?: true
}

export async function showPolicy (config: Config, { workspace, json }: PolicyFlags, terminal: Terminal): Promise<void> {
  printPolicy(await withKeys(config, { mayBeNew: false }, async ({ policies }) => await policies.get(workspace)), json, terminal)
}

/** Replaces the whole policy: a rule that is not given is removed. */
export async function setPolicy (config: Config, flags: PolicyFlags, terminal: Terminal): Promise<void> {
  const { workspace, maxLifetimeDays = null, defaultLifetimeDays = null, unusedDays = null, apply = 'new', json } = flags
  const { policy, shortened } = await withKeys(config, { mayBeNew: false }, async ({ policies }) =>
    await policies.set({ workspaceId: workspace, actor: 'cli', policy: { maxLifetimeDays, defaultLifetimeDays, unusedDays }, apply }))
  printPolicy(policy, json, terminal)
  if (!json && apply === 'all') terminal.writeError(`Shortened ${counted(shortened, 'key')}; in force on every replica.\n`)
}

function printPolicy ({ maxLifetimeDays, defaultLifetimeDays, unusedDays }: Policy, json: true | undefined, terminal: Terminal): void {
  const shown = { max_lifetime_days: maxLifetimeDays, default_lifetime_days: defaultLifetimeDays, unused_days: unusedDays }
  if (json) return printJson(terminal, shown)
  terminal.writeOut(table(['RULE', 'DAYS'], Object.entries(shown).map(([name, days]) => [name, days === null ? 'none' : String(days)])))
}
