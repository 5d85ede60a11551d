import type { Bench } from '../bench.ts'
import { bare, forwardAuthShape, plugin, service, verifyShape } from '../contenders.ts'
import { seedRedisKeys } from '../contenders/redis-keys.ts'
import { bearerDrizzle, bearerRedis, betterAuth, nginx, nginxBeforeUs, redisGet } from '../rivals.ts'
import { addedCpuUs, comparisonTable, ratioOf } from '../support/compare.ts'
import { interleave } from '../support/interleave.ts'
import type { Section } from '../support/section.ts'
import { seedKeys } from '../support/seed.ts'

export async function throughput (bench: Bench): Promise<Section> {
  // Only here: loading it takes longer than all the rest of the benchmark.
  const { seedBetterAuthKeys } = await import('../contenders/better-auth-keys.ts')
  const databaseUrl = await bench.database()
  const count = bench.count(1000)
  const tokensFile = await seedKeys({ databaseUrl, count, dir: bench.dir })
  const keys = { databaseUrl, tokensFile }
  const redisUrl = bench.redisUrl(1)
  const inRedis = { tokensFile, redisUrl: bench.redisUrl(11) }
  await seedRedisKeys(inRedis)
  const [withRedis, onPostgres] = [
    { databaseUrl: await bench.emptyDatabase(), redisUrl: bench.redisUrl(12) },
    { databaseUrl: await bench.emptyDatabase() }
  ]

  const contenders = [
    bare({ name: 'bare', title: 'bare Fastify', tokensFile }),
    bare({ name: 'header', title: 'a hook that reads the header', tokensFile, hook: 'header' }),
    plugin({ name: 'plugin', title: '**our plugin**', ...keys, redisUrl }),
    service({ name: 'forward-auth', title: '**our `/forward-auth`**', ...keys, redisUrl, shape: forwardAuthShape }),
    service({ name: 'verify', title: '**our `POST /v1/verify`**', ...keys, redisUrl, shape: verifyShape }),
    plugin({ name: 'cache-off', title: 'our plugin, `CACHE=off`', ...keys, settings: { CACHE: 'off' } }),
    redisGet({ name: 'redis-get', title: 'a hook with one Redis GET', ...inRedis }),
    bearerRedis({ name: 'bearer-redis', title: '@fastify/bearer-auth, one Redis GET', ...inRedis }),
    bearerDrizzle({ name: 'bearer-drizzle', title: '@fastify/bearer-auth, one prepared Drizzle query', ...keys }),
    betterAuth({
      name: 'better-auth-redis',
      title: 'better-auth, keys in Redis, updates deferred',
      tokensFile: await seedBetterAuthKeys({ ...withRedis, count, dir: bench.dir }),
      ...withRedis
    }),
    betterAuth({
      name: 'better-auth-postgres',
      title: 'better-auth, keys in Postgres',
      tokensFile: await seedBetterAuthKeys({ ...onPostgres, count, dir: bench.dir }),
      ...onPostgres
    }),
    nginx({ name: 'nginx', title: 'nginx alone, a `map` of all tokens', tokensFile }),
    nginxBeforeUs({ name: 'nginx-auth-request', title: 'nginx, `auth_request` to our `/forward-auth`', ...keys, redisUrl })
  ]
  const measurements = await interleave(bench, contenders, { awake: true })
  return {
    title: 'Keys in memory',
    about: '1,000 keys, drawn at random; 64 connections that send as fast as they are answered. Every contender but the two that ask for no key has refused tokens of no key before it is measured. ' +
      'better-auth 1.7.5: no rate limit, no logs, ten connections, a user for each key; what it writes at each verification waits until after the answer with Redis, but not on Postgres, where two UPDATEs wait for the disk. ' +
      'nginx and the service that it asks share the core.',
    tables: [comparisonTable(contenders, measurements, 'bare')],
    goals: [
      { what: 'plugin beside the header-reading hook', atLeast: 0.85, reached: ratioOf(measurements, 'plugin', 'header').median },
      { what: 'CPU that the plugin adds to it', atMost: 2.5, unit: ' us', reached: addedCpuUs(measurements, 'plugin', 'header') },
      { what: '`/forward-auth` beside bare Fastify', atLeast: 0.85, reached: ratioOf(measurements, 'forward-auth', 'bare').median },
      { what: '`POST /v1/verify` beside bare Fastify', atLeast: 0.6, reached: ratioOf(measurements, 'verify', 'bare').median },
      { what: 'plugin beside better-auth with Redis', atLeast: 15, reached: ratioOf(measurements, 'plugin', 'better-auth-redis').median },
      { what: 'plugin beside better-auth on Postgres', atLeast: 40, reached: ratioOf(measurements, 'plugin', 'better-auth-postgres').median }
    ]
  }
}
