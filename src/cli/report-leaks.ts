import { hash } from 'node:crypto'
import type { Config } from '../config/config.ts'
import { digestFromBytes, digestFromText, digestToBytes } from '../core/key-record.ts'
import type { LeakAnswer } from '../core/token-reports.ts'
import { readInput } from './read-input.ts'
import { table } from './table.ts'
import { printJson, type Terminal } from './terminal.ts'
import { wrongCall } from './wrong-call.ts'
import { withKeys } from './with-keys.ts'

export interface LeakFlags {
  readonly url?: string
  readonly source?: string
  readonly json?: true
}

const atATime = 1000

/** Revokes the keys of leaked tokens. The input has one per line: the token or its SHA-256 in hexadecimal. Resolves when every replica refuses them. */
export async function reportLeaks (config: Config, file: string, { url, source, json }: LeakFlags, terminal: Terminal): Promise<void> {
  const lines = (await readInput(file, terminal)).split(/\r?\n/).map((line) => line.trim()).filter((line) => line !== '')
  if (lines.length === 0) throw wrongCall('There is no token in the input: give one token, or its SHA-256, per line.')
  const leaks = lines.map((line) => ({ digest: /^[0-9a-f]{64}$/i.test(line) ? digestFromText(line) : digestFromBytes(hash('sha256', line, 'buffer')), url, source }))
  const answers: LeakAnswer[] = []
  await withKeys(config, { mayBeNew: false }, async ({ tokenReports }) => {
    for (let i = 0; i < leaks.length; i += atATime) answers.push(...await tokenReports.leaked(leaks.slice(i, i + atATime), 'cli'))
  })
  const rows = answers.map(({ digest, isOurs, revoked }) => ({ token_sha256: digestToBytes(digest).toString('hex'), result: isOurs ? 'true_positive' : 'false_positive', revoked }))
  if (json) return printJson(terminal, rows)
  terminal.writeOut(table(['TOKEN SHA-256', 'RESULT', 'REVOKED'], rows.map(({ token_sha256: sha256, result, revoked }) => [sha256, result, revoked ? 'yes' : 'no'])))
}
