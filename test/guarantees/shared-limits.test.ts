import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { ask, ready, secret, startMain } from '../process/service.ts'
import { freePort } from '../support/server-process.ts'
import { freshDatabase, startRedis, until, type RedisServer } from '../support/servers.ts'

t.setTimeout(240_000)

/** Nothing flows into it while a test runs. */
const limit = { requests: 60, windowSeconds: 86_400 }

interface Made { readonly id: string, readonly token: string }

const redis = await startRedis(t)
const databaseUrl = await freshDatabase(t)
const ports: number[] = []
const statuses = new Map<number, number>()

/** Until there are so many replicas, which share one Redis, and each knows it. */
async function growTo (count: number): Promise<void> {
  while (ports.length < count) ports.push(await start())
  await Promise.all(ports.map(ready))
  // Each has to have heard of the others: the share of a replica is what the limit is divided into.
  for (const port of ports) await until(async () => new RegExp(`^navis_keys_window_members ${count}$`, 'm').test(await metrics(port)))
  // And to know of which history the database is: what they share in Redis has its name.
  for (const port of ports) await until(async () => (await metrics(port)).includes('navis_keys_window_has_lineage 1\n'))
}

async function start (): Promise<number> {
  const port = await freePort()
  startMain(t, { env: { PORT: String(port), DATABASE_URL: databaseUrl, REDIS_URL: redis.url, MANAGEMENT_TOKENS: `ops=${secret}`, LOG_LEVEL: 'error' } })
  return port
}

async function metrics (port: number): Promise<string> {
  return (await ask(`http://127.0.0.1:${port}/metrics`)).body
}

/** Settlements that Redis did not answer in time: a replica that has had one decides alone for a while, as it should. */
async function failures (): Promise<number> {
  const texts = await Promise.all(ports.map(metrics))
  return texts.reduce((sum, text) => sum + Number(/^navis_keys_rate_limit_settlements_total\{outcome="failed"\} (\d+)$/m.exec(text)?.[1]), 0)
}

async function create (): Promise<Made> {
  return JSON.parse((await ask(`http://127.0.0.1:${ports[0]}/v1/workspaces/acme/keys`, {
    method: 'POST', body: JSON.stringify({ name: 'n', scope: 'mcp:read', rate_limit: { requests: limit.requests, window_seconds: limit.windowSeconds } })
  })).body)
}

/** Whether one use at this replica passed. */
async function use (at: number, { token }: Made): Promise<boolean> {
  const { status } = await ask(`http://127.0.0.1:${ports[at]}/forward-auth`, { headers: { authorization: `Bearer ${token}` } })
  statuses.set(status, (statuses.get(status) ?? 0) + 1)
  return status === 200
}

/** How many of so many uses pass, the replicas by turns. While fewer than `least` have, it goes on: on a busy machine a replica beyond its share waits long for each chunk. */
async function usesOf (turns: readonly number[], uses: number, key: Made, least = 0): Promise<number> {
  const latest = performance.now() + 20_000
  let passed = 0
  for (let i = 0; i < uses || (passed < least && performance.now() < latest); i++) if (await use(turns[i % turns.length]!, key)) passed++
  return passed
}

/** What one replica takes of the shared limit at a time when its own share of it is used up. */
const chunkOf = (count: number) => Math.max(1, Math.floor(Math.ceil(limit.requests / count) / 10))
const boundOf = (count: number) => Math.floor(1.1 * limit.requests) + chunkOf(count)

/** Every answer is one of these: a wait for Redis would be a 503. */
function assertDecided (t: Test): void {
  t.strictSame([...statuses.keys()].filter((status) => status !== 200 && status !== 429), [])
}

t.test('a limit goes on where another replica joins the only one, from its first request on', async (t) => {
  await growTo(1)
  const half = limit.requests / 2
  const key = await create()
  t.equal(await usesOf([0], half, key), half)
  // It is ready a second before it may believe anything that it finds in Redis.
  ports.push(await start())
  await ready(ports[1]!)
  const left = await usesOf([1], half, key)
  const beyond = await usesOf([1], limit.requests, key)
  t.equal(left, half, 'what the first one has left')
  t.ok(beyond <= limit.requests / 10, `and ${beyond} more`)
  assertDecided(t)
})

