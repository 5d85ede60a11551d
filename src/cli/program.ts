import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Argument, Command, Option } from 'commander'
import type { Config } from '../config/config.ts'
import { rules } from '../core/key-rules.ts'
import { policyDaysMax } from '../core/policies.ts'
import { scopes } from '../core/scopes.ts'
import { completionFor, shells, type Shell } from './completion.ts'
import type { CreateFlags } from './create-key.ts'
import { exitCodeOf, isHelp, toldOf, wantsJson } from './failure.ts'
import type { EditFlags } from './edit-key.ts'
import type { EraseFlags } from './erase-owner.ts'
import type { AuditFlags, CallFlags, UsageFlags } from './history.ts'
import type { ImportFlags } from './import-keys.ts'
import type { ListFlags } from './list-keys.ts'
import type { PolicyFlags } from './policy.ts'
import type { LeakFlags } from './report-leaks.ts'
import type { RevokeAllFlags } from './revoke-all.ts'
import type { RevokeFlags } from './revoke-key.ts'
import type { RotateFlags } from './rotate-key.ts'
import type { KeyFlags } from './show-key.ts'
import type { VerifyFlags } from './verify-token.ts'
import type { Terminal } from './terminal.ts'
import { address, cidrs, expiry, id, metadata, moment, orNone, owner, rateLimit, rowCount, wholeNumber } from './values.ts'

const settingsHelp = `
Settings come from the environment, with the same names as for the service: DATABASE_URL, or DATA_DIR for the embedded
database (./data). REDIS_URL, if the service uses Redis, makes a revocation faster. To read a secret from a file, set NAME_FILE to its path.
Exit status: 0 success, 1 failure, 2 invalid command line or input.`

/** Runs one command line. Resolves to the exit status. A failure is written to `terminal`, as JSON if `--json` is given. */
export async function runProgram (args: readonly string[], terminal: Terminal): Promise<number> {
  const asJson = wantsJson(args)
  try {
    const { program, wasRefused } = programFor(terminal, asJson)
    await program.parseAsync([...args], { from: 'user' })
    return wasRefused() ? 1 : 0
  } catch (error) {
    if (!isHelp(error)) terminal.writeError(toldOf(error, asJson))
    return exitCodeOf(error)
  }
}

