import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { argumentsFor, built, compiledCode } from './built.ts'
import type { Teardowns } from './servers.ts'
import { until } from './until.ts'
import { youngGeneration } from './young-generation.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

interface ChildOptions {
  /** A path from the root of the project: a TypeScript file, or a file of `npm run build`. The joined forms of `dist/main.js` and `dist/cli.js` are used, unless `node` is given. */
  readonly file: string
  readonly args?: readonly string[]
  /** The whole environment except PATH: no setting of this machine reaches the test. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Path of the Node that runs it. Default: the one that runs the test. */
  readonly node?: string
}

/** A real process that runs one file of the project. It is killed when the test ends. */
export class Child {
  readonly process: ChildProcess
  stdout = ''
  stderr = ''
  readonly #ended: Promise<void>

  constructor (t: Teardowns, { file, args = [], env = {}, cwd = root, node }: ChildOptions) {
    const program = node === undefined ? /^dist\/(main|cli)\.js$/.exec(file)?.[1] : undefined
    const own = program === undefined ? argumentsFor(file) : [...youngGeneration, built(program as 'main' | 'cli')]
    this.process = spawn(node ?? process.execPath, [...own, ...args], {
      cwd,
      env: { PATH: process.env['PATH'], TEST_PACKAGES: process.env['TEST_PACKAGES'], ...program === undefined ? {} : compiledCode(), ...env },
      stdio: ['pipe', 'pipe', 'pipe']
    })
    this.process.stdin?.on('error', () => {})
    this.process.stdout?.on('data', (chunk) => { this.stdout += String(chunk) })
    this.process.stderr?.on('data', (chunk) => { this.stderr += String(chunk) })
    this.#ended = new Promise((resolve) => { this.process.once('close', () => { resolve() }) })
    t.teardown(async () => { await this.kill() })
  }

  get output (): string {
    return this.stdout + this.stderr
  }

  /** Resolves to the first match in the output, as soon as there is one. */
  async printed (pattern: RegExp, { timeoutMs = 60_000 } = {}): Promise<RegExpExecArray> {
    let match: RegExpExecArray | null = null
    await until(() => {
      match = pattern.exec(this.output)
      if (match === null) throw new Error(`${String(pattern)} is not in what it printed:\n${this.output}`)
      return true
    }, { timeoutMs, giveUp: () => this.#over() })
    return match as unknown as RegExpExecArray
  }

  say (line: string): void {
    this.process.stdin?.write(`${line}\n`)
  }

  /** Its exit status, or the name of the signal that ended it. */
  async ended (): Promise<number | NodeJS.Signals | null> {
    await this.#ended
    return this.process.exitCode ?? this.process.signalCode
  }

  async kill (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (!this.#over()) this.process.kill(signal)
    await this.#ended
  }

  #over (): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null
  }
}
