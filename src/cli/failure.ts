import { CommanderError } from 'commander'
import { KeysError, type Fault } from '../core/errors.ts'

interface Problem {
  readonly type: 'about:blank'
  readonly title: string
  readonly code: string
  readonly detail: string
  readonly errors?: readonly Fault[]
}

/** Standard output does not take what a command prints. */
export class Unwritten extends Error {
  constructor (code: string, lost?: string) {
    super(`The output cannot be written (${code}).${lost === undefined ? '' : ` ${lost}`}`)
    this.name = 'Unwritten'
  }
}

/** 2 for an invalid command line or input, whoever finds the fault; 0 for `--help` and `--version`; 1 for every other failure. */
export function exitCodeOf (error: unknown): number {
  if (error instanceof CommanderError) return isHelp(error) ? 0 : 2
  if (error instanceof KeysError && (error.code === 'invalid_request' || error.code === 'invalid_cursor')) return 2
  return 1
}

export function isHelp (error: unknown): boolean {
  return error instanceof CommanderError && ['commander.helpDisplayed', 'commander.version'].includes(error.code)
}

/** The failure as an RFC 9457 document, without `status`: there was no HTTP response. */
function problemOf (error: unknown): Problem {
  if (error instanceof CommanderError) {
    const detail = error.code === 'commander.help' ? 'A command is missing.' : error.message.replace(/^error: /, '')
    return { type: 'about:blank', title: 'Usage', code: 'invalid_request', detail: `${detail} (navis-keys --help)` }
  }
  if (error instanceof KeysError) {
    const { code, message, faults, extra } = error
    const detail = code === 'unavailable' ? `${message} ${whichDatabase(error)}` : message
    return { type: 'about:blank', title: 'Refused', code, detail, ...faults.length > 0 && { errors: faults }, ...extra }
  }
  return { type: 'about:blank', title: 'Failed', code: 'internal', detail: detailOf(error) }
}

/** The failure as it is written to standard error. */
export function toldOf (error: unknown, asJson: boolean): string {
  return `${asJson ? JSON.stringify(problemOf(error)) : sentenceOf(error)}\n`
}

export function wantsJson (args: readonly string[]): boolean {
  return args.includes('--json')
}

/** The same as text, on one line or a few. */
function sentenceOf (error: unknown): string {
  const { detail, errors = [] } = problemOf(error)
  return ['navis-keys: ' + detail, ...errors.map(({ pointer, detail }) => `  ${pointer}: ${detail}`)].join('\n')
}

// The message of a database error holds the statement's parameters, and that of a URL error the URL with its password.
// Only error codes are printed, and the messages of our own errors, which are written for users.
function detailOf (error: unknown): string {
  if (!(error instanceof Error)) return 'Unexpected failure.'
  if (['ConfigError', 'UnfitDatabase', 'DataFolderInUse', 'UnfitDataFolder', 'NoData', 'Unwritten'].includes(error.name)) return error.message
  return codeIn(error) === undefined
    ? `Unexpected failure (${error.name}).`
    : `The database cannot be used. ${whichDatabase(error)}`
}

function whichDatabase (error: Error): string {
  const code = codeIn(error.cause ?? error)
  return `Check DATABASE_URL or, without it, DATA_DIR${code === undefined ? '' : `; the error was ${code}`}.`
}

function codeIn (error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') return at.code
  }
  return undefined
}
