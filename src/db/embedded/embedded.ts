import { chownSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { assertVersion, makeCluster, removeDrafts } from './cluster.ts'
import { DataFolderInUse, makeDataFolder, UnfitDataFolder } from './data-folder.ts'
import { becomeOwner, type Ownership } from './owner.ts'
import { choosePostgresUser, giveTo, type PostgresUser } from './postgres-user.ts'
import { isRunning, Postmaster, readNote, removeStaleNotes, socketName, stopOrphan, type PostmasterNote } from './postmaster.ts'
import { findPrograms } from './programs.ts'

const version = '18'
// A unix socket's path ends at 108 bytes on Linux and at 104 on others.
const socketPathBytesMax = 100
const retryMs = 50
const startTimeoutMs = 60_000
// A process that has just started a server, or started it again, takes a moment to say that it owns it.
const ownerPauseMs = 1000
// The server takes a moment to notice that a process has ended which owned it, as by kill -9.
const holderPauseMs = 200
const restartPauseMs = 500

export interface EmbeddedPostgres {
  /** For any driver, of this process or another one of the same user. */
  readonly url: string
  /** Rolls back what is under way, ends every connection and gives the folder back. */
  stop (): Promise<void>
}

/**
 * The Postgres that comes with the service, in processes of its own, its data in `dataDir`. What it has confirmed is on the disk, as far as the
 * system's fsync is true. It is started again if it comes to a sudden end. Throws `DataFolderInUse` and `UnfitDataFolder`.
 */
export async function startEmbedded ({ dataDir }: { dataDir: string }): Promise<EmbeddedPostgres> {
  const folder = resolve(dataDir)
  makeDataFolder(folder)
  const place = placeIn(folder)
  const user = choosePostgresUser(place, folder)
  const programs = findPrograms(user, folder)
  await makeCluster({ programs, place, user })
  assertVersion(place, version)
  const socketFolder = chooseSocketFolder(place, user)
  const start = () => Postmaster.start({ programs, place, user, socketFolder })
  try {
    const { postmaster, ownership } = await startAsOwner({ dataDir, place, user, start })
    await removeDrafts(folder)
    const supervised = new Supervised({ postmaster, ownership, start })
    return {
      url: urlOf(socketFolder),
      stop: async () => {
        await supervised.stop()
        removeSocketFolder(socketFolder, place)
      }
    }
  } catch (error) {
    removeSocketFolder(socketFolder, place)
    throw error
  }
}

/** The URL of the embedded Postgres of another process that has `dataDir` right now, if there is one. */
export async function runningEmbeddedUrl (dataDir: string): Promise<string | undefined> {
  const place = placeIn(resolve(dataDir))
  const note = readNote(place)
  return note !== undefined && note.isReady && isRunning(note) ? urlOf(socketFolderOf(note, place)) : undefined
}

interface StartOptions {
  readonly dataDir: string
  readonly place: string
  readonly user: PostgresUser | undefined
  readonly start: () => Promise<Postmaster>
}

/** Postgres lets only one server use its files; a process that finds a running server asks it which process owns it. */
async function startAsOwner ({ dataDir, place, user, start }: StartOptions): Promise<{ postmaster: Postmaster, ownership: Ownership }> {
  const end = performance.now() + startTimeoutMs
  for (;;) {
    const note = readNote(place)
    if (note !== undefined && isRunning(note)) {
      await removeOrphan({ dataDir, place, note })
    } else {
      if (note !== undefined) removeStaleNotes(place, note)
      giveTo(user, place)
      const postmaster = await start().catch((error: unknown) => {
        // Another process may have been quicker, or processes of a server that was killed have not ended yet.
        if (readNote(place) === undefined || performance.now() > end) throw error
        return undefined
      })
      const owned = postmaster && await becomeOwner(urlOf(socketFolderOf(readNote(place), place))).catch(() => undefined)
      if (postmaster !== undefined && owned !== undefined && 'close' in owned) return { postmaster, ownership: owned }
      await postmaster?.stop()
    }
    if (performance.now() > end) throw new UnfitDataFolder(`Postgres cannot be started in ${place}.`)
    await sleep(retryMs)
  }
}

/** Ends a server whose owner has ended without it; throws `DataFolderInUse` when the owner lives. */
async function removeOrphan ({ dataDir, place, note }: { dataDir: string, place: string, note: PostmasterNote }): Promise<void> {
  const url = urlOf(socketFolderOf(note, place))
  for (let timesHeld = 0, timesFree = 0; ;) {
    let owned
    try {
      owned = note.isReady ? await becomeOwner(url) : undefined
    } catch { /* it is starting, or stopping */ }
    if (owned === undefined) return
    if ('holder' in owned) {
      if (++timesHeld > 1) throw new DataFolderInUse(dataDir, owned.holder)
      await sleep(holderPauseMs)
    } else {
      await owned.close()
      if (++timesFree > 1) return await stopOrphan(place, note)
      await sleep(ownerPauseMs)
    }
    if (readNote(place)?.pid !== note.pid) return
  }
}

interface SupervisedOptions {
  readonly postmaster: Postmaster
  readonly ownership: Ownership
  readonly start: () => Promise<Postmaster>
}

/** Starts the server again when it ended unexpectedly, for example because the kernel killed it for lack of memory. */
class Supervised {
  readonly #start: () => Promise<Postmaster>
  readonly #ownership: Ownership
  #postmaster: Postmaster
  #isStopping = false

  constructor ({ postmaster, ownership, start }: SupervisedOptions) {
    this.#postmaster = postmaster
    this.#ownership = ownership
    this.#start = start
    this.#watch()
  }

  async stop (): Promise<void> {
    this.#isStopping = true
    await this.#ownership.close()
    await this.#postmaster.stop()
  }

  #watch (): void {
    this.#postmaster.ended.then(async () => {
      while (!this.#isStopping) {
        await sleep(restartPauseMs)
        try {
          if (!this.#isStopping) this.#postmaster = await this.#start()
          this.#watch()
          return
        } catch { /* again */ }
      }
    }).catch(() => {})
  }
}

function placeIn (folder: string): string {
  return join(folder, 'postgres')
}

function urlOf (socketFolder: string): string {
  return `postgres://postgres@localhost/postgres?host=${encodeURIComponent(socketFolder)}`
}

// The server's folder is for its user alone, so the socket in it is as well. The server notes it as the folder that it runs in.
function socketFolderOf (note: PostmasterNote | undefined, place: string): string {
  return note === undefined || note.socketFolder === '.' || note.socketFolder === '' ? place : note.socketFolder
}

function chooseSocketFolder (place: string, user: PostgresUser | undefined): string {
  if (Buffer.byteLength(join(place, socketName)) <= socketPathBytesMax) return place
  const folder = mkdtempSync(join(realpathSync(tmpdir()), 'navis-keys-'))
  if (user !== undefined) chownSync(folder, user.uid, user.gid)
  return folder
}

function removeSocketFolder (socketFolder: string, place: string): void {
  if (socketFolder !== place) rmSync(socketFolder, { recursive: true, force: true })
}