// Load the code of a command when it runs, so that help and errors of the command line are fast.
function programFor (terminal: Terminal, asJson: boolean): { program: Command, wasRefused (): boolean } {
  let isRefused = false
  const config = async (): Promise<Config> => await readConfigFrom(terminal.env)

  const create = command('create')
    .description('Create a key. Only its token is printed to stdout, once: TOKEN=$(navis-keys keys create …)')
    .addOption(workspace())
    .requiredOption('--name <name>', 'the name that people see')
    .addOption(scopeOption('what the key may do').makeOptionMandatory())
    .addOption(ownerOption('the person or program in the workspace that owns the key'))
    .addOption(new Option('--expires <when>', '30d (also m, h, w), 2027-01-01 (UTC), RFC 3339, or none; default: what the policy says, otherwise never').argParser(orNone(expiry)))
    .addOption(new Option('--metadata <k=v...>', 'metadata of the key').argParser(metadata))
    .addOption(cidrsOption())
    .addOption(rateLimitOption())
    .addOption(json())
    .action(async (flags: CreateFlags) => {
      const { createKey } = await import('./create-key.ts')
      await createKey(await config(), flags, terminal)
    })

  const list = command('list')
    .description('List keys, newest first.')
    .addOption(workspace())
    .addOption(new Option('--status <status>', 'only keys with this status').choices(['active', 'expired', 'revoked', 'all']).default('active'))
    .addOption(ownerOption('only keys of this owner'))
    .addOption(scopeOption('only keys with this scope'))
    .option('--q <text>', 'only keys whose name contains this text, case-insensitive')
    .addOption(daysOption('--unused-days', 'only keys that were not used for this many days'))
    .addOption(daysOption('--expires-within-days', 'only keys that expire within this many days'))
    .addOption(pageSize())
    .addOption(cursor())
    .addOption(json())
    .action(async (flags: ListFlags) => {
      const { listKeys } = await import('./list-keys.ts')
      await listKeys(await config(), flags, terminal)
    })

  const get = keyCommand('get', 'Show a key.')
    .action(async (keyId: string, flags: KeyFlags) => {
      const { showKey } = await import('./show-key.ts')
      await showKey(await config(), keyId, flags, terminal)
    })

  const edit = keyCommand('edit', 'Change a key. Returns when every restriction is in force on every replica.')
    .option('--name <name>', 'its name')
    .addOption(new Option('--expires <when>', '30d (also m, h, w), 2027-01-01 (UTC), RFC 3339, or none').argParser(orNone(expiry)))
    .addOption(cidrsOption())
    .addOption(rateLimitOption())
    .action(async (keyId: string, flags: EditFlags) => {
      const { editKey } = await import('./edit-key.ts')
      await editKey(await config(), keyId, flags, terminal)
    })

  const rotate = keyCommand('rotate', 'Give a key a new token. Only the token is printed to stdout, once.')
    .addOption(new Option('--grace-seconds <n>', 'how long the previous token still works; default: 0').argParser(wholeNumber(0, rules.graceSecondsMax)))
    .addOption(new Option('--grace-starts <when>', 'when the grace period begins').choices(['now', 'first_use']))
    .action(async (keyId: string, flags: RotateFlags) => {
      const { rotateKey } = await import('./rotate-key.ts')
      await rotateKey(await config(), keyId, flags, terminal)
    })

  const revoke = keyCommand('revoke', 'Revoke a key permanently. Returns when every replica refuses it.')
    .addOption(reason())
    .action(async (keyId: string, flags: RevokeFlags) => {
      const { revokeKey } = await import('./revoke-key.ts')
      await revokeKey(await config(), keyId, flags, terminal)
    })

  const revokeAll = command('revoke-all')
    .description('Revoke every key of an owner, or of the workspace. Returns when every replica refuses them.')
    .addOption(workspace())
    .addOption(ownerOption('whose keys'))
    .option('--everyone', 'every key of the workspace')
    .addOption(reason())
    .addOption(json())
    .action(async (flags: RevokeAllFlags) => {
      const { revokeAll } = await import('./revoke-all.ts')
      await revokeAll(await config(), flags, terminal)
    })

  const importing = command('import')
    .description('Import keys of another system from JSON lines or CSV: token_sha256 (or token), name, scope, hint, owner_id, expires_at, created_at, metadata.')
    .argument('<file>', 'the file, or - for standard input')
    .addOption(workspace())
    .addOption(new Option('--format <format>', 'the format; default: detected from the first character').choices(['jsonl', 'csv']))
    .addOption(scopeOption('the scope of keys that have none in the file'))
    .addOption(json())
    .action(async (file: string, flags: ImportFlags) => {
      const { importKeys } = await import('./import-keys.ts')
      await importKeys(await config(), file, flags, terminal)
    })

  const usage = keyCommand('usage', 'Show the usage of a key.')
    .option('--from <day>', 'the first day, such as 2027-01-31 (UTC); default: 29 days before the last')
    .option('--to <day>', 'the last day; default: today')
    .addOption(csv())
    .action(async (keyId: string, flags: UsageFlags) => {
      const { showUsage } = await import('./history.ts')
      await showUsage(await config(), keyId, flags, terminal)
    })

  const audit = pageCommand('audit', 'Show the audit trail: who changed which key, how and when, newest first.')
    .option('--actor <name>', 'only changes by this actor')
    .action(async (flags: AuditFlags) => {
      const { listAudit } = await import('./history.ts')
      await listAudit(await config(), flags, terminal)
    })

  const calls = pageCommand('calls', 'Show the calls through the gateway, newest first.')
    .option('--tool <name>', 'only calls of this tool')
    .addOption(new Option('--decision <decision>', 'only calls with this decision').choices(['passed', 'denied', 'failed']))
    .action(async (flags: CallFlags) => {
      const { listCalls } = await import('./history.ts')
      await listCalls(await config(), flags, terminal)
    })

  const policyGet = command('get')
    .description('Show how long the keys of a workspace may live.')
    .addOption(workspace())
    .addOption(json())
    .action(async (flags: PolicyFlags) => {
      const { showPolicy } = await import('./policy.ts')
      await showPolicy(await config(), flags, terminal)
    })

  const policySet = command('set')
    .description('Replace the whole policy of a workspace: an option that is not given removes its rule.')
    .addOption(workspace())
    .addOption(daysOption('--max-lifetime-days', 'maximum lifetime of a key'))
    .addOption(daysOption('--default-lifetime-days', 'lifetime of a key that is created without an expiry'))
    .addOption(daysOption('--unused-days', 'revoke a key that is not used for this long'))
    .addOption(new Option('--apply <to>', 'all: also shorten the existing keys').choices(['new', 'all']).default('new'))
    .addOption(json())
    .action(async (flags: PolicyFlags) => {
      const { setPolicy } = await import('./policy.ts')
      await setPolicy(await config(), flags, terminal)
    })

  const erase = command('erase')
    .description('Revoke every key of a person and erase the person from everything that is recorded of them. Cannot be undone.')
    .argument('<owner>', 'the owner id of the person', owner)
    .addOption(workspace())
    .addOption(json())
    .action(async (ownerId: string, flags: EraseFlags) => {
      const { eraseOwner } = await import('./erase-owner.ts')
      await eraseOwner(await config(), ownerId, flags, terminal)
    })

  const leaks = command('leaks')
    .description('Revoke the keys of leaked tokens: one token, or its SHA-256, per line. Returns when every replica refuses them.')
    .argument('[file]', 'the file; default: standard input', '-')
    .option('--url <url>', 'where they were found')
    .option('--source <name>', 'who found them')
    .addOption(json())
    .action(async (file: string, flags: LeakFlags) => {
      const { reportLeaks } = await import('./report-leaks.ts')
      await reportLeaks(await config(), file, flags, terminal)
    })

  const verify = command('verify')
    .description('Verify the token on standard input, as the service does. Not a use of the key; a refusal counts in its usage. Exit status 1: the token is refused.')
    .addOption(scopeOption('the scope that is needed'))
    .addOption(new Option('--address <address>', 'the address of the client').argParser(address))
    .addOption(json())
    .action(async (flags: VerifyFlags) => {
      const { verifyToken } = await import('./verify-token.ts')
      isRefused = !await verifyToken(await config(), flags, terminal)
    })

  const completion = command('completion')
    .description('Print the completion script for a shell, such as: eval "$(navis-keys completion bash)"')
    .addArgument(new Argument('<shell>', 'bash, zsh or fish').choices(shells))
    .action((shell: Shell) => { terminal.writeOut(completionFor(shell, program)) })

  const migrate = command('migrate')
    .description('Migrate the database to the newest schema. The service does this itself when it starts.')
    .addOption(json())
    .action(async (flags: { json?: true }) => {
      const { migrateDatabase } = await import('./migrate-database.ts')
      await migrateDatabase(await config(), flags, terminal)
    })

  const program = command('navis-keys')
    .description('Manages API keys in the database of the service.')
    .version(version(), '--version', 'print the version')
    .addHelpText('after', settingsHelp)
    .addCommand(subcommands('keys', 'Create, find, change and revoke keys.', [create, list, get, edit, rotate, revoke, revokeAll, importing, usage]))
    .addCommand(subcommands('policy', 'Show or replace how long the keys of a workspace may live.', [policyGet, policySet]))
    .addCommand(subcommands('people', 'Erase a person.', [erase]))
    .addCommand(audit)
    .addCommand(calls)
    .addCommand(leaks)
    .addCommand(verify)
    .addCommand(migrate)
    .addCommand(completion)
  return { program, wasRefused: () => isRefused }

  function subcommands (name: string, description: string, commands: readonly Command[]): Command {
    return commands.reduce((parent, one) => parent.addCommand(one), command(name).description(description))
  }

  function keyCommand (name: string, description: string): Command {
    return command(name).description(description).argument('<id>', 'the id of the key').addOption(workspace()).addOption(json())
  }

  function pageCommand (name: string, description: string): Command {
    return command(name)
      .description(description)
      .addOption(workspace())
      .option('--key <id>', 'only entries of this key')
      .addOption(new Option('--from <when>', 'start of the time range (inclusive): 2027-01-01 (UTC), or RFC 3339').argParser(moment))
      .addOption(new Option('--to <when>', 'end of the time range (exclusive)').argParser(moment))
      .addOption(pageSize())
      .addOption(cursor())
      .addOption(csv())
      .addOption(json())
  }

  /** A command that throws instead of ending the process. */
  function command (name: string): Command {
    return new Command(name).exitOverride().configureOutput({
      outputError: () => {},
      writeOut: (text) => { terminal.writeOut(text) },
      writeErr: (text) => { if (!asJson) terminal.writeError(text) }
    })
  }
}

