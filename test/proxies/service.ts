import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { built } from '../support/built.ts'
import { freePort, ServerProcess } from '../support/server-process.ts'
import { until, type Teardowns } from '../support/servers.ts'

const managementToken = 'proxy-tests-management-token-0123456789'

// What the tester's shell has set would win over the file that is written below.
const settings = ['HOST', 'PORT', 'DATABASE_URL', 'REDIS_URL', 'DATA_DIR', 'MANAGEMENT_TOKENS', 'SERVICE_TOKENS', 'TRUST_WINDOW_MS', 'CACHE', 'ACKS']

export interface CreatedKey {
  readonly id: string
  readonly workspace_id: string
  readonly token: string
}

interface NewKey {
  readonly scope: 'mcp:read' | 'mcp:write'
  readonly owner_id?: string
  /** acme */
  readonly workspace?: string
}

/** The service as people run it: a process of its own, driven through its HTTP API. */
export class Service {
  readonly port: number
  readonly url: string
  readonly #process: ServerProcess

  constructor (process: ServerProcess, port: number) {
    this.#process = process
    this.port = port
    this.url = `http://127.0.0.1:${port}`
  }

  async create ({ workspace = 'acme', ...key }: NewKey): Promise<CreatedKey> {
    const response = await this.#manage('POST', `${workspace}/keys`, { name: 'of a test', ...key })
    if (response.status !== 201) throw new Error(`No key was made: ${response.status} ${await response.text()}`)
    return await response.json() as CreatedKey
  }

  /** Returns when the service says that the key is refused everywhere. */
  async revoke (key: CreatedKey): Promise<void> {
    const response = await this.#manage('DELETE', `${key.workspace_id}/keys/${key.id}`)
    if (response.status !== 204) throw new Error(`The key was not revoked: ${response.status} ${await response.text()}`)
  }

  async stop (): Promise<void> {
    await this.#process.kill()
  }

  async #manage (method: string, path: string, body?: unknown): Promise<Response> {
    return await fetch(`${this.url}/v1/workspaces/${path}`, {
      method,
      headers: { authorization: `Bearer ${managementToken}`, ...body === undefined ? {} : { 'content-type': 'application/json' } },
      ...body === undefined ? {} : { body: JSON.stringify(body) }
    })
  }
}

/** Starts the built service with these settings and waits until it is ready. */
export async function startService (t: Teardowns, env: Readonly<Record<string, string>>): Promise<Service> {
  for (const name of settings) for (const suffix of ['', '_FILE']) delete process.env[name + suffix]
  const server = new ServerProcess({ name: 'service' })
  t.teardown(async () => { await server.remove() })
  const service = new Service(server, await freePort())
  const all = { PORT: String(service.port), MANAGEMENT_TOKENS: `tests=${managementToken}`, LOG_LEVEL: 'warn', ...env }
  const file = join(server.dir, 'env')
  writeFileSync(file, Object.entries(all).map(([name, value]) => `${name}="${value}"\n`).join(''), { mode: 0o600 })
  await server.start({
    command: process.execPath,
    args: [`--env-file=${file}`, built('main')],
    ready: async () => (await fetch(`${service.url}/readyz`)).ok
  })
  await until(async () => (await fetch(`${service.url}/readyz`)).ok)
  return service
}
