import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from '../support/until.ts'
import { Connection } from './connection.ts'
import { listensOn } from './socket-owner.ts'

interface ReplicaOptions {
  readonly main: string
  readonly port: number
  readonly settings: Readonly<Record<string, string>>
}

interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly ms: number
}

/** One process of the built service. A guard ends it when this process is gone, however that came about. */
export class Replica {
  readonly port: number
  readonly #dir: string
  readonly #child: ChildProcess
  readonly #guard: ChildProcess

  constructor ({ main, port, settings }: ReplicaOptions) {
    this.port = port
    this.#dir = mkdtempSync(join(tmpdir(), 'navis-torture-replica-'))
    const guard = fileURLToPath(new URL('../support/guard.sh', import.meta.url))
    this.#guard = spawn('/bin/sh', [guard, this.#dir], { detached: true, cwd: '/', stdio: ['pipe', 'ignore', 'ignore'] })
    const log = openSync(join(this.#dir, 'log'), 'a')
    // Nothing of this process's environment: the test runner would have itself loaded into the replica.
    const env = { PATH: process.env['PATH'], HOST: '127.0.0.1', PORT: String(port), ...settings }
    this.#child = spawn(process.execPath, [main], { cwd: this.#dir, env, detached: true, stdio: ['ignore', log, log] })
    closeSync(log)
    writeFileSync(join(this.#dir, 'pid'), String(this.pid))
  }

  get pid (): number {
    return this.#child.pid ?? -1
  }

  get isRunning (): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  get ending (): number | NodeJS.Signals | null {
    return this.#child.exitCode ?? this.#child.signalCode
  }

  /** The last of what it logged. */
  get log (): string {
    return readFileSync(join(this.#dir, 'log'), 'utf8').slice(-4000)
  }

  /** Resolves when it answers `GET /readyz` with 200, and it is this process that does. */
  async started (): Promise<void> {
    await until(async () => await this.#isReady(), { timeoutMs: 30_000, giveUp: () => !this.isRunning }).catch((cause: unknown) => {
      throw new Error(`The replica on port ${this.port} did not start:\n${this.log}`, { cause })
    })
    this.assertOwnsPort()
  }

  assertOwnsPort (): void {
    if (!this.isRunning) throw new Error(`Process ${this.pid}, the replica on port ${this.port}, ended by itself (${this.ending}):\n${this.log}`)
    if (listensOn(this.pid, this.port) === false) throw new Error(`Port ${this.port} is not answered by process ${this.pid} that was started for it.`)
  }

  freeze (): void { process.kill(this.pid, 'SIGSTOP') }
  thaw (): void { process.kill(this.pid, 'SIGCONT') }

  async kill (): Promise<void> {
    if (this.isRunning) this.#child.kill('SIGKILL')
    await this.#ended(10_000)
    this.#forget()
  }

  /** As an orchestrator ends it: SIGTERM, then it has `timeoutMs`. */
  async terminate ({ timeoutMs = 15_000 } = {}): Promise<End> {
    const start = performance.now()
    this.#child.kill('SIGTERM')
    await this.#ended(timeoutMs).catch(() => { this.#child.kill('SIGKILL') })
    await this.#ended(5000)
    const { exitCode: code, signalCode: signal } = this.#child
    this.#forget()
    return { code, signal, ms: performance.now() - start }
  }

  async #ended (timeoutMs: number): Promise<void> {
    await until(() => !this.isRunning, { timeoutMs })
  }

  async #isReady (): Promise<boolean> {
    const connection = await Connection.open(this.port)
    const status = await new Promise<number>((resolve) => {
      const timer = setTimeout(() => { connection.close() }, 1000)
      connection.send('GET /readyz HTTP/1.1\r\nHost: navis\r\n\r\n', (answer) => {
        clearTimeout(timer)
        resolve(answer.status)
      })
    })
    connection.close()
    return status === 200
  }

  // The process id may soon be another's: the guard must not know it any more.
  #forget (): void {
    rmSync(this.#dir, { recursive: true, force: true })
    this.#guard.stdin?.end()
  }
}
