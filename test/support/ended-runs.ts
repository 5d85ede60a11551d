import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Removes what runs have left that were killed: all in `folder` whose name is `prefix` and the id of a process that has ended, and perhaps more after a hyphen.
 * What belongs to another user stays.
 */
export function removeOfEndedRuns (folder: string, prefix: string): void {
  for (const name of readdirSync(folder).filter((name) => name.startsWith(prefix))) {
    try {
      process.kill(Number(name.slice(prefix.length).split('-')[0]), 0)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') remove(join(folder, name))
    }
  }
}

function remove (path: string): void {
  try {
    rmSync(path, { recursive: true, force: true })
  } catch (error) {
    if (!['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code!)) throw error
  }
}
