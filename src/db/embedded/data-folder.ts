import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/** No folder can be made there. */
export class UnfitDataFolder extends Error {
  constructor (folder: string, code: string) {
    super(`DATA_DIR: ${folder} is no folder and cannot be made one (${code}). Set DATA_DIR to a folder that this user may write to.`)
    this.name = 'UnfitDataFolder'
  }
}

/** Makes the folder, for this user alone, and those above it; throws `UnfitDataFolder`. */
export function makeDataFolder (folder: string): void {
  try {
    makeWithParents(folder)
  } catch (error) {
    throw new UnfitDataFolder(folder, (error as NodeJS.ErrnoException).code ?? 'unknown')
  }
}

// One by one: with `recursive`, Node never returns from a file system that makes no folders, such as /proc.
function makeWithParents (folder: string): void {
  if (isFolder(folder)) return
  if (dirname(folder) !== folder) makeWithParents(dirname(folder))
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    if (!isFolder(folder)) throw error
  }
}

function isFolder (path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}
