import { hash } from 'node:crypto'
import type { Config } from '../config/config.ts'
import { counted } from '../core/counted.ts'
import { KeysError, type Fault } from '../core/errors.ts'
import { digestFromBytes, digestFromText, type Digest } from '../core/key-record.ts'
import { KeyImports, type KeyToImport } from '../core/key-imports.ts'
import { rules } from '../core/key-rules.ts'
import { isScope, type Scope } from '../core/scopes.ts'
import { TokenFormat } from '../core/token.ts'
import { slackSeconds } from '../db/queries/policies.ts'
import { membersIn, outlineOf } from '../http/json-outline.ts'
import { csvRecords } from './csv-records.ts'
import { readInput } from './read-input.ts'
import { printJson, type Terminal } from './terminal.ts'
import { wrongCall } from './wrong-call.ts'
import { withKeys } from './with-keys.ts'

export interface ImportFlags {
  readonly workspace: string
  readonly format?: 'jsonl' | 'csv'
  readonly scope?: Scope
  readonly json?: true
}

/** A key in the file, and the number of its line. */
interface Line {
  readonly number: number
  readonly members: Readonly<Record<string, unknown>>
}

const known = ['token_sha256', 'token', 'name', 'scope', 'hint', 'owner_id', 'expires_at', 'created_at', 'metadata']
const faultsShown = 20
const digestPattern = new RegExp(rules.digest.pattern)
// As much as the database allows for clocks that differ.
const slackMs = slackSeconds * 1000
const barWidth = 30

/**
 * Imports keys from JSON lines or CSV, 1,000 at a time: all of a thousand, or none. Everything that needs no database is checked for the whole file before the database is opened.
 * After an interruption, repeat the import: keys that already exist are not changed.
 */
export async function importKeys (config: Config, file: string, { workspace, format, scope, json }: ImportFlags, terminal: Terminal): Promise<void> {
  const text = await readInput(file, terminal)
  const isCsv = format === undefined ? !/^\s*\{/.test(text) : format === 'csv'
  const lines = isCsv ? linesOfCsv(text) : linesOfJson(text)
  if (lines.length === 0) throw wrongCall('There is no key in the input.')
  const keys = keysOf(lines, { workspace, scope, tokens: new TokenFormat(config.tokenPrefix, config.tokenPrefixesAccepted) })
  const counts = { imported: 0, already_there: 0 }
  await withKeys(config, { mayBeNew: false }, async ({ imports }) => {
    for (let from = 0; from < keys.length; from += rules.importKeysMax) {
      const part = keys.slice(from, from + rules.importKeysMax)
      try {
        const { imported, alreadyThere } = await imports.import({ workspaceId: workspace, actor: 'cli', keys: part })
        counts.imported += imported
        counts.already_there += alreadyThere
      } catch (error) {
        if (terminal.isInteractive === true && !json) terminal.writeError('\n')
        throw retold(error, lines.slice(from), counts.imported)
      }
      if (!json) showProgress(terminal, from + part.length, keys.length)
    }
  })
  if (json) printJson(terminal, counts)
  else terminal.writeError(`Imported ${counted(counts.imported, 'key')} into workspace ${workspace}; ${counts.already_there} already existed.\n`)
}

function linesOfJson (text: string): readonly Line[] {
  return text.split(/\r?\n/).flatMap((line, i) => {
    if (line.trim() === '') return []
    let members: unknown
    try {
      members = JSON.parse(line)
    } catch { /* told below */ }
    if (typeof members !== 'object' || members === null || Array.isArray(members)) throw wrongCall(`Line ${i + 1} is not a JSON object: give one key per line.`)
    if (hasDoubled(line, members)) throw wrongCall(`Line ${i + 1} has a field twice, or far more fields than a key has. Give each field once.`)
    return [{ number: i + 1, members: members as Record<string, unknown> }]
  })
}

function linesOfCsv (text: string): readonly Line[] {
  const [head, ...records] = csvRecords(text)
  if (head === undefined) return []
  const names = head.fields.map((name) => name.trim())
  const unknown = names.find((name) => !known.includes(name))
  if (unknown !== undefined || !names.some((name) => name.startsWith('token'))) throw wrongCall(`The first line must name the columns, each one of ${known.join(', ')}${unknown === undefined ? ', and token_sha256 or token among them' : ''}.`)
  const doubled = names.find((name, i) => names.indexOf(name) !== i)
  if (doubled !== undefined) throw wrongCall(`The first line names the column ${doubled} twice. Give each column once.`)
  return records.map(({ line, fields }) => {
    if (fields.length !== names.length) throw wrongCall(`Line ${line} has ${counted(fields.length, 'field')}, but the first line has ${names.length}.`)
    const given = fields.flatMap((field, i) => field === '' ? [] : [[names[i]!, names[i] === 'metadata' ? metadataOf(field, line) : field]])
    return { number: line, members: Object.fromEntries(given) as Record<string, unknown> }
  })
}

/** JSON, or the text itself, which is refused later. */
function metadataOf (text: string, line: number): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return text
  }
  if (hasDoubled(text, value)) throw wrongCall(`Line ${line} has a field of metadata twice, or too many of them. Give each field once.`)
  return value
}

