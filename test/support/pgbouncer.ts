import { chmodSync, chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import postgres from 'postgres'
import { requireProgram } from './programs.ts'
import { freePort, ServerProcess } from './server-process.ts'
import type { Teardowns } from './servers.ts'

interface PgBouncerOptions {
  /** Connections to the server. Default: 5. */
  readonly poolSize?: number
  /** Default: `transaction`. */
  readonly mode?: 'transaction' | 'session'
}

/** A real PgBouncer in front of a database. It keeps its port when it is killed and started again. */
export class PgBouncer {
  readonly port: number
  /** The URL of the database through PgBouncer. */
  readonly url: string
  readonly #process: ServerProcess
  readonly #file: string

  private constructor (port: number, url: string, process: ServerProcess) {
    this.port = port
    this.url = url
    this.#process = process
    this.#file = join(process.dir, 'pgbouncer.ini')
  }

  static async start (t: Teardowns, databaseUrl: string, { poolSize = 5, mode = 'transaction' }: PgBouncerOptions = {}): Promise<PgBouncer> {
    const [port, target] = [await freePort(), new URL(databaseUrl)]
    const process = new ServerProcess({ name: 'pgbouncer', unprivileged: true })
    t.teardown(async () => { await process.remove() })
    const server = new PgBouncer(port, Object.assign(new URL(databaseUrl), { port: String(port) }).href, process)
    const database = target.pathname.slice(1)
    writeFileSync(server.#file, `
[databases]
${database} = host=${target.hostname} port=${target.port} user=postgres dbname=${database}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = ${mode}
default_pool_size = ${poolSize}
max_client_conn = 200
; The default, 15 s, is for how long after an outage it does not even try the server again.
server_login_retry = 1
`)
    chmodSync(server.#file, 0o644)
    const { uid, gid } = process.user
    if (uid !== undefined && gid !== undefined) chownSync(server.#file, uid, gid)
    await server.start()
    return server
  }

  async start (): Promise<void> {
    await this.#process.start({ command: requireProgram('pgbouncer'), args: [this.#file], ready: async () => await answers(this.url) })
  }

  async kill (): Promise<void> { await this.#process.kill() }
}

async function answers (url: string): Promise<boolean> {
  const sql = postgres(url, { max: 1, connect_timeout: 5, onnotice: () => {} })
  try {
    return (await sql.unsafe('select 1 as one')).length === 1
  } finally {
    await sql.end({ timeout: 1 })
  }
}
