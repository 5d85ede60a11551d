import { execFile, execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { makeAnother } from './cluster.ts'
import { requireProgram } from './programs.ts'
import { freePort, ServerProcess } from './server-process.ts'

export interface PostgresOptions {
  /** Server settings beyond the defaults, such as `{ synchronous_commit: 'off' }`. */
  readonly settings?: Readonly<Record<string, string>>
  /** The folder with the server's programs. Default: those of the system. */
  readonly programs?: string | undefined
}

/** A real Postgres with a data folder and a port of its own. The user `guarded` needs a password; `postgres` needs none. */
export class PostgresServer {
  readonly port: number
  readonly #process: ServerProcess
  readonly #settings: Readonly<Record<string, string>>
  readonly #program: string

  private constructor (port: number, process: ServerProcess, { settings = {}, programs }: PostgresOptions) {
    this.port = port
    this.#process = process
    this.#settings = settings
    this.#program = programs === undefined ? requireProgram('postgres') : join(programs, 'postgres')
  }

  static async start (options: PostgresOptions = {}): Promise<PostgresServer> {
    const process = new ServerProcess({ name: 'postgres', unprivileged: true })
    const server = new PostgresServer(await freePort(), process, options)
    try {
      await server.#create()
      await server.start()
    } catch (error) {
      await process.remove()
      throw error
    }
    return server
  }

  /**
   * The data folder of a server that has accepted no connection, for `TEST_CLUSTER`: the data of others is copied from it, in a tenth of the time of initdb.
   * Without the database `template0`, and without the maps of free space and of visible rows, which a server makes again: half of the files.
   */
  static makeCluster (): { readonly data: string, remove (): Promise<void> } {
    const process = new ServerProcess({ name: 'cluster', unprivileged: true })
    const server = new PostgresServer(0, process, {})
    server.#initdb()
    server.#withoutTemplate0()
    const databases = join(server.#data, 'base')
    for (const name of readdirSync(databases, { recursive: true, encoding: 'utf8' })) if (/_(?:fsm|vm)$/.test(name)) rmSync(join(databases, name))
    return { data: server.#data, remove: async () => { await process.remove() } }
  }

  /** A standby that streams from the server on this port. `name`: its `application_name`. */
  static async standbyOf (primaryPort: number, { settings = {}, name = 'standby' }: PostgresOptions & { readonly name?: string } = {}): Promise<PostgresServer> {
    const process = new ServerProcess({ name: 'standby', unprivileged: true })
    const server = new PostgresServer(await freePort(), process, { settings })
    try {
      await promisify(execFile)(requireProgram('pg_basebackup'), ['-D', server.#data, '-R', '-X', 'stream', '-c', 'fast', '--no-sync', '-d', `postgres://postgres@127.0.0.1:${primaryPort}/postgres?application_name=${name}`], { ...process.user, cwd: server.dir, timeout: 120_000 })
      await server.start()
    } catch (error) {
      await process.remove()
      throw error
    }
    return server
  }

  get url (): string {
    return this.urlOf('postgres')
  }

  get pid (): number {
    return this.#process.pid
  }

  get dir (): string {
    return this.#process.dir
  }

  urlOf (database: string): string {
    return `postgres://postgres@127.0.0.1:${this.port}/${database}`
  }

  /** Starts it again on the same port and data, after `stop` or `kill`. */
  async start (): Promise<void> {
    const settings = {
      port: String(this.port),
      listen_addresses: '127.0.0.1',
      unix_socket_directories: this.dir,
      max_connections: '300',
      shared_buffers: '64MB',
      // The default leaves segments in /dev/shm when the server is killed.
      dynamic_shared_memory_type: 'mmap',
      ...this.#settings
    }
    await this.#process.start({
      command: this.#program,
      args: ['-D', this.#data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
      ready: (pid) => {
        const lines = readFileSync(this.#pidFile, 'utf8').split('\n')
        return Number(lines[0]) === pid && lines[7]?.trim() === 'ready'
      }
    })
  }

  async stop (): Promise<void> { await this.#process.stop() }
  async kill (): Promise<void> { await this.#process.kill() }
  pause (): void { this.#process.pause() }
  resume (): void { this.#process.resume() }

  /** From the next `start` on it is a standby without a primary: in recovery and read-only. */
  makeStandby (): void {
    writeFileSync(join(this.#data, 'standby.signal'), '')
  }

  /** Ends the server for good and removes its data. */
  async remove (): Promise<void> {
    if (!this.#process.running) this.#releaseMemory()
    await this.#process.remove()
  }

  get #data (): string {
    return join(this.dir, 'data')
  }

  get #pidFile (): string {
    return join(this.#data, 'postmaster.pid')
  }

  async #create (): Promise<void> {
    const cluster = process.env['TEST_CLUSTER']
    if (cluster !== undefined && this.#program === requireProgram('postgres')) {
      // With its owner: as root, the data belongs to another user.
      await promisify(execFile)('cp', ['-a', cluster, this.#data])
      makeAnother(this.#data)
    } else {
      this.#initdb()
    }
    writeFileSync(join(this.#data, 'pg_hba.conf'), [
      'local all all trust',
      'host all guarded 127.0.0.1/32 scram-sha-256',
      'host all all 127.0.0.1/32 trust',
      'host replication all 127.0.0.1/32 trust',
      ''
    ].join('\n'))
  }

  #initdb (): void {
    const initdb = join(dirname(this.#program), 'initdb')
    const args = ['-D', this.#data, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync']
    execFileSync(initdb, args, { ...this.#process.user, cwd: this.dir, encoding: 'utf8', stdio: 'pipe' })
  }

  #withoutTemplate0 (): void {
    const statements = "update pg_database set datistemplate = false where datname = 'template0'\ndrop database template0\n"
    execFileSync(this.#program, ['--single', '-D', this.#data, 'postgres'], { ...this.#process.user, cwd: this.dir, input: statements, stdio: 'pipe' })
  }

  // A killed server leaves a small segment of System V shared memory, which its successor would remove; there is none.
  #releaseMemory (): void {
    try {
      const id = readFileSync(this.#pidFile, 'utf8').split('\n')[6]?.trim().split(/\s+/)[1]
      if (id !== undefined) execFileSync('ipcrm', ['-m', id], { stdio: 'ignore' })
    } catch { /* stopped in order: nothing was left */ }
  }
}
