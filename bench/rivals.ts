import { requireProgram } from '../test/support/programs.ts'
import type { Teardowns } from '../test/support/servers.ts'
import { plain, serviceSettings } from './contenders.ts'
import { nginxAuthRequest, nginxMap } from './contenders/nginx.ts'
import type { Contender } from './support/contender.ts'
import { Program } from './support/program.ts'

interface Common {
  readonly name: string
  readonly title: string
  readonly tokensFile: string
}

/** Fastify and a hook that asks Redis about each request; `seedRedisKeys` puts the keys there. */
export function redisGet ({ name, title, tokensFile, redisUrl }: Common & { readonly redisUrl: string }): Contender {
  return { name, title, tokensFile, shape: plain, start: (t) => startFile(t, 'redis-get.ts', { name, env: { REDIS_URL: redisUrl } }) }
}

/** Fastify and @fastify/bearer-auth, whose `auth` asks Redis about each request. */
export function bearerRedis ({ name, title, tokensFile, redisUrl }: Common & { readonly redisUrl: string }): Contender {
  return { name, title, tokensFile, shape: plain, start: (t) => startFile(t, 'bearer-auth.ts', { name, env: { KEYS: 'redis', REDIS_URL: redisUrl } }) }
}

/** Fastify and @fastify/bearer-auth, whose `auth` asks our own table about each request. */
export function bearerDrizzle ({ name, title, tokensFile, databaseUrl }: Common & { readonly databaseUrl: string }): Contender {
  return { name, title, tokensFile, shape: plain, start: (t) => startFile(t, 'bearer-auth.ts', { name, env: { KEYS: 'postgres', DATABASE_URL: databaseUrl } }) }
}

/** Fastify and better-auth with its api-key plugin; `seedBetterAuthKeys` makes the keys. With `redisUrl`, they are in Redis. */
export function betterAuth ({ name, title, tokensFile, databaseUrl, redisUrl }: Common & {
  readonly databaseUrl: string
  readonly redisUrl?: string
}): Contender {
  return {
    name,
    title,
    tokensFile,
    shape: { path: '/', header: 'x-api-key' },
    start: (t) => startFile(t, 'better-auth.ts', { name, env: { DATABASE_URL: databaseUrl, ...redisUrl === undefined ? {} : { REDIS_URL: redisUrl } } })
  }
}

/** nginx alone, with all tokens in its configuration. */
export function nginx ({ name, title, tokensFile }: Common): Contender {
  return {
    name,
    title,
    tokensFile,
    shape: plain,
    start: async (t) => (await startNginx(t, { name, configuration: await nginxMap(tokensFile) })).running
  }
}

/** nginx that asks our service about each request; both on the core that is measured. */
export function nginxBeforeUs ({ name, title, tokensFile, databaseUrl, redisUrl }: Common & {
  readonly databaseUrl: string
  readonly redisUrl: string
}): Contender {
  return {
    name,
    title,
    tokensFile,
    shape: plain,
    async start (t) {
      const settings = { TRUSTED_PROXIES: '127.0.0.1' }
      const service = await Program.startService(t, { name: `${name}-service`, env: serviceSettings({ databaseUrl, redisUrl, settings }) })
      const program = await startNginx(t, { name, configuration: nginxAuthRequest(service.port) })
      return { ...program.running, pids: [program.pid, service.pid] }
    }
  }
}

async function startFile (t: Teardowns, file: string, options: { readonly name: string, readonly env: Readonly<Record<string, string>> }) {
  return (await Program.startFile(t, file, options)).running
}

function startNginx (t: Teardowns, { name, configuration }: { readonly name: string, readonly configuration: string }): Promise<Program> {
  return Program.start(t, {
    name,
    files: { 'nginx.conf': configuration },
    command: [requireProgram('nginx'), '-p', '%DIR%', '-e', '%DIR%/error.log', '-c', '%DIR%/nginx.conf', '-g', 'daemon off;']
  })
}
