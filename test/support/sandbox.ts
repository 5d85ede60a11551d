import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { requireProgram } from './programs.ts'
import { until } from './until.ts'
import type { Teardowns } from './servers.ts'

interface SandboxOptions {
  readonly cwd: string
  /** The whole environment except PATH and HOME. */
  readonly env?: Readonly<Record<string, string>>
  /** Ports inside, each with the Unix socket outside that it is connected to. */
  readonly links?: Readonly<Record<number, string>>
}

export interface Ran {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

const link = `
const { connect, createServer } = require('node:net')
createServer((inside) => {
  const outside = connect(process.argv[3])
  inside.pipe(outside).pipe(inside)
  for (const socket of [inside, outside]) socket.on('error', () => { inside.destroy(); outside.destroy() })
}).listen(Number(process.argv[2]), '127.0.0.1', () => { console.log('listening') })
`

/** Why the commands of a document cannot be run unchanged; `false`: they can. They need a loopback interface with all ports free: a network namespace of Linux, as root. */
export const whyNoSandbox: string | false = process.platform === 'linux' && process.getuid?.() === 0 ? false : 'Commands of a document run as they stand only on Linux, as root: they use ports that others may have.'

/** A shell with its own network and processes, in which every port is free. Everything that was started in it ends with it. */
export class Sandbox {
  readonly #shell: ChildProcess
  readonly #dir: string
  #runs = 0

  private constructor (shell: ChildProcess, dir: string) {
    this.#shell = shell
    this.#dir = dir
  }

  static async start (t: Teardowns, { cwd, env = {}, links = {} }: SandboxOptions): Promise<Sandbox> {
    const dir = mkdtempSync(join(tmpdir(), 'navis-sandbox-'))
    const shell = spawn('unshare', ['--net', '--pid', '--fork', '--kill-child', '--mount-proc', 'bash'], {
      cwd, env: { PATH: `${join(process.execPath, '..')}:${process.env['PATH']}`, HOME: dir, npm_config_update_notifier: 'false', ...env }, stdio: ['pipe', 'ignore', 'ignore']
    })
    t.teardown(async () => {
      if (shell.exitCode === null && shell.signalCode === null) {
        shell.kill('SIGKILL')
        await once(shell, 'exit')
      }
      rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
    })
    const sandbox = new Sandbox(shell, dir)
    await sandbox.run(`${requireProgram('ip')} link set lo up`)
    for (const [port, socket] of Object.entries(links)) await sandbox.#link(port, socket)
    return sandbox
  }

  async #link (port: string, socket: string): Promise<void> {
    const file = join(this.#dir, 'link.cjs')
    writeFileSync(file, link)
    const out = this.begin(`exec node ${file} ${port} '${socket}'`)
    await until(() => readFileSync(`${out}.out`, 'utf8') !== '', { timeoutMs: 60_000 })
  }

  /** Runs commands unchanged in bash. Resolves when they have ended. */
  async run (commands: string, { timeoutMs = 120_000 } = {}): Promise<Ran> {
    const out = this.begin(commands)
    await until(() => existsSync(`${out}.status`), { timeoutMs, giveUp: () => this.#shell.exitCode !== null })
    return { status: Number(readFileSync(`${out}.status`, 'utf8')), stdout: readFileSync(`${out}.out`, 'utf8'), stderr: readFileSync(`${out}.err`, 'utf8') }
  }

  /** Starts commands that keep running. Returns the path of their output files without `.out` and `.err`. */
  begin (commands: string): string {
    const out = join(this.#dir, String(this.#runs++))
    for (const [kind, text] of [['sh', commands], ['out', ''], ['err', '']]) writeFileSync(`${out}.${kind}`, text!)
    this.#shell.stdin!.write(`{ bash ${out}.sh >${out}.out 2>${out}.err </dev/null; echo $? >${out}.tmp; mv ${out}.tmp ${out}.status; } &\n`)
    return out
  }
}

export interface Block {
  readonly heading: string
  readonly language: string
  readonly text: string
}

/** The code blocks of a Markdown document, each with its heading. The indentation of blocks in lists is removed. */
export function blocksOf (document: string): Block[] {
  const blocks: Block[] = []
  let heading = ''
  for (const [, title, indent = '', language = '', text = ''] of readFileSync(document, 'utf8').matchAll(/^#+ (.+)$|^( *)```([a-z]*)\n([^]*?)^ *```$/gm)) {
    if (title !== undefined) heading = title
    else blocks.push({ heading, language, text: text.replace(new RegExp(`^${indent}`, 'gm'), '') })
  }
  return blocks
}
