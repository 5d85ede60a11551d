import type { Bench } from '../bench.ts'
import { bare, forwardAuthShape, plugin, service, verifyShape } from '../contenders.ts'
import { addedCpuUs, comparisonTable, ratioOf } from '../support/compare.ts'
import { interleave } from '../support/interleave.ts'
import type { Section } from '../support/section.ts'
import { seedKeys } from '../support/seed.ts'

export async function throughput (bench: Bench): Promise<Section> {
  const databaseUrl = await bench.database()
  const tokensFile = await seedKeys({ databaseUrl, count: bench.count(1000), dir: bench.dir })
  const keys = { databaseUrl, tokensFile }
  const redisUrl = bench.redisUrl(1)

  const contenders = [
    bare({ name: 'bare', title: 'bare Fastify', tokensFile }),
    bare({ name: 'header', title: 'a hook that reads the header', tokensFile, hook: true }),
    plugin({ name: 'plugin', title: '**our plugin**', ...keys, redisUrl }),
    service({ name: 'forward-auth', title: '**our `/forward-auth`**', ...keys, redisUrl, shape: forwardAuthShape }),
    service({ name: 'verify', title: '**our `POST /v1/verify`**', ...keys, redisUrl, shape: verifyShape }),
    plugin({ name: 'cache-off', title: 'our plugin, `CACHE=off`', ...keys, settings: { CACHE: 'off' } })
  ]
  const measurements = await interleave(bench, contenders)
  return {
    title: 'Keys in memory',
    about: '1,000 keys, drawn at random; 64 connections that send as fast as they are answered.',
    tables: [comparisonTable(contenders, measurements, 'bare')],
    goals: [
      { what: 'plugin beside the header-reading hook', atLeast: 0.85, reached: ratioOf(measurements, 'plugin', 'header').median },
      { what: 'CPU that the plugin adds to it', atMost: 2.5, unit: ' us', reached: addedCpuUs(measurements, 'plugin', 'header') },
      { what: '`/forward-auth` beside bare Fastify', atLeast: 0.8, reached: ratioOf(measurements, 'forward-auth', 'bare').median },
      { what: '`POST /v1/verify` beside bare Fastify', atLeast: 0.55, reached: ratioOf(measurements, 'verify', 'bare').median }
    ]
  }
}