/** Whether JSON.parse has dropped a member. Text that has too much for a key counts as well: its members are not counted to the end. */
function hasDoubled (text: string, parsed: unknown): boolean {
  const { members, refusal } = outlineOf(text)
  return refusal !== undefined || members !== membersIn(parsed)
}

interface Checks {
  readonly workspace: string
  /** The scope of keys that have none in the file. */
  readonly scope: Scope | undefined
  readonly tokens: TokenFormat
}

/** The keys of all lines. Throws if one of them has a fault that can be told without the database. */
function keysOf (lines: readonly Line[], { workspace, scope, tokens }: Checks): readonly KeyToImport[] {
  const imports = new KeyImports({ store: { import: async () => { throw new Error('Only checks.') } }, tokens, onImported: () => {} })
  const now = Date.now()
  const faults: string[] = []
  const firstLines = new Map<Digest, number>()
  const keys = lines.flatMap((line) => {
    const { key, faults: wrong } = keyOf(line, scope, tokens)
    const found = key === undefined ? wrong : [...imports.faultsOf({ workspaceId: workspace, keys: [key] }).map(({ pointer, detail }) => ({ pointer: pointer.replace('/keys/0', ''), detail })), ...faultsOfTimes(key, now)]
    const digest = digestOf(line)
    const first = digest === undefined ? undefined : firstLines.get(digest)
    faults.push(...found.map(({ pointer, detail }) => `line ${line.number}: ${pointer.slice(1)}: ${detail}`))
    if (first !== undefined) faults.push(`line ${line.number}: ${isGiven(line.members['token']) ? 'token' : 'token_sha256'}: Same token as line ${first}. Give each token once.`)
    else if (digest !== undefined) firstLines.set(digest, line.number)
    return key === undefined ? [] : [key]
  })
  if (faults.length > 0) throw refusal(faults, 'Nothing was imported.')
  return keys
}

function keyOf ({ members }: Line, defaultScope: Scope | undefined, tokens: TokenFormat): { key?: KeyToImport, faults: readonly Fault[] } {
  const { token_sha256: sha256, token, name, scope = defaultScope, hint, owner_id: ownerId, expires_at: expiresAt, created_at: createdAt, metadata } = members
  const faults: Fault[] = []
  const wrong = (member: string, detail: string): void => { faults.push({ pointer: `/${member}`, detail }) }
  for (const member of Object.keys(members)) if (!known.includes(member)) wrong(member, 'Unknown field. Remove it.')
  if (isGiven(sha256) === isGiven(token)) wrong('token_sha256', 'Give either token_sha256 or token.')
  else if (isGiven(sha256) && !digestPattern.test(sha256)) wrong('token_sha256', `Must be ${rules.digest.says}.`)
  else if (isGiven(token) && !tokens.isWellFormed(token)) wrong('token', whyMalformed(token, tokens))
  if (typeof name !== 'string') wrong('name', 'Required.')
  if (!isScope(String(scope))) wrong('scope', 'Must be mcp:read or mcp:write; --scope sets it for keys without a scope.')
  for (const [member, value] of Object.entries({ hint, owner_id: ownerId })) if (value !== undefined && value !== null && typeof value !== 'string') wrong(member, 'Must be a string.')
  if (metadata !== undefined && (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata) || !Object.values(metadata).every((value) => typeof value === 'string'))) wrong('metadata', 'Must be a flat object of strings.')
  const times = { expires_at: timeOf(expiresAt), created_at: timeOf(createdAt) }
  for (const [member, ms] of Object.entries(times)) if (Number.isNaN(ms)) wrong(member, 'Must be a time such as 2027-01-31T12:00:00Z.')
  const digest = digestOf({ members })
  if (faults.length > 0 || digest === undefined) return { faults }
  const key = {
    digest,
    name: name as string,
    scope: scope as Scope,
    hint: (hint as string | undefined) ?? undefined,
    ownerId: ownerId as string | null | undefined,
    expiresAt: expiresAt === null ? null : times.expires_at,
    createdAt: times.created_at,
    metadata: metadata as Record<string, string> | undefined
  }
  return { key, faults }
}

