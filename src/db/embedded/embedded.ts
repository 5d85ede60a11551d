import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { makeDataFolder } from './data-folder.ts'
import { isLive, lockDataFolder, readHolder, socketName, type LockHolder } from './data-folder-lock.ts'
import { DurableFiles, syncPath, syncTree } from './durable-files.ts'
import { WireServer } from './wire-server.ts'

// A unix socket's path ends at 108 bytes on Linux and at 104 on others.
const socketPathBytesMax = 100
// The 160 MB that PGlite would take by itself are for larger databases: the file system remembers the rest.
const draftParams = [...PGlite.defaultStartParams, '-c', 'shared_buffers=32MB']
// -F is no fsync at all, and of the ways to have one PGlite hands on this one alone.
const startParams = [...draftParams.filter((param) => param !== '-F'), '-c', 'fsync=on', '-c', 'wal_sync_method=fsync']

export interface EmbeddedPostgres {
  /** For any driver, of this process or another one of the same user. Any number of connections. */
  readonly url: string
  /** Rolls back what is under way, ends every connection and gives the folder back. */
  stop (): Promise<void>
}

/**
 * Postgres inside this process, its data in `dataDir`. What it has confirmed is on the disk, as far as the system's
 * fsync is true. Throws `DataFolderInUse` and `UnfitDataFolder`.
 */
export async function startEmbedded ({ dataDir }: { dataDir: string }): Promise<EmbeddedPostgres> {
  const folder = resolve(dataDir)
  makeDataFolder(folder)
  const socketFolder = makeSocketFolder(folder)
  const server = new WireServer()
  const closeServer = async () => {
    await server.close()
    rmSync(socketFolder, { recursive: true, force: true })
  }
  try {
    // It listens before it has the lock: that is how others see that this process lives.
    await server.listen(join(socketFolder, socketName))
    const lock = await lockDataFolder({ folder: dataDir, path: lockPath(folder), socketFolder })
    try {
      removeSocketOf(lock.predecessor)
      const session = await openSession(folder)
      await server.serve(session)
      return {
        url: urlOf(socketFolder),
        stop: async () => {
          await closeServer()
          await session.close()
          lock.release()
        }
      }
    } catch (error) {
      lock.release()
      throw error
    }
  } catch (error) {
    await closeServer()
    throw error
  }
}

// Made under another name, for a process that ends half-way leaves half a database.
async function openSession (folder: string): Promise<PGlite> {
  const place = join(folder, 'postgres')
  if (!existsSync(place)) {
    const draft = `${place}.draft`
    rmSync(draft, { recursive: true, force: true })
    const session = await PGlite.create({ dataDir: draft, startParams: draftParams })
    await session.close()
    syncTree(draft)
    renameSync(draft, place)
    syncPath(folder)
  }
  return await PGlite.create({ fs: new DurableFiles(place), startParams, relaxedDurability: false })
}

function removeSocketOf (predecessor: LockHolder | undefined): void {
  if (predecessor !== undefined) rmSync(predecessor.socketFolder, { recursive: true, force: true })
}

/** The URL of the embedded Postgres of another process that has `dataDir` right now, if there is one. */
export async function runningEmbeddedUrl (dataDir: string): Promise<string | undefined> {
  const holder = readHolder(lockPath(resolve(dataDir)))
  return holder !== undefined && await isLive(holder) ? urlOf(holder.socketFolder) : undefined
}

function lockPath (folder: string): string {
  return join(folder, 'lock')
}

function urlOf (socketFolder: string): string {
  return `postgres://postgres@localhost/postgres?host=${encodeURIComponent(socketFolder)}`
}

/** Where only this user gets in: whoever reaches the socket is the database's owner. */
function makeSocketFolder (folder: string): string {
  const inside = mkdtempSync(join(folder, 'socket-'))
  if (Buffer.byteLength(join(inside, socketName)) <= socketPathBytesMax) return inside
  rmSync(inside, { recursive: true })
  return mkdtempSync(join(tmpdir(), 'navis-keys-'))
}
