import { randomBytes } from 'node:crypto'
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'

/** Who has the data folder. The kernel closes the socket with the process, so it answers exactly while that lives. */
export interface LockHolder {
  readonly pid: number
  /** When the process started, as the kernel counts it: a process id alone may have been given to another by now. */
  readonly startTime: string | undefined
  /** Where it listens, for others on this machine. */
  readonly socketFolder: string
  readonly nonce: string
}

/** Another process has the folder. Two at once would lose each other's writes without a word. */
export class DataFolderInUse extends Error {
  constructor (folder: string, holder: LockHolder) {
    super(`The data folder ${folder} is in use by process ${holder.pid}. Stop that one first, set DATA_DIR to another folder, or run several replicas on a Postgres of their own with DATABASE_URL.`)
    this.name = 'DataFolderInUse'
  }
}

export const socketName = '.s.PGSQL.5432'

interface LockOptions {
  /** For messages. */
  readonly folder: string
  readonly path: string
  /** A folder with a socket on which this process listens already. */
  readonly socketFolder: string
}

export interface DataFolderLock {
  /** Whose lock was taken over, if that process had come to a sudden end. */
  readonly predecessor: LockHolder | undefined
  release (): void
}

/** Takes the lock of a data folder, from a dead process if need be; throws `DataFolderInUse` when a live one has it. */
export async function lockDataFolder ({ folder, path, socketFolder }: LockOptions): Promise<DataFolderLock> {
  const self: LockHolder = { pid: process.pid, startTime: startTimeOf(process.pid), socketFolder, nonce: randomBytes(8).toString('hex') }
  const predecessor = await take(path, { folder, self })
  return {
    predecessor,
    release: () => {
      if (readHolder(path)?.nonce === self.nonce) rmSync(path, { force: true })
    }
  }
}

interface TakeOptions {
  readonly folder: string
  readonly self: LockHolder
}

async function take (path: string, { folder, self }: TakeOptions): Promise<LockHolder | undefined> {
  for (;;) {
    if (createWhole(path, self)) return undefined
    const holder = readHolder(path)
    if (holder === undefined) continue
    if (await isLive(holder)) throw new DataFolderInUse(folder, holder)
    // Of all who see this dead lock one may replace it: the name of the claim belongs to the dead lock, so whoever
    // comes late finds either the claim or, behind it, another lock than the one that was seen.
    const claim = `${path}.after-${holder.nonce}`
    await take(claim, { folder, self })
    try {
      if (readHolder(path)?.nonce !== holder.nonce) continue
      renameSync(writeDraft(path, self), path)
      return holder
    } finally {
      rmSync(claim, { force: true })
    }
  }
}

// A link appears with its contents, and only where nothing was: no reader finds half a lock.
function createWhole (path: string, self: LockHolder): boolean {
  const draft = writeDraft(path, self)
  try {
    linkSync(draft, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    rmSync(draft, { force: true })
  }
}

function writeDraft (path: string, self: LockHolder): string {
  const draft = `${path}.draft-${self.nonce}`
  writeFileSync(draft, JSON.stringify(self), { mode: 0o600, flush: true })
  return draft
}

export function readHolder (path: string): LockHolder | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as LockHolder
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

export async function isLive (holder: LockHolder): Promise<boolean> {
  return await listens(holder.socketFolder) || (holder.startTime !== undefined && startTimeOf(holder.pid) === holder.startTime)
}

async function listens (socketFolder: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(`${socketFolder}/${socketName}`)
    const say = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', () => { say(true) })
    // EAGAIN: so many wait there already that no more are let in.
    socket.once('error', (error: NodeJS.ErrnoException) => { say(error.code === 'EAGAIN') })
  })
}

/** `undefined` where the kernel does not tell; a zombie has stopped being anybody. */
function startTimeOf (pid: number): string | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    const [state, ...fields] = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? []
    return state === 'Z' ? undefined : `${boot}/${fields[18]}`
  } catch {
    return undefined
  }
}
