import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { Digest } from '../../src/core/key-record.ts'
import type { Hint } from '../../src/core/window/hint-bus.ts'
import { openHint, sealHint } from '../../src/tiers/hint-message.ts'
import { RedisHintBus } from '../../src/tiers/hint-bus.ts'
import { freshRedis, startProxy, startRedis, until } from '../support/servers.ts'

const digest = 'd'.repeat(30) + '\u0000\u00ff' as Digest
const keyHint: Hint = { change: { seq: 7, action: 'revoke', target: { kind: 'key', digest } }, timeline: '1/00000001' }
const hints: Hint[] = [
  keyHint,
  { change: { seq: 8, action: 'change', target: { kind: 'workspace', workspaceId: 'acme' } }, timeline: undefined },
  { change: { seq: 9, action: 'revoke', target: { kind: 'everything' } }, timeline: '1/00000002' }
]

async function setup (t: Test, { url, secret = randomBytes(32), pingEveryMs }: { url: string, secret?: Buffer, pingEveryMs?: number }) {
  const redis = new Redis(url, { lazyConnect: true })
  redis.on('error', () => {})
  const heard: Hint[] = []
  const bus = new RedisHintBus({ redis, pingEveryMs, rowName: () => 'the row' })
  bus.open(secret, (hint) => { heard.push(hint) })
  t.teardown(async () => { await bus.close(); redis.disconnect() })
  return { redis, bus, heard, secret }
}

/** Publishes until one arrives: the publisher's own connection may not be there yet. */
async function untilHeard (from: RedisHintBus, heard: Hint[], hint = keyHint): Promise<void> {
  await until(() => {
    from.publish(hint)
    return heard.length > 0
  })
}

t.test('a hint of every kind survives its journey', async (t) => {
  const secret = randomBytes(32)
  for (const hint of hints) t.strictSame(openHint(sealHint(hint, secret), secret), hint)
})

t.test('a hint is opened only as it was sealed, by whoever knows the secret', async (t) => {
  const secret = randomBytes(32)
  const sealed = sealHint(keyHint, secret)
  t.equal(openHint(sealed, randomBytes(32)), undefined)
  t.equal(openHint(sealed.replace('"seq":7', '"seq":8'), secret), undefined)
  t.equal(openHint(sealed.slice(43), secret), undefined)
  t.equal(openHint('', secret), undefined)
  t.equal(openHint('{"seq":1}', secret), undefined)
})

t.test('a hint published by one replica is heard by another', async (t) => {
  const url = await freshRedis(t)
  const one = await setup(t, { url })
  const other = await setup(t, { url, secret: one.secret })
  await until(() => one.bus.counts().subscribed === 1 && other.bus.counts().subscribed === 1)
  await untilHeard(one.bus, other.heard)
  t.strictSame(other.heard[0], keyHint)
})

t.test('a forged message on the channel is dropped and counted', async (t) => {
  const { redis, bus, heard, secret } = await setup(t, { url: await freshRedis(t) })
  await until(() => bus.counts().subscribed === 1)
  const channels = await redis.pubsub('CHANNELS', 'navis-keys:*') as string[]
  for (const channel of channels) {
    await redis.publish(channel, sealHint(keyHint, randomBytes(32)))
    await redis.publish(channel, 'nonsense')
  }
  await until(() => bus.counts().forged >= 2)
  t.strictSame(heard, [])
  t.ok(secret)
})

t.test('databases that share a Redis do not hear each other', async (t) => {
  const url = await freshRedis(t)
  const one = await setup(t, { url })
  const stranger = await setup(t, { url })
  await until(() => one.bus.counts().subscribed === 1 && stranger.bus.counts().subscribed === 1)
  await untilHeard(one.bus, one.heard)
  t.strictSame(stranger.heard, [])
  t.equal(stranger.bus.counts().forged, 0)
})

t.test('publishing drops the row of the key from Redis', async (t) => {
  const { redis, bus, heard } = await setup(t, { url: await freshRedis(t) })
  await redis.set('the row', 'old')
  await untilHeard(bus, heard)
  t.equal(await redis.exists('the row'), 0)
})

t.test('publishing while Redis is away throws nothing and is not made up for later', async (t) => {
  const server = await startRedis(t)
  const { bus, heard } = await setup(t, { url: server.url })
  await until(() => bus.counts().subscribed === 1)
  await server.stop()
  bus.publish(keyHint)
  await until(() => bus.counts().lost === 1)
  await server.start()
  await until(() => bus.counts().subscribed === 2)
  t.strictSame(heard, [])
  await untilHeard(bus, heard)
})

t.test('a subscriber whose line is silently cut is replaced within a few seconds', async (t) => {
  const server = await startRedis(t)
  const proxy = await startProxy(t, { to: server.port })
  const publishing = await setup(t, { url: server.url })
  const cut = await setup(t, { url: `redis://127.0.0.1:${proxy.port}`, secret: publishing.secret, pingEveryMs: 100 })
  await until(() => cut.bus.counts().subscribed === 1)
  const connections = proxy.connections
  proxy.cut()
  await until(() => proxy.connections !== connections, { timeoutMs: 4000 })
  proxy.heal()
  await until(() => cut.bus.counts().subscribed >= 2)
  await untilHeard(publishing.bus, cut.heard)
})