// The third replica joins the two of before.
for (const count of [2, 3]) {
  const [bound, chunks] = [boundOf(count), count * chunkOf(count)]

  t.test(`${count} replicas share one limit: an even load gets all of it, an uneven one no more than a tenth and a chunk above it`, async (t) => {
    await growTo(count)
    // On a busy machine even a Redis on loopback may take longer than 75 ms; then another limit may be let through at each replica, until it has found out that Redis is there.
    // One of before this test may still have its effect: a scrape may be a second old, and a replica that passes Redis by looks for it twice a second.
    await new Promise((resolve) => { setTimeout(resolve, 1500) })
    let excused = await failures()
    const passedOf = async (turns: readonly number[], asked: number, least: number): Promise<number> => {
      // Where Redis gets no processor time for less than that, nothing tells of it: a fault of ours is there at the third try as well. What late answers may do is held by test/core/rate-limiter.test.ts.
      for (let [tries, unexcused] = [1, 0]; ; tries++) {
        const passed = await usesOf(turns, asked, await create(), least)
        if (passed <= bound || tries === 10) return passed
        // A scrape may be a second old; and a replica that passes Redis by looks for it twice a second.
        await new Promise((resolve) => { setTimeout(resolve, 1500) })
        const before = excused
        excused = await failures()
        if (excused === before && ++unexcused === 3) return passed
      }
    }
    const evenly = Array.from({ length: count }, (_, i) => i)
    for (const { turns, what } of [
      { what: 'evenly', turns: evenly },
      { what: 'nine of ten at one', turns: [...Array<number>(9).fill(0), 1] },
      { what: 'all at one', turns: [count - 1] },
      { what: 'first one, then another', turns: [...Array<number>(limit.requests).fill(1), ...Array<number>(limit.requests).fill(0)] }
    ]) {
      const least = what === 'evenly' ? limit.requests : limit.requests - chunks
      const passed = await passedOf(turns, 3 * limit.requests, least)
      t.ok(passed >= least && passed <= bound, `${what}: ${passed} passed, from ${least} to ${bound} may`)
    }
    t.equal(await passedOf(evenly, limit.requests, 0), limit.requests, 'an even load is never refused what the limit allows')
    assertDecided(t)
  })
}

t.test('Redis frozen, emptied, killed: the limit holds for each replica, nothing waits, nothing that the limit allows is refused, and it is shared again afterwards', async (t) => {
  const count = ports.length
  const share = Math.ceil(limit.requests / count)
  const harms: ReadonlyArray<{ readonly what: string, harm: (redis: RedisServer) => unknown, heal: (redis: RedisServer) => unknown }> = [
    { what: 'frozen', harm: (redis) => { redis.pause() }, heal: (redis) => { redis.resume() } },
    { what: 'killed', harm: (redis) => redis.kill(), heal: (redis) => redis.start() }
  ]
  for (const { what, harm, heal } of harms) {
    const keys = [await create(), await create()] as const
    for (const [at, key] of keys.entries()) t.ok(await use(at, key), 'the key is in memory')
    await harm(redis)
    try {
      for (const [at, key] of keys.entries()) {
        // By the second use beyond its share it has noticed that Redis is away.
        let passed = 1 + await usesOf([at], share + 10, key)
        await new Promise((resolve) => { setTimeout(resolve, 200) })
        passed += await usesOf([at], 2 * limit.requests, key)
        t.equal(passed, limit.requests, `${what}: exactly the limit, at each replica for itself`)
      }
    } finally {
      await heal(redis)
    }
    await until(async () => {
      const key = await create()
      let passed = 0
      for (let at = 0; at < count; at++) passed += await usesOf([at], limit.requests, key)
      if (passed <= boundOf(count)) return true
      // A replica that passes Redis by looks for it once a second.
      await new Promise((resolve) => { setTimeout(resolve, 500) })
      return false
    })
    t.pass(`${what}: shared again afterwards`)
  }
  const evenly = Array.from({ length: count }, (_, i) => i)
  const key = await create()
  const before = await usesOf(evenly, limit.requests / 2, key)
  t.equal(before, limit.requests / 2)
  const admin = new Redis(redis.url)
  await admin.flushall()
  admin.disconnect()
  const after = await usesOf(evenly, 3 * limit.requests, key)
  t.ok(after >= limit.requests / 2, `emptied: ${after} more passed, at least the rest of the limit`)
  t.ok(before + after <= count * limit.requests, `and never more than the limit for each replica: ${before + after}`)
  assertDecided(t)
})
