import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { RateLimiter } from '../../src/core/rate-limiter.ts'
import { requestRedis } from '../../src/tiers/request-redis.ts'
import { rateChannel, parseRate, RedisSharedRates } from '../../src/tiers/shared-rates.ts'
import { startRedis, until } from '../support/servers.ts'

const prefix = 'navis-keys:test'

/** Limiters on connections of their own to one Redis, as replicas have them. */
async function setup (t: Test, count: number) {
  const server = await startRedis(t)
  const template = new Redis(server.url, { lazyConnect: true })
  const replicas = await Promise.all(Array.from({ length: count }, async () => {
    const redis = requestRedis(template, silentLogger)
    const subscriber = template.duplicate({ lazyConnect: false })
    t.teardown(() => { redis.disconnect(); subscriber.disconnect() })
    await until(() => redis.status === 'ready')
    const limiter = new RateLimiter({ clock: systemClock, shared: new RedisSharedRates({ redis, prefix: () => prefix }), replicas: () => count })
    t.teardown(() => limiter.close())
    await subscriber.subscribe(rateChannel(prefix))
    subscriber.on('message', (_channel, message) => {
      const heard = parseRate(message)
      if (heard !== undefined) limiter.heard(heard.keyId, heard.backlogMs, performance.now())
    })
    return limiter
  }))
  return { server, replicas }
}

const pause = async () => { await new Promise((resolve) => setTimeout(resolve, 1)) }

t.test('three replicas on one Redis: the limit, whoever gets the load, and no more than a chunk each above it', async (t) => {
  const { replicas } = await setup(t, 3)
  const limit = { requests: 300, windowSeconds: 3600 }
  for (const shares of [[1, 1, 1], [18, 1, 1], [1, 0, 0]]) {
    const keyId = randomUUID()
    const turns = shares.flatMap((share, i) => Array<number>(share).fill(i))
    let passed = 0
    for (let i = 0; i < 900; i++) {
      if (replicas[turns[i % turns.length]!]!.take(keyId, limit, performance.now()).isAllowed) passed++
      if (i % 3 === 2) await pause()
    }
    t.ok(passed >= 290 && passed <= 330 + 3, `${passed} passed of 900 against 300, shares ${shares.join(':')}`)
  }
})

t.test('Redis frozen, emptied, killed: nothing waits, nothing that the limit allows is refused, and it is shared again afterwards', async (t) => {
  const { server, replicas: [one, other] } = await setup(t, 2)
  const limit = { requests: 100, windowSeconds: 3600 }
  const uses = async (limiter: RateLimiter, keyId: string, count: number) => {
    let passed = 0
    for (let i = 0; i < count; i++) {
      if (limiter.take(keyId, limit, performance.now()).isAllowed) passed++
      if (i % 10 === 9) await pause()
    }
    return passed
  }
  server.pause()
  const frozen = randomUUID()
  await uses(one!, frozen, 1)
  await until(() => one!.stats().failures > 0)
  t.equal(await uses(one!, frozen, 150), 99, 'frozen: the limit, by this replica alone')
  server.resume()
  const redis = new Redis(server.url)
  t.teardown(() => { redis.disconnect() })
  await redis.flushall()
  await server.kill()
  const killed = randomUUID()
  await uses(one!, killed, 1)
  t.ok(await uses(one!, killed, 150) <= 99)
  await server.start()
  await until(async () => {
    const keyId = randomUUID()
    const before = await uses(one!, keyId, 60)
    await pause()
    const after = await uses(other!, keyId, 100)
    return before + after <= 115
  })
})

t.test('an announcement is read only if it is one', async (t) => {
  const id = randomUUID()
  t.same(parseRate(`${id} 12.500`), { keyId: id, backlogMs: 12.5 })
  for (const text of ['', id, `${id} -1.000`, `${id} 1e9`, `${id} 1.000 x`, `${'x'.repeat(36)} 1.000`, 'x'.repeat(1_000_000)]) t.equal(parseRate(text), undefined)
})