function json (): Option {
  return new Option('--json', 'print JSON; errors too (RFC 9457, on stderr)')
}

function csv (): Option {
  return new Option('--csv', 'print CSV, for a spreadsheet').conflicts('json')
}

function scopeOption (description: string): Option {
  return new Option('--scope <scope>', description).choices(Object.keys(scopes))
}

function ownerOption (description: string): Option {
  return new Option('--owner <id>', description).argParser(owner)
}

function cidrsOption (): Option {
  return new Option('--allowed-cidrs <list>', 'the only addresses that may use the key, separated by commas, or none for every address').argParser(orNone(cidrs))
}

function rateLimitOption (): Option {
  return new Option('--rate-limit <limit>', 'requests/seconds, such as 100/60, or none').argParser(orNone(rateLimit))
}

function daysOption (name: string, description: string): Option {
  return new Option(`${name} <n>`, description).argParser(wholeNumber(1, policyDaysMax))
}

function reason (): Option {
  return new Option('--reason <text>', 'the reason, for the audit trail')
}

function pageSize (): Option {
  return new Option('--limit <n>', 'rows per page, 1 to 200').argParser(rowCount).default(50)
}

function cursor (): Option {
  return new Option('--cursor <cursor>', 'continue after the page that printed this cursor')
}

function workspace (): Option {
  return new Option('--workspace <id>', 'the workspace of the key').argParser(id).makeOptionMandatory()
}

function version (): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
  return version
}

// The command line needs no management token: it has access to the database.
async function readConfigFrom (env: Terminal['env']): Promise<Config> {
  const { readConfig } = await import('../config/config.ts')
  const unused = `cli=${randomBytes(32).toString('hex')}`
  return readConfig({ ...env, MANAGEMENT_TOKENS: unused, MANAGEMENT_TOKENS_FILE: undefined, SERVICE_TOKENS: undefined, SERVICE_TOKENS_FILE: undefined })
}
