import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, ServerProcess } from '../../test/support/server-process.ts'
import type { Teardowns } from '../../test/support/servers.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** What is measured runs on the first core; what measures it, and the stores, on the second. */
export const servingCore = 0
export const otherCore = 1

/** As `npm start` and the image run the service, so that all that Node runs has the same. */
const asServed = ['--max-semi-space-size=16']

interface ProgramOptions {
  /** For its temporary folder. */
  readonly name: string
  /** `argv` without the part that pins it. `%PORT%` and `%DIR%`, its temporary folder, are replaced. */
  readonly command: readonly string[]
  /** Written into its folder before it starts, by name; with the same replaced. */
  readonly files?: Readonly<Record<string, string>>
  /** The whole environment, beside PATH. `PORT` and `HOST` are added. */
  readonly env?: Readonly<Record<string, string>>
  /** Asked until it answers anything at all. `/`. */
  readonly readyPath?: string
  readonly core?: number
}

/** A process that is measured: pinned to one core, with a port, an environment and a folder of its own. */
export class Program {
  readonly port: number
  readonly #process: ServerProcess

  private constructor (port: number, process: ServerProcess) {
    this.port = port
    this.#process = process
  }

  static async start (t: Teardowns, { name, command, files = {}, env = {}, readyPath = '/', core = servingCore }: ProgramOptions): Promise<Program> {
    const port = await freePort()
    const process_ = new ServerProcess({ name: `bench-${name}` })
    const program = new Program(port, process_)
    t.teardown(() => program.stop())
    const filled = (text: string) => text.replaceAll('%PORT%', String(port)).replaceAll('%DIR%', process_.dir)
    for (const [file, text] of Object.entries(files)) writeFileSync(join(process_.dir, file), filled(text), { mode: 0o600 })
    const words = { ...env, PATH: process.env['PATH'] ?? '', HOST: '127.0.0.1', PORT: String(port), HOME: process_.dir }
    await process_.start({
      command: 'taskset',
      args: ['-c', String(core), 'env', '-i', ...Object.entries(words).map(([key, value]) => `${key}=${value}`), ...command.map(filled)],
      ready: async () => {
        const { status } = await fetch(program.urlOf(readyPath), { signal: AbortSignal.timeout(5000) })
        return status > 0 && status !== 503
      }
    })
    return program
  }

  /** A TypeScript file of `bench/`, run as the tests run theirs; what it imports of the service is the build in `dist/`. */
  static startFile (t: Teardowns, file: string, options: Omit<ProgramOptions, 'command'> & { readonly nodeOptions?: readonly string[] }): Promise<Program> {
    const loader = ['--import', new URL('../../test/support/typescript.js', import.meta.url).href]
    return Program.start(t, {
      ...options,
      env: { NODE_ENV: 'production', ...options.env },
      command: [process.execPath, ...asServed, ...options.nodeOptions ?? [], ...loader, `${root}bench/contenders/${file}`]
    })
  }

  /** The built service, as `npm start` runs it. */
  static startService (t: Teardowns, options: Omit<ProgramOptions, 'command'> & { readonly nodeOptions?: readonly string[] }): Promise<Program> {
    return Program.start(t, {
      // It listens before its database answers.
      readyPath: '/readyz',
      ...options,
      env: { NODE_ENV: 'production', ...options.env },
      command: [process.execPath, ...asServed, ...options.nodeOptions ?? [], `${root}dist/main.js`]
    })
  }

  get pid (): number {
    return this.#process.pid
  }

  /** As a contender that is this one process. */
  get running (): { readonly url: string, readonly pids: readonly number[] } {
    return { url: this.urlOf(''), pids: [this.pid] }
  }

  urlOf (path: string): string {
    return `http://127.0.0.1:${this.port}${path}`
  }

  /** Microseconds that the process, its threads and its children have spent on a core. */
  cpuUs (): number {
    return cpuUsOf(this.pid)
  }

  async stop (): Promise<void> {
    await this.#process.kill()
    await this.#process.remove()
  }
}

/** Microseconds on a core of all threads of a process and of its children. From `schedstat`: the ticks of `stat` are 10 ms. */
export function cpuUsOf (pid: number): number {
  let ns = 0
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    ns += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0])
  }
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return ns / 1000 + (children === '' ? 0 : children.split(' ').reduce((sum, child) => sum + cpuUsOf(Number(child)), 0))
}

/** The part of a process's time, its children's included, that it spent in its own code, and the part that it spent in the kernel. In ticks of 10 ms: for whole rounds. */
export function ticksOf (pid: number): { readonly user: number, readonly system: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  let [user, system] = [Number(fields[11]), Number(fields[12])]
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  for (const child of children === '' ? [] : children.split(' ')) {
    const ticks = ticksOf(Number(child))
    user += ticks.user
    system += ticks.system
  }
  return { user, system }
}
