import { Redis } from 'ioredis'
import { until } from '../test/support/until.ts'
import type { Contender } from './support/contender.ts'
import { keysStats } from './support/keys-stats.ts'
import { Program } from './support/program.ts'
import type { RequestShape } from './support/load.ts'

export const serviceToken = 'bench_service_token_0123456789abcdef'

export const plain: RequestShape = { path: '/' }
export const forwardAuthShape: RequestShape = { path: '/forward-auth?scope=mcp:read' }
export const verifyShape: RequestShape = {
  method: 'POST',
  path: '/v1/verify',
  header: null,
  headers: { authorization: `Bearer ${serviceToken}`, 'content-type': 'application/json' },
  body: '{"token":"TOKEN","scope":"mcp:read"}'
}

/** A database with keys in it, and their tokens. */
export interface Keys {
  readonly databaseUrl: string
  readonly tokensFile: string
}

interface Common extends Keys {
  readonly name: string
  readonly title: string
  readonly sequential?: boolean
}

/** A Fastify application without us; `hook`: what it does with each request, see there; `spinUs`: it does nothing for so many microseconds; `hasIdled`: nothing was done about what that costs (decision 0346). */
export function bare ({ name, title, tokensFile, shape = plain, hook, spinUs = 0, hasIdled = false }: Omit<Common, 'databaseUrl'> & {
  readonly shape?: RequestShape
  readonly hook?: 'header' | 'fields'
  readonly spinUs?: number
  readonly hasIdled?: boolean
}): Contender {
  return {
    name,
    title,
    tokensFile,
    shape,
    authenticates: false,
    start: async (t) => (await Program.startFile(t, 'bare.ts', { name, env: { ...hook === undefined ? {} : { HOOK: hook }, ...spinUs > 0 ? { SPIN_US: String(spinUs) } : {}, ...hasIdled ? { HAS_IDLED: '1' } : {} } })).running
  }
}

/** The same application behind our plugin. */
export function plugin ({ name, title, databaseUrl, tokensFile, sequential = false, redisUrl, settings = {}, before }: Common & {
  readonly redisUrl?: string | undefined
  readonly settings?: Readonly<Record<string, string>>
  readonly before?: () => Promise<void>
}): Contender {
  return {
    name,
    title,
    tokensFile,
    sequential,
    shape: plain,
    async start (t) {
      const program = await Program.startFile(t, 'plugin.ts', {
        name,
        env: { DATABASE_URL: databaseUrl, ...redisUrl === undefined ? {} : { REDIS_URL: redisUrl }, ...settings }
      })
      // Until then it passes Redis by: it would be measured without what it is here to show.
      if (redisUrl !== undefined) await until(async () => (await keysStats(program.running.url)).hasLineage, { timeoutMs: 30_000 })
      return { ...program.running, ...before === undefined ? {} : { before } }
    }
  }
}

/** The whole service, as `npm start` runs it, asked at one of its routes. */
export function service ({ name, title, databaseUrl, tokensFile, redisUrl, shape, settings = {} }: Common & {
  readonly redisUrl: string
  readonly shape: RequestShape
  readonly settings?: Readonly<Record<string, string>>
}): Contender {
  return {
    name,
    title,
    tokensFile,
    shape,
    start: async (t) => (await Program.startService(t, { name, env: serviceSettings({ databaseUrl, redisUrl, settings }) })).running
  }
}

export function serviceSettings ({ databaseUrl, redisUrl, settings = {} }: {
  readonly databaseUrl: string
  readonly redisUrl: string | undefined
  readonly settings?: Readonly<Record<string, string>>
}): Record<string, string> {
  return {
    DATABASE_URL: databaseUrl,
    ...redisUrl === undefined ? {} : { REDIS_URL: redisUrl },
    MANAGEMENT_TOKENS: `bench=${managementToken}`,
    SERVICE_TOKENS: `bench=${serviceToken}`,
    LOG_LEVEL: 'warn',
    ...settings
  }
}

export const managementToken = 'bench_management_token_0123456789abcdef'

/** Empties one of the run's Redis databases. */
export async function flush (redisUrl: string): Promise<void> {
  const redis = new Redis(redisUrl)
  try {
    await redis.flushdb()
  } finally {
    redis.disconnect()
  }
}