/** Why no request with this text could ever be accepted. Never says what the text is. */
function whyMalformed (token: string, { prefix, accepted }: TokenFormat): string {
  if (accepted.some((beginning) => token.startsWith(beginning))) return 'Must be 16 to 512 of the characters A-Z a-z 0-9 . _ ~ + / -, and then only = may follow.'
  if (!token.startsWith(prefix)) return `Must begin with ${[prefix, ...accepted].join(' or ')}. To accept other tokens, set TOKEN_PREFIXES_ACCEPTED to how they begin, for the service and for this command.`
  return `Must be ${prefix} and 38 letters and digits, of which the last 6 are the checksum: it was cut or changed.`
}

function isGiven (value: unknown): value is string {
  return typeof value === 'string'
}

/** `undefined`: the line does not say what the token is. */
function digestOf ({ members: { token_sha256: sha256, token } }: Pick<Line, 'members'>): Digest | undefined {
  if (isGiven(sha256) === isGiven(token)) return undefined
  if (isGiven(token)) return digestFromBytes(hash('sha256', token, 'buffer'))
  return isGiven(sha256) && digestPattern.test(sha256) ? digestFromText(sha256) : undefined
}

/** The database decides by its own clock. What is wrong by this one too is told before anything is imported. */
function faultsOfTimes ({ expiresAt, createdAt }: KeyToImport, now: number): readonly Fault[] {
  return [
    ...typeof expiresAt === 'number' && expiresAt <= now ? [{ pointer: '/expires_at', detail: 'Must be in the future. Remove expired keys from the import.' }] : [],
    ...createdAt !== undefined && createdAt > now + slackMs ? [{ pointer: '/created_at', detail: 'Must not be in the future.' }] : []
  ]
}

function timeOf (value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined
  return typeof value === 'string' && /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/.test(value) ? Date.parse(value) : NaN
}

// Replaces the places of keys in their part by the lines in the file.
function toldOf ({ pointer, detail }: Fault, lines: readonly Line[]): string {
  const lineAt = (place: string) => `line ${lines[Number(place)]?.number}`
  const [, place, member] = /^\/keys\/(\d+)\/?(.*)$/.exec(pointer) ?? []
  const said = detail.replace(/\/keys\/(\d+)/, (_, other: string) => lineAt(other))
  return place === undefined ? `${pointer}: ${said}` : `${lineAt(place)}: ${member}: ${said}`
}

function retold (error: unknown, lines: readonly Line[], imported: number): unknown {
  if (!(error instanceof KeysError)) return error
  const told = error.faults.map((fault) => toldOf(fault, lines))
  const rest = `${counted(imported, 'key')} of earlier lines ${imported === 1 ? 'was' : 'were'} imported. Correct the input and repeat the import: keys that already exist are not changed.`
  return told.length === 0 ? error : refusal(told, rest, error)
}

function refusal (faults: readonly string[], rest: string, cause?: KeysError): KeysError {
  const more = faults.length > faultsShown ? `\n  and ${faults.length - faultsShown} more` : ''
  return new KeysError(cause?.code ?? 'invalid_request', { detail: `Some keys cannot be imported. ${rest}\n  ${faults.slice(0, faultsShown).join('\n  ')}${more}`, cause })
}

function showProgress (terminal: Terminal, done: number, all: number): void {
  if (terminal.isInteractive !== true) return
  const filled = Math.floor(barWidth * done / all)
  terminal.writeError(`\r[${'#'.repeat(filled)}${' '.repeat(barWidth - filled)}] ${done} of ${all}${done === all ? '\n' : ''}`)
}
