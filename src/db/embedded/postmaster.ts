import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { placeArgument } from './cluster.ts'
import { UnfitDataFolder } from './data-folder.ts'
import type { PostgresUser } from './postgres-user.ts'

// A dozen connections on a small database. A commit is on the disk before it is confirmed, which is Postgres' own default.
const serverSettings = {
  listen_addresses: '',
  unix_socket_permissions: '0700',
  max_connections: '60',
  shared_buffers: '32MB',
  io_method: 'sync',
  jit: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_wal_size: '64MB',
  min_wal_size: '32MB',
  max_worker_processes: '0',
  max_parallel_workers: '0',
  max_logical_replication_workers: '0',
  dynamic_shared_memory_type: 'mmap'
}

export const socketName = '.s.PGSQL.5432'
const readyTimeoutMs = 60_000
// How long processes of a killed server may take to notice that it has ended.
const survivorsMs = 10_000
const pollMs = 10
// While other processes still use the database, such as a command that makes a key.
const smartStopMs = 2000
const fastStopMs = 5000

interface PostmasterOptions {
  readonly programs: string
  readonly place: string
  readonly user: PostgresUser | undefined
  /** Where its socket stands. */
  readonly socketFolder: string
}

/** The server's own note of itself in its data folder. */
export interface PostmasterNote {
  readonly pid: number
  readonly socketFolder: string
  readonly isReady: boolean
}

export function readNote (place: string): PostmasterNote | undefined {
  try {
    const lines = readFileSync(join(place, 'postmaster.pid'), 'utf8').split('\n')
    const pid = Number(lines[0])
    return Number.isInteger(pid) && pid > 0 ? { pid, socketFolder: lines[4] ?? '', isReady: lines[7]?.trim() === 'ready' } : undefined
  } catch {
    return undefined
  }
}

/** Whether the server that left this note runs. Its process id may have been given to another program by now, as after a restart of the machine. */
export function isRunning ({ pid }: PostmasterNote): boolean {
  try {
    const [, name, state] = /^\d+ \((.*)\) (\S)/s.exec(readFileSync(`/proc/${pid}/stat`, 'latin1')) ?? []
    return name === 'postgres' && state !== 'Z'
  } catch {
    return !existsSync('/proc/self/stat') && answersSignals(pid)
  }
}

function answersSignals (pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Removes the notes of a server that has ended, where Postgres would take another program, or one that its parent has not waited for, for that server. */
export function removeStaleNotes (place: string, note: PostmasterNote): void {
  if (!answersSignals(note.pid)) return
  for (const name of ['postmaster.pid', `${socketName}.lock`]) rmSync(join(place, name), { force: true })
}

/** A server that another process has started, which has ended: it writes everything to the disk and ends. */
export async function stopOrphan (place: string, note: PostmasterNote): Promise<void> {
  try {
    process.kill(note.pid, 'SIGINT')
  } catch { /* it has ended */ }
  const end = performance.now() + readyTimeoutMs
  while (readNote(place)?.pid === note.pid && isRunning(note)) {
    if (performance.now() > end) throw new UnfitDataFolder(`a Postgres server (process ${note.pid}) uses ${place} and does not end.`)
    await sleep(pollMs * 5)
  }
}

/** One run of the server, a child of this process that ends with it, however that ends. */
export class Postmaster {
  readonly #child: ChildProcess
  readonly #guard: ChildProcess
  readonly #place: string
  readonly ended: Promise<void>

  private constructor (child: ChildProcess, place: string) {
    this.#child = child
    this.#place = place
    this.ended = once(child, 'exit').then(() => { this.#guard.kill('SIGKILL') }, () => {})
    this.#guard = startGuard(child.pid as number)
    child.unref()
  }

  /** Resolves when it takes connections; rejects with what it said last. */
  static async start (options: PostmasterOptions): Promise<Postmaster> {
    const end = performance.now() + survivorsMs
    for (;;) {
      try {
        return await Postmaster.#begin(options)
      } catch (error) {
        // The processes of a server that was killed (kill -9) end by themselves, once they notice.
        if (!(error instanceof UnfitDataFolder) || !/shared memory block/.test(error.message) || performance.now() > end) throw error
        await sleep(pollMs * 5)
      }
    }
  }

  static async #begin ({ programs, place, user, socketFolder }: PostmasterOptions): Promise<Postmaster> {
    const settings = Object.entries({ ...serverSettings, unix_socket_directories: socketFolder === place ? '.' : socketFolder })
    const log = openSync(join(place, 'log'), 'w')
    let child: ChildProcess
    try {
      // In a separate process group: Ctrl-C reaches only the service, which stops the database last.
      child = spawn(join(programs, 'bin', 'postgres'), ['-D', placeArgument(place, user), ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`])], {
        ...user, cwd: place, detached: true, stdio: ['ignore', log, log]
      })
    } finally {
      closeSync(log)
    }
    await once(child, 'spawn').catch((error: NodeJS.ErrnoException) => {
      throw new UnfitDataFolder(`Postgres cannot be started (${error.code ?? 'unknown'}).`)
    })
    const postmaster = new Postmaster(child, place)
    await postmaster.#ready()
    return postmaster
  }

  get pid (): number {
    return this.#child.pid as number
  }

  get isRunning (): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Waits a moment for connections that still use it, then rolls their transactions back. */
  async stop (): Promise<void> {
    for (const { signal, waitMs } of [{ signal: 'SIGTERM', waitMs: smartStopMs }, { signal: 'SIGINT', waitMs: fastStopMs }, { signal: 'SIGQUIT', waitMs: fastStopMs }] as const) {
      if (!this.isRunning) break
      this.#child.kill(signal)
      const giveUp = new AbortController()
      await Promise.race([this.ended, sleep(waitMs, undefined, { signal: giveUp.signal }).catch(() => {})])
      giveUp.abort()
    }
    if (this.isRunning) this.#child.kill('SIGKILL')
    await this.ended
  }

  async #ready (): Promise<void> {
    const end = performance.now() + readyTimeoutMs
    for (;;) {
      const note = readNote(this.#place)
      if (note?.pid === this.pid && note.isReady) return
      if (!this.isRunning) throw new UnfitDataFolder(`Postgres does not start in ${this.#place}: ${lastWords(this.#place)}`)
      if (performance.now() > end) {
        await this.stop()
        throw new UnfitDataFolder(`Postgres is not ready in ${this.#place} after a minute: ${lastWords(this.#place)}`)
      }
      await sleep(pollMs)
    }
  }
}

// A shell that waits for the end of its standard input: the kernel closes that with this process, even after kill -9.
function startGuard (pid: number): ChildProcess {
  const guard = spawn('/bin/sh', ['-c', 'read never; kill -INT "$0"', String(pid)], { detached: true, cwd: '/', stdio: ['pipe', 'ignore', 'ignore'] })
  guard.on('error', () => {})
  guard.stdin?.on('error', () => {})
  guard.unref()
  ;(guard.stdin as unknown as { unref (): void } | null)?.unref()
  return guard
}

/** The last complaint in the server's log, without its time. */
function lastWords (place: string): string {
  const lines = readFileSync(join(place, 'log'), 'utf8').trim().split('\n')
  const complaint = lines.filter((line) => /\b(FATAL|PANIC|ERROR):/.test(line)).at(-1) ?? lines.at(-1) ?? ''
  return complaint.replace(/^.*?\b(FATAL|PANIC|ERROR):\s*/, '') || 'it printed nothing'
}
