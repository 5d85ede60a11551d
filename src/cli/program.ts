import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Command, Option } from 'commander'
import type { Config } from '../config/config.ts'
import { scopes } from '../core/scopes.ts'
import type { CreateFlags } from './create-key.ts'
import { exitCodeOf, isHelp, problemOf, sentenceOf } from './failure.ts'
import type { ListFlags } from './list-keys.ts'
import type { RevokeFlags } from './revoke-key.ts'
import type { Terminal } from './terminal.ts'
import { expiry, id, metadata, rowCount } from './values.ts'

const settingsHelp = `
Settings come from the environment, under the same names as the service's own: DATABASE_URL, or DATA_DIR for the embedded
database (./data). REDIS_URL, if the service uses Redis, makes a revocation faster. A secret can be read from a file: NAME_FILE holds its path.
Exit status: 0 success, 1 failure, 2 invalid command line.`

/** Runs one command line and answers its exit status. A failure is written to `terminal`, as JSON if `--json` is given. */
export async function runProgram (args: readonly string[], terminal: Terminal): Promise<number> {
  const asJson = args.includes('--json')
  try {
    await programFor(terminal, asJson).parseAsync([...args], { from: 'user' })
    return 0
  } catch (error) {
    if (!isHelp(error)) terminal.writeError(asJson ? `${JSON.stringify(problemOf(error))}\n` : `${sentenceOf(error)}\n`)
    return exitCodeOf(error)
  }
}

// Each command's code is loaded when it runs: help and invalid command lines do not wait for the engine.
function programFor (terminal: Terminal, asJson: boolean): Command {
  const config = async (): Promise<Config> => await readConfigFrom(terminal.env)

  const create = command('create')
    .description('Create a key. Only its token is printed to stdout, once: TOKEN=$(navis-keys keys create …)')
    .addOption(workspace())
    .requiredOption('--name <name>', 'the name that people see')
    .addOption(new Option('--scope <scope>', 'what the key may do').choices(Object.keys(scopes)).makeOptionMandatory())
    .addOption(new Option('--owner <id>', 'the person or program in the workspace that owns the key').argParser(id))
    .addOption(new Option('--expires <when>', 'in 30d (also m, h, w), on 2027-01-01 (UTC), or RFC 3339; default: never').argParser(expiry))
    .addOption(new Option('--metadata <k=v...>', 'your own notes').argParser(metadata))
    .addOption(json())
    .action(async (flags: CreateFlags) => {
      const { createKey } = await import('./create-key.ts')
      await createKey(await config(), flags, terminal)
    })

  const list = command('list')
    .description('List keys, newest first.')
    .addOption(workspace())
    .addOption(new Option('--status <status>', 'only keys with this status').choices(['active', 'expired', 'revoked', 'all']).default('active'))
    .addOption(new Option('--limit <n>', 'keys per page, 1 to 200').argParser(rowCount).default(50))
    .option('--cursor <cursor>', 'continue after the page that printed this cursor')
    .addOption(json())
    .action(async (flags: ListFlags) => {
      const { listKeys } = await import('./list-keys.ts')
      await listKeys(await config(), flags, terminal)
    })

  const revoke = command('revoke')
    .description('Revoke a key permanently. Returns when every replica refuses it.')
    .argument('<id>', 'the id of the key')
    .addOption(workspace())
    .option('--reason <text>', 'the reason, for the audit')
    .addOption(json())
    .action(async (keyId: string, flags: RevokeFlags) => {
      const { revokeKey } = await import('./revoke-key.ts')
      await revokeKey(await config(), keyId, flags, terminal)
    })

  const migrate = command('migrate')
    .description('Bring the database to the newest schema. The service does this itself when it starts.')
    .addOption(json())
    .action(async (flags: { json?: true }) => {
      const { migrateDatabase } = await import('./migrate-database.ts')
      await migrateDatabase(await config(), flags, terminal)
    })

  return command('navis-keys')
    .description('Creates, lists and revokes API keys in the database of the service.')
    .version(version(), '--version', 'print the version')
    .addHelpText('after', settingsHelp)
    .addCommand(command('keys').description('Create, list and revoke keys.').addCommand(create).addCommand(list).addCommand(revoke))
    .addCommand(migrate)

  /** A command that throws its failures instead of ending the process. */
  function command (name: string): Command {
    return new Command(name).exitOverride().configureOutput({
      outputError: () => {},
      writeOut: (text) => { terminal.writeOut(text) },
      writeErr: (text) => { if (!asJson) terminal.writeError(text) }
    })
  }
}

function json (): Option {
  return new Option('--json', 'print JSON; failures too (RFC 9457, on stderr)')
}

function workspace (): Option {
  return new Option('--workspace <id>', 'the workspace of the key').argParser(id).makeOptionMandatory()
}

function version (): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
  return version
}

// Access to the database is authority enough: only the service needs a management token.
async function readConfigFrom (env: Terminal['env']): Promise<Config> {
  const { readConfig } = await import('../config/config.ts')
  const unused = `cli=${randomBytes(32).toString('hex')}`
  return readConfig({ ...env, MANAGEMENT_TOKENS: unused, MANAGEMENT_TOKENS_FILE: undefined, SERVICE_TOKENS: undefined, SERVICE_TOKENS_FILE: undefined })
}
