import { execFile } from 'node:child_process'
import { chownSync, closeSync, existsSync, fsyncSync, mkdtempSync, openSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { UnfitDataFolder } from './data-folder.ts'
import type { PostgresUser } from './postgres-user.ts'

// A second in all.
const removalsMax = 20
const removalPauseMs = 50
const draftPrefix = 'postgres.draft-'

interface ClusterOptions {
  readonly programs: string
  /** Where its files are to be. */
  readonly place: string
  readonly user: PostgresUser | undefined
}

/**
 * Makes the files of a database where there are none. Under another name first: a process that ends half-way leaves a draft, and of two at once
 * one gets the name.
 */
export async function makeCluster ({ programs, place, user }: ClusterOptions): Promise<void> {
  if (existsSync(place)) return
  const folder = dirname(place)
  const draft = mkdtempSync(join(folder, draftPrefix))
  try {
    if (user !== undefined) chownSync(draft, user.uid, user.gid)
    await initdb({ programs, draft, user })
    renameSync(draft, place)
    syncFolder(folder)
  } catch (error) {
    await removeDraft(draft)
    if (existsSync(place)) return
    if (error instanceof UnfitDataFolder) throw error
    throw new UnfitDataFolder(`${folder} cannot hold a database (${(error as NodeJS.ErrnoException).code ?? 'unknown'}). Check its rights and its disk.`)
  }
}

/** Removes what killed processes have left. Only for the owner of the folder: another process that makes a draft beside an owner finds its name taken. */
export async function removeDrafts (folder: string): Promise<void> {
  for (const name of readdirSync(folder)) if (name.startsWith(draftPrefix)) await removeDraft(join(folder, name))
}

/** Node takes a folder for removed when another process removes a file of it meanwhile, as initdb does whose parent has been killed. */
async function removeDraft (draft: string): Promise<void> {
  for (let tries = 0; existsSync(draft) && tries < removalsMax; tries++) {
    if (tries > 0) await sleep(removalPauseMs)
    rmSync(draft, { recursive: true, force: true, maxRetries: 3 })
  }
}

/**
 * The files as `user` names them. Started by root, Postgres runs as a user who may not look into the folders above, such as root's home; the
 * folder that it was started in is reachable by this name all the same.
 */
export function placeArgument (place: string, user: PostgresUser | undefined): string {
  return user !== undefined && existsSync('/proc/self/cwd') ? '/proc/self/cwd' : place
}

/** Throws for files that another major version of Postgres has made. */
export function assertVersion (place: string, version: string): void {
  let found = ''
  try {
    found = readFileSync(join(place, 'PG_VERSION'), 'utf8').trim()
  } catch { /* no files of Postgres */ }
  if (found !== version) {
    throw new UnfitDataFolder(`${place} contains ${found === '' ? 'no database' : `a database of PostgreSQL ${found}`}, but this service comes with PostgreSQL ${version}. Move that folder away, or set DATA_DIR to another folder.`)
  }
}

async function initdb ({ programs, draft, user }: { programs: string, draft: string, user: PostgresUser | undefined }): Promise<void> {
  const args = [
    '-D', placeArgument(draft, user), '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8',
    // One that is killed meanwhile leaves nothing outside the folder.
    '--set', 'dynamic_shared_memory_type=mmap',
    '--wal-segsize=4', '--no-instructions'
  ]
  await new Promise<void>((resolve, reject) => {
    execFile(join(programs, 'bin', 'initdb'), args, { ...user, cwd: draft, encoding: 'utf8' }, (error, _stdout, stderr) => {
      const complaint = stderr.split('\n').filter((line) => /error|FATAL|PANIC/.test(line)).at(-1)?.replace(/^.*?(error|FATAL|PANIC):\s*/, '')
      if (error === null) resolve()
      else reject(new UnfitDataFolder(`no database can be made in ${dirname(draft)}: ${complaint ?? error.code ?? 'no reason given'}. Check its disk and its rights.`))
    })
  })
}

function syncFolder (path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
