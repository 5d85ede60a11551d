#!/usr/bin/env node
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Command, Option } from 'commander'
import type { CreateFlags } from './cli/create-key.ts'
import { exitCodeOf, isHelp, problemOf, sentenceOf } from './cli/failure.ts'
import type { ListFlags } from './cli/list-keys.ts'
import type { RevokeFlags } from './cli/revoke-key.ts'
import { expiry, id, metadata, rowCount } from './cli/values.ts'
import type { Config } from './config/config.ts'
import { scopes } from './core/scopes.ts'

const settingsHelp = `
Settings come from the environment, as the service's own do: DATABASE_URL, or DATA_DIR for the embedded database (./data);
REDIS_URL, if the service has it, speeds a revocation up. A secret can stand in a file that NAME_FILE names.
Exit status: 0 done, 1 failed, 2 not understood.`

// Commands are loaded when they run: help and mistakes are told at once, without the engine.
const asJson = process.argv.includes('--json')

/** A command whose failures `main` tells and ends with, in JSON where that was asked for. */
function command (name: string): Command {
  return new Command(name).exitOverride().configureOutput({
    outputError: () => {},
    writeErr: (text) => { if (!asJson) process.stderr.write(text) }
  })
}

function json (): Option {
  return new Option('--json', 'print JSON, failures too (RFC 9457, on stderr)')
}

function workspace (): Option {
  return new Option('--workspace <id>', 'whose key').argParser(id).makeOptionMandatory()
}

const create = command('create')
  .description('Make a key. Its token is printed to stdout, alone, once: TOKEN=$(navis-keys keys create …)')
  .addOption(workspace())
  .requiredOption('--name <name>', 'what people know it by')
  .addOption(new Option('--scope <scope>', 'what it may do').choices(Object.keys(scopes)).makeOptionMandatory())
  .addOption(new Option('--owner <id>', 'whose key it is within the workspace').argParser(id))
  .addOption(new Option('--expires <when>', 'in 30d (also m, h, w), on 2027-01-01 (UTC), or RFC 3339; never, if left out').argParser(expiry))
  .addOption(new Option('--metadata <k=v...>', 'notes of your own').argParser(metadata))
  .addOption(json())
  .action(async (flags: CreateFlags) => {
    const { createKey } = await import('./cli/create-key.ts')
    await createKey(await settings(), flags)
  })

const list = command('list')
  .description('Show keys, newest first.')
  .addOption(workspace())
  .addOption(new Option('--status <status>', 'which').choices(['active', 'expired', 'revoked', 'all']).default('active'))
  .addOption(new Option('--limit <n>', 'how many, 1 to 200').argParser(rowCount).default(50))
  .option('--cursor <cursor>', 'where the page before ended')
  .addOption(json())
  .action(async (flags: ListFlags) => {
    const { listKeys } = await import('./cli/list-keys.ts')
    await listKeys(await settings(), flags)
  })

const revoke = command('revoke')
  .description('End a key for good. Returns when every replica refuses it.')
  .argument('<id>', 'which key')
  .addOption(workspace())
  .option('--reason <text>', 'why, for the audit')
  .addOption(json())
  .action(async (keyId: string, flags: RevokeFlags) => {
    const { revokeKey } = await import('./cli/revoke-key.ts')
    await revokeKey(await settings(), keyId, flags)
  })

const migrate = command('migrate')
  .description('Bring the database to the newest schema. The service does this itself when it starts.')
  .addOption(json())
  .action(async (flags: { json?: true }) => {
    const { migrateDatabase } = await import('./cli/migrate-database.ts')
    await migrateDatabase(await settings(), flags)
  })

const program = command('navis-keys')
  .description('Makes, lists and revokes API keys, on the database of the service.')
  .version(version(), '--version', 'print the version')
  .addHelpText('after', settingsHelp)
  .addCommand(command('keys').description('Make, list and revoke keys.').addCommand(create).addCommand(list).addCommand(revoke))
  .addCommand(migrate)

function version (): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
  return version
}

// Who has the database needs no management token; the setting is demanded of the service alone.
async function settings (): Promise<Config> {
  const { readConfig } = await import('./config/config.ts')
  const nobody = `cli=${randomBytes(32).toString('hex')}`
  return readConfig({ ...process.env, MANAGEMENT_TOKENS: nobody, MANAGEMENT_TOKENS_FILE: undefined, SERVICE_TOKENS: undefined, SERVICE_TOKENS_FILE: undefined })
}

async function main (): Promise<void> {
  try {
    await program.parseAsync()
  } catch (error) {
    process.exitCode = exitCodeOf(error)
    if (isHelp(error)) return
    process.stderr.write(asJson ? `${JSON.stringify(problemOf(error))}\n` : `${sentenceOf(error)}\n`)
  }
}

await main()
// The work is done and said. What may still be open, to a server that does not answer, must not keep the shell waiting.
setTimeout(() => { process.exit() }, 1000).unref()
