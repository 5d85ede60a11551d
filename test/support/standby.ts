import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { requireProgram } from './programs.ts'
import { freePort, ServerProcess } from './server-process.ts'
import type { PostgresServer, Teardowns } from './servers.ts'

export interface Standby {
  readonly port: number
  readonly url: string
}

/** A real standby that streams from a primary, over another port if it is given. `name`: what the primary shows of it. */
export async function startStandby (t: Teardowns, primary: PostgresServer, { through = primary.port, name = 'standby' } = {}): Promise<Standby> {
  const server = new ServerProcess({ name: 'standby', unprivileged: true })
  t.teardown(async () => { await server.remove() })
  const [port, data] = [await freePort(), join(server.dir, 'data')]
  const from = `postgres://postgres@127.0.0.1:${through}/postgres?application_name=${name}`
  execFileSync(requireProgram('pg_basebackup'), ['-D', data, '-R', '-X', 'stream', '-c', 'fast', '-d', from], { ...server.user, cwd: server.dir, stdio: 'pipe' })
  const settings = { port: String(port), listen_addresses: '127.0.0.1', unix_socket_directories: server.dir, max_connections: '300', shared_buffers: '64MB', dynamic_shared_memory_type: 'mmap' }
  await server.start({
    command: requireProgram('postgres'),
    args: ['-D', data, ...Object.entries(settings).flatMap(([setting, value]) => ['-c', `${setting}=${value}`])],
    ready: () => readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[7]?.trim() === 'ready'
  })
  return { port, url: `postgres://postgres@127.0.0.1:${port}/postgres` }
}
