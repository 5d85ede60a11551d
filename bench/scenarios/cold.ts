import { Redis } from 'ioredis'
import type { Teardowns } from '../../test/support/servers.ts'
import type { Bench } from '../bench.ts'
import { bare, flush, plain, plugin, type Keys } from '../contenders.ts'
import { seedRedisKeys } from '../contenders/redis-keys.ts'
import { redisGet } from '../rivals.ts'
import { askEveryKey } from '../support/ask-every-key.ts'
import { comparisonTable, ratioOf } from '../support/compare.ts'
import { interleave } from '../support/interleave.ts'
import { number, type Section, type Table } from '../support/section.ts'
import { seedKeys } from '../support/seed.ts'
import { watched, type Deeds } from '../support/watched.ts'

/** What keys cost that memory does not hold: more of them than fit, asked for in turn, so that each has gone before its turn comes again. */
export async function cold (bench: Bench): Promise<Section> {
  const databaseUrl = await bench.database()
  // Not to be got through in one measurement: a key whose turn comes twice was put into Redis the first time.
  const count = Math.max(bench.count(100_000), bench.options.seconds * mostPerSecond)
  const keys = { databaseUrl, tokensFile: await seedKeys({ databaseUrl, count, dir: bench.dir, workspaceId: 'cold' }) }
  const rivalUrl = bench.redisUrl(5)
  await seedRedisKeys({ redisUrl: rivalUrl, tokensFile: keys.tokensFile })

  const bareOne = { ...bare({ name: 'bare', title: 'bare Fastify', tokensFile: keys.tokensFile }), sequential: true }
  const rival = { ...redisGet({ name: 'redis-get', title: 'a hook with one Redis GET', tokensFile: keys.tokensFile, redisUrl: rivalUrl }), sequential: true }
  const ours = coldPlugins(bench, keys)
  const contenders = [bareOne, rival, ...Object.values(ours).map(({ contender }) => contender)]
  const measurements = await bench.scope(async (t) => {
    await fillRedis(bench, t, { ...keys, count })
    return await interleave(bench, contenders, { warmUpSecondsMax: 3 })
  })
  assertCold(ours)

  return {
    title: 'Keys not in memory',
    about: `${count.toLocaleString('en-US')} keys, asked for in turn, of processes whose memory holds ${bench.count(1000).toLocaleString('en-US')}. ` +
      'In Redis: every key was put there beforehand. Nowhere: Redis is emptied before each measurement, so that every key is read from Postgres, which has it in its buffers, and written to Redis. ' +
      'Where each answer came from is what the processes themselves have counted; a run in which the keys were somewhere else fails. ' +
      '64 connections that send as fast as they are answered.',
    tables: [comparisonTable(contenders, measurements, 'bare'), deedsTable(ours)],
    goals: [
      { what: 'plugin, every key in Redis, beside a hook with one Redis GET', atLeast: 0.9, reached: ratioOf(measurements, 'in-redis', 'redis-get').median },
      { what: 'plugin, every key in Postgres only, beside bare Fastify', atLeast: 0.45, reached: ratioOf(measurements, 'nowhere', 'bare').median }
    ]
  }
}

// More than any of ours can answer without memory.
const mostPerSecond = 30_000

type Ours = ReturnType<typeof coldPlugins>

const filledNumber = 6

function coldPlugins (bench: Bench, keys: Keys) {
  const settings = settingsOf(bench)
  const emptied = bench.redisUrl(7)
  return {
    inRedis: watched(plugin({ name: 'in-redis', title: '**our plugin**, every key in Redis', ...keys, sequential: true, settings, redisUrl: bench.redisUrl(filledNumber) })),
    nowhere: watched(plugin({ name: 'nowhere', title: '**our plugin**, every key nowhere but in Postgres', ...keys, sequential: true, settings, redisUrl: emptied, before: () => flush(emptied) })),
    noRedis: watched(plugin({ name: 'no-redis', title: '**our plugin**, without Redis', ...keys, sequential: true, settings }))
  }
}

/**
 * Again while rows are missing: where Redis is slow for a moment, it is passed by. The process that filled it goes on: only a living member hands
 * the lineage of those rows on, and under another one they are nobody's.
 */
async function fillRedis (bench: Bench, t: Teardowns, { count, ...keys }: Keys & { readonly count: number }): Promise<void> {
  const filling = plugin({ name: 'filling', title: '', ...keys, redisUrl: bench.redisUrl(filledNumber), settings: settingsOf(bench) })
  const { url } = await filling.start(t)
  const redis = new Redis(bench.redisUrl(filledNumber))
  t.teardown(() => { redis.disconnect() })
  for (let passes = 1; await redis.dbsize() < count; passes++) {
    // Rows are written for a share of the time only, so that each pass adds some.
    if (passes > 60) throw new Error('Redis does not take the keys.')
    await askEveryKey({ url, shape: plain, tokensFile: keys.tokensFile, count })
  }
}

function settingsOf (bench: Bench): Record<string, string> {
  return { MEMORY_ENTRIES_MAX: String(bench.count(1000)) }
}

/** A few may be answered from elsewhere: those that were under way when a measurement ended are asked for again in the next. */
function assertCold ({ inRedis, nowhere, noRedis }: Ours): void {
  const least = 0.95
  const atMost = 1 - least
  for (const { deeds: { accepted, memoryHits } } of [inRedis, nowhere, noRedis]) {
    if (memoryHits > atMost * accepted) throw new Error(`Memory answered ${memoryHits} of ${accepted} requests that it should not have known.`)
  }
  if (inRedis.deeds.redisHits < least * inRedis.deeds.accepted) {
    throw new Error(`Redis answered only ${inRedis.deeds.redisHits} of ${inRedis.deeds.accepted} requests, and was too slow for ${inRedis.deeds.redisAway}.`)
  }
  if (nowhere.deeds.redisHits > atMost * nowhere.deeds.accepted) throw new Error(`Redis answered ${nowhere.deeds.redisHits} of ${nowhere.deeds.accepted} requests that it should not have known.`)
}

function deedsTable (ours: Ours): Table {
  return {
    columns: ['of 1,000 verifications', 'answered from memory', 'from Redis', 'Redis too slow', 'keys read from Postgres', 'statements', 'keys in a statement'],
    rows: Object.values(ours).map(({ contender, deeds }) => {
      const perThousand = (name: keyof Deeds) => number(deeds[name] / deeds.accepted * 1000)
      return [
        contender.title,
        perThousand('memoryHits'),
        perThousand('redisHits'),
        perThousand('redisAway'),
        perThousand('digests'),
        perThousand('statements'),
        deeds.statements === 0 ? 'none' : number(deeds.digests / deeds.statements)
      ]
    })
  }
}
