import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { apiKey } from '@better-auth/api-key'
import { betterAuth, type BetterAuthOptions } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'
import { Redis } from 'ioredis'
import { Pool } from 'pg'

interface Stores {
  readonly databaseUrl: string
  /** Where the keys are then, and only there. */
  readonly redisUrl?: string | undefined
}

interface SeedOptions extends Stores {
  readonly count: number
  /** Where the file with the tokens goes. */
  readonly dir: string
}

/**
 * better-auth with its api-key plugin, as fast as its documentation knows how to make it: no rate limit, no logs, no
 * telemetry, updates deferred until after the answer. Version 1.7.5 defers them with Redis only: on Postgres each
 * verification waits for two UPDATEs, whatever `deferUpdates` says (issue 10921 of better-auth). With Redis the keys are
 * in Redis alone, since `fallbackToDatabase` would bring one UPDATE back.
 */
export function openBetterAuth ({ databaseUrl, redisUrl }: Stores) {
  const pool = new Pool({ connectionString: databaseUrl, max: 10 })
  const redis = redisUrl === undefined ? undefined : new Redis(redisUrl)
  const options = {
    baseURL: 'http://127.0.0.1',
    secret: 'a secret of the bench, which nothing here depends on',
    database: pool,
    ...redis === undefined ? {} : { secondaryStorage: storageOf(redis) },
    logger: { disabled: true },
    telemetry: { enabled: false },
    rateLimit: { enabled: false },
    advanced: { backgroundTasks: { handler: (task) => { task.catch(() => {}) } } },
    plugins: [apiKey({ storage: redis === undefined ? 'database' : 'secondary-storage', deferUpdates: true, rateLimit: { enabled: false } })]
  } satisfies BetterAuthOptions
  const auth = betterAuth(options)
  return {
    auth,
    async migrate () {
      await (await getMigrations(options)).runMigrations()
    },
    async close () {
      await pool.end()
      redis?.disconnect()
    }
  }
}

/**
 * Has better-auth make its tables and its keys, and writes the keys into a file, one a line. A user for each key: in
 * Redis better-auth rewrites the list of all keys of the user at each verification, one verification after the other.
 */
export async function seedBetterAuthKeys ({ databaseUrl, redisUrl, count, dir }: SeedOptions): Promise<string> {
  const file = join(dir, `better-auth-${redisUrl === undefined ? 'postgres' : 'redis'}-${count}`)
  const { auth, migrate, close } = openBetterAuth({ databaseUrl, redisUrl })
  try {
    await migrate()
    const { internalAdapter } = await auth.$context
    const tokens: string[] = []
    for (let i = 0; i < count; i++) {
      const user = await internalAdapter.createUser({ name: `Bench ${i}`, email: `bench-${i}@example.com` }, { method: 'admin' })
      const { key } = await auth.api.createApiKey({ body: { userId: user.id } })
      tokens.push(`${key}\n`)
    }
    await writeFile(file, tokens.join(''), { mode: 0o600 })
  } finally {
    await close()
  }
  return file
}

// Its own package for Redis wants ioredis 5, and does the same but for a prefix before each name.
function storageOf (redis: Redis): NonNullable<BetterAuthOptions['secondaryStorage']> {
  return {
    get: (name) => redis.get(name),
    getAndDelete: (name) => redis.getdel(name),
    set: (name, value, ttl) => ttl === undefined || ttl <= 0 ? redis.set(name, value) : redis.setex(name, ttl, value),
    async delete (name) { await redis.del(name) },
    async increment (name, ttl) {
      const value = await redis.incr(name)
      if (value === 1) await redis.expire(name, ttl)
      return value
    }
  }
}
