import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/** The folder cannot hold a database, or Postgres does not run in it. The message says why and what to do. */
export class UnfitDataFolder extends Error {
  constructor (message: string) {
    super(`DATA_DIR: ${message}`)
    this.name = 'UnfitDataFolder'
  }
}

/** Another process has the folder. */
export class DataFolderInUse extends Error {
  constructor (folder: string, holder: string) {
    super(`The data folder ${folder} is in use by ${holder}. Stop that process first, or set DATA_DIR to another folder. For several replicas, set DATABASE_URL to a Postgres server.`)
    this.name = 'DataFolderInUse'
  }
}

/** Makes the folder, for this user alone, and those above it; throws `UnfitDataFolder`. */
export function makeDataFolder (folder: string): void {
  try {
    makeWithParents(folder)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown'
    throw new UnfitDataFolder(`${folder} is not a folder and cannot be created (${code}). Set DATA_DIR to a folder that this user may write to.`)
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
