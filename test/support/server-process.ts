import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { chownSync, closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from './until.ts'

interface ServerProcessOptions {
  /** The beginning of the name of its temporary folder. */
  readonly name: string
  /** Run as an unprivileged user when the tests run as root: Postgres refuses to run as root. */
  readonly unprivileged?: boolean
}

interface Program {
  readonly command: string
  readonly args: readonly string[]
  /** Whether it accepts connections. */
  ready (pid: number): boolean | Promise<boolean>
}

/** A real server in its own temporary folder. It can be killed, stopped, frozen and started again. */
export class ServerProcess {
  readonly dir: string
  readonly user: { uid?: number, gid?: number }
  readonly #guard: ChildProcess
  #program: Program | undefined
  #child: ChildProcess | undefined

  constructor ({ name, unprivileged = false }: ServerProcessOptions) {
    this.dir = mkdtempSync(join(tmpdir(), `navis-test-${name}-`))
    this.user = unprivileged ? unprivilegedUser() : {}
    if (this.user.uid !== undefined && this.user.gid !== undefined) chownSync(this.dir, this.user.uid, this.user.gid)
    this.#guard = startGuard(this.dir)
  }

  get pid (): number {
    const pid = this.#child?.pid
    if (pid === undefined) throw new Error('The server is not running.')
    return pid
  }

  get running (): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  async start (program = this.#program): Promise<void> {
    if (program === undefined) throw new Error('Nothing to start.')
    if (this.running) throw new Error('The server is running already.')
    this.#program = program
    const log = openSync(join(this.dir, 'log'), 'a')
    const child = spawn(program.command, program.args, { ...this.user, cwd: this.dir, detached: true, stdio: ['ignore', log, log] })
    closeSync(log)
    child.unref()
    this.#child = child
    writeFileSync(join(this.dir, 'pid'), String(child.pid))
    await until(async () => {
      if (!this.running) throw new Error(`${program.command} ended at once:\n${readFileSync(join(this.dir, 'log'), 'utf8').slice(-2000)}`)
      return await program.ready(this.pid)
    }, { timeoutMs: 30_000, giveUp: () => !this.running })
  }

  /** Shuts it down in order, as an administrator would. */
  async stop (): Promise<void> {
    await this.#end('SIGINT', 15_000)
  }

  /** Kills the server and all its children at once, like a power failure. */
  async kill (): Promise<void> {
    if (!this.running) return
    const pids = this.#freeze()
    this.#signal(pids, 'SIGKILL')
    await this.#gone()
    await until(() => pids.every((pid) => !isAlive(pid)))
  }

  /** Freezes the server and all its children: connections stay open, nothing is answered. */
  pause (): void {
    this.#freeze()
  }

  resume (): void {
    this.#signal([...childrenOf(this.pid), this.pid], 'SIGCONT')
  }

  /** Ends the server for good and removes its folder. */
  async remove (): Promise<void> {
    if (this.running) {
      this.resume()
      await this.#end('SIGQUIT', 5_000)
    }
    rmSync(join(this.dir, 'pid'), { force: true })
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 5 })
    this.#guard.stdin?.end()
  }

  // Freeze the parent first: the list of its children cannot grow after that.
  #freeze (): number[] {
    this.#signal([this.pid], 'SIGSTOP')
    const children = childrenOf(this.pid)
    this.#signal(children, 'SIGSTOP')
    return [this.pid, ...children]
  }

  async #end (signal: NodeJS.Signals, timeoutMs: number): Promise<void> {
    if (!this.running) return
    this.#signal([this.pid], signal)
    try {
      await this.#gone(timeoutMs)
    } catch {
      await this.kill()
    }
  }

  async #gone (timeoutMs = 10_000): Promise<void> {
    await until(() => !this.running, { timeoutMs })
  }

  #signal (pids: readonly number[], signal: NodeJS.Signals): void {
    for (const pid of pids) {
      try {
        process.kill(pid, signal)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    }
  }
}

// Each backend of Postgres leads a process group of its own, so a signal to the server's group would miss them.
function childrenOf (pid: number): number[] {
  let text
  try {
    text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  } catch {
    const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' })
    text = table.split('\n').map((line) => line.trim().split(/\s+/)).filter(([, parent]) => Number(parent) === pid).map(([child]) => child).join(' ')
  }
  return text.split(' ').filter((word) => word.trim() !== '').map(Number)
}

// A zombie counts as dead: its memory and sockets are released.
function isAlive (pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ')
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' && !existsSync('/proc/self/stat')
  }
}

let unprivileged: { uid?: number, gid?: number } | undefined

function unprivilegedUser (): { uid?: number, gid?: number } {
  unprivileged ??= findUnprivilegedUser()
  return unprivileged
}

function findUnprivilegedUser (): { uid?: number, gid?: number } {
  if (process.getuid?.() !== 0) return {}
  for (const name of ['postgres', 'nobody']) {
    try {
      const [uid, gid] = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })))
      if (uid !== undefined && gid !== undefined) return { uid, gid }
    } catch { /* no such user; try the next */ }
  }
  throw new Error('The tests run as root, and there is neither a user "postgres" nor "nobody" to run Postgres as.')
}

function startGuard (dir: string): ChildProcess {
  const script = fileURLToPath(new URL('guard.sh', import.meta.url))
  const guard = spawn('/bin/sh', [script, dir], { detached: true, cwd: '/', stdio: ['pipe', 'ignore', 'ignore'] })
  guard.unref()
  const input = guard.stdin as typeof guard.stdin & { unref (): void }
  input.unref()
  return guard
}

/**
 * A free loopback port outside the range from which the system takes ports for outgoing connections, so that a server can come back to it. No other test of
 * the same run is given it.
 * `busOffset`: the port that lies so far above is free as well, as a node of a Redis Cluster needs it.
 */
export async function freePort ({ busOffset = 0 } = {}): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * (20_000 - busOffset))
    if (isTaken(port) || (busOffset > 0 && isTaken(port + busOffset))) continue
    if (await isFree(port) && (busOffset === 0 || await isFree(port + busOffset))) return port
  }
}

// Between the choice of a port and the start of a server that listens on it, and while that server is away, another test could choose it.
function isTaken (port: number): boolean {
  const run = process.env['TEST_JOINED']
  if (run === undefined) return false
  try {
    mkdirSync(join(run, 'ports'), { recursive: true })
    writeFileSync(join(run, 'ports', String(port)), '', { flag: 'wx' })
    return false
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return true
    throw error
  }
}

async function isFree (port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => { resolve(false) })
    server.listen(port, '127.0.0.1', () => { server.close(() => { resolve(true) }) })
  })
}
