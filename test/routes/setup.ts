import { randomBytes } from 'node:crypto'
import type { InjectOptions } from 'fastify'
import { buildApp } from '../../src/app.ts'
import { readConfig } from '../../src/config/config.ts'
import { freshDatabase, freshRedis, type Teardowns } from '../support/servers.ts'

export const management = randomBytes(24).toString('hex')
export const service = randomBytes(24).toString('hex')

interface SetupOptions {
  readonly databaseUrl?: string
  readonly redis?: boolean
  readonly environment?: Readonly<Record<string, string>>
}

/** The whole service on a database of its own. `logs` grows with every line that it writes. */
export async function setupApp (t: Teardowns, { databaseUrl, redis = false, environment = {} }: SetupOptions = {}) {
  const url = databaseUrl ?? await freshDatabase(t)
  const redisUrl = redis ? await freshRedis(t) : undefined
  const logs: string[] = []
  const config = readConfig({
    DATABASE_URL: url,
    REDIS_URL: redisUrl,
    MANAGEMENT_TOKENS: `ops=${management}`,
    SERVICE_TOKENS: `gateway=${service}`,
    LOG_LEVEL: 'trace',
    ...environment
  })
  const app = await buildApp({ config, logDestination: { write: (line: string) => { logs.push(line) } } })
  t.teardown(() => app.close())
  await app.ready()
  const ask = async (method: string, path: string, options: InjectOptions = {}) => {
    const answer = await app.inject({ method: method as 'GET', url: path, ...options, headers: { authorization: `Bearer ${management}`, ...options.headers } })
    return { status: answer.statusCode, headers: answer.headers, body: answer.body === '' ? undefined : isJson(answer.headers) ? answer.json() : answer.body }
  }
  const create = async (fields: object = {}, workspace = 'acme') =>
    (await ask('POST', `/v1/workspaces/${workspace}/keys`, { payload: { name: 'a key', scope: 'mcp:read', ...fields } })).body
  return { app, url, redisUrl, logs, ask, create }
}

function isJson (headers: Record<string, unknown>): boolean {
  return String(headers['content-type']).includes('json')
}
