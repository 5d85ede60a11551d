import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from './config.ts'

/** The file in which the embedded service stores the management token that it created. */
export function managementTokenPath (dataDir: string): string {
  return join(dataDir, 'management-token')
}

/** The management token of a data folder; creates it the first time. The caller must hold the lock of the folder. */
export function openManagementToken (dataDir: string): string {
  const path = managementTokenPath(dataDir)
  try {
    const token = readFileSync(path, 'utf8').trim()
    if (token.length >= 32) return token
    throw new ConfigError([`${path} does not contain a token of 32 characters or more. Remove the file; the next start creates a new token.`])
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const token = randomBytes(32).toString('hex')
  writeWhole(path, `${token}\n`)
  return token
}

// Sync, then rename: after a crash the file has the whole token, or does not exist.
function writeWhole (path: string, text: string): void {
  const draft = `${path}.draft`
  const file = openSync(draft, 'w', 0o600)
  try {
    writeFileSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(draft, path)
}
