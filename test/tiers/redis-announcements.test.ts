import { randomBytes, randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { Digest } from '../../src/core/key-record.ts'
import type { Acknowledgement } from '../../src/core/window/announcements.ts'
import { silentLogger } from '../../src/core/logger.ts'
import type { Scheduler } from '../../src/core/window/scheduler.ts'
import type { Announcement } from '../../src/core/window/step.ts'
import { messageBytesMax, openAcknowledgement, openMessage, sealAcknowledgement, sealAnnouncement, sealCall } from '../../src/tiers/announcement-message.ts'
import { LineageKey } from '../../src/tiers/lineage-key.ts'
import { RedisAnnouncements } from '../../src/tiers/redis-announcements.ts'
import { rowName } from '../../src/tiers/redis-row.ts'
import { freshRedis, startProxy, startRedis, until } from '../support/servers.ts'

const digest = 'd'.repeat(30) + '\u0000\u00ff' as Digest
const label = 'L/1/00000001/1'
const keyNews: Announcement = { change: { seq: 7, action: 'revoke', target: { kind: 'key', digests: [digest] } }, label, from: 'one', nonce: 'a wait', renew: 'none' }
const news: Announcement[] = [
  keyNews,
  { ...keyNews, change: { seq: 7, action: 'change', target: { kind: 'key', digests: [digest, 'e'.repeat(32) as Digest] } }, renew: ['two', 'three'] },
  { ...keyNews, change: { seq: 8, action: 'change', target: { kind: 'workspace', workspaceId: 'acme' } }, nonce: undefined, renew: 'all' },
  { ...keyNews, change: { seq: 9, action: 'revoke', target: { kind: 'everything' } } }
]
const acknowledgement: Acknowledgement = { from: 'two', label, seq: 7, nonce: 'a wait' }

interface Setup {
  url: string
  secret?: Buffer
  pingEveryMs?: number
  lineage?: string
  isOurs?: boolean
  id?: string
  scheduler?: Scheduler
}

async function setup (t: Test, { url, secret = randomBytes(32), pingEveryMs, lineage = 'L', isOurs = true, id = randomUUID(), scheduler }: Setup) {
  const redis = new Redis(url, { lazyConnect: true })
  redis.on('error', () => {})
  const heard: Announcement[] = []
  const acknowledged: Acknowledgement[] = []
  let calls = 0
  const warnings: string[] = []
  const bus = new RedisAnnouncements({ redis, pingEveryMs, scheduler, log: { ...silentLogger, warn: (_fields, message) => { warnings.push(message) } } })
  const open = (changes: { lineage?: string, isOurs?: boolean, id?: string } = {}) => {
    bus.open({ rowSecret: secret, lineage, isOurs, id, ...changes }, {
      announced: (announcement) => { heard.push(announcement) },
      acknowledged: (told) => { acknowledged.push(told) },
      called: () => { calls++ }
    })
  }
  open()
  t.teardown(async () => { await bus.close(); redis.disconnect() })
  return { redis, bus, heard, acknowledged, warnings, secret, id, open, key: new LineageKey(secret, lineage), calls: () => calls }
}

/** Publishes until one arrives: the publisher's own connection may not be there yet. */
async function untilHeard (from: RedisAnnouncements, isHeard: () => boolean, announcement = keyNews): Promise<void> {
  await until(() => {
    from.announce(announcement)
    return isHeard()
  })
}

t.test('an announcement of every kind, and an acknowledgement, survive their journey', async (t) => {
  const key = randomBytes(32)
  for (const announcement of news) t.strictSame(openMessage(sealAnnouncement(announcement, key), key), announcement)
  t.strictSame(openAcknowledgement(sealAcknowledgement(acknowledgement, key), key), acknowledgement)
  t.equal(openMessage(sealCall(key), key), 'call')
})

t.test('what is too long for one message, or of no lineage, is a call for a renewal', async (t) => {
  const key = randomBytes(32)
  const many: Announcement = { ...keyNews, change: { seq: 7, action: 'revoke', target: { kind: 'key', digests: Array.from({ length: 40 }, (_, i) => String(i).padStart(32, 'x') as Digest) } } }
  t.equal(openMessage(sealAnnouncement(many, key), key), 'call')
  t.equal(openMessage(sealAnnouncement({ ...keyNews, label: undefined }, key), key), 'call')
  t.ok(news.every((announcement) => sealAnnouncement(announcement, key).length <= messageBytesMax))
})

t.test('a message is opened only as it was sealed, for what it was sealed, by whoever knows the key', async (t) => {
  const key = randomBytes(32)
  const sealed = sealAnnouncement(keyNews, key)
  t.equal(openMessage(sealed, randomBytes(32)), undefined)
  t.equal(openMessage(sealed.replace('"seq":7', '"seq":8'), key), undefined)
  t.equal(openMessage(sealed.slice(43), key), undefined)
  t.equal(openMessage('', key), undefined)
  t.equal(openMessage('{"seq":1}', key), undefined)
  t.equal(openAcknowledgement(sealed, key), undefined)
  t.equal(openMessage(sealAcknowledgement(acknowledgement, key), key), undefined)
})

t.test('an announcement published by one replica is heard by another and not by itself, and is acknowledged to it alone', async (t) => {
  const url = await freshRedis(t)
  const one = await setup(t, { url })
  const other = await setup(t, { url, secret: one.secret })
  const third = await setup(t, { url, secret: one.secret })
  await until(() => [one, other, third].every(({ bus }) => bus.counts().subscribed === 1))
  const own = { ...keyNews, from: one.id }
  await untilHeard(one.bus, () => other.heard.length > 0, own)
  t.strictSame(other.heard[0], own)
  t.strictSame(one.heard, [])
  t.equal(await other.bus.acknowledge(one.id, acknowledgement), true)
  await until(() => one.acknowledged.length === 1)
  t.strictSame(one.acknowledged, [acknowledgement])
  t.strictSame(third.acknowledged, [])
  t.equal(await other.bus.acknowledge('nobody', acknowledgement), false, 'one that nobody hears is not sent')
})

t.test('forged and overlong messages are dropped and counted', async (t) => {
  // A server of its own: channels are those of all databases of a server.
  const { redis, bus, heard, acknowledged, warnings, id } = await setup(t, { url: (await startRedis(t)).url, id: 'one' })
  await until(() => bus.counts().subscribed === 1)
  const channels = await redis.pubsub('CHANNELS', 'navis-keys:*') as string[]
  for (const channel of channels) {
    await redis.publish(channel, sealAnnouncement(keyNews, randomBytes(32)))
    await redis.publish(channel, sealAcknowledgement(acknowledgement, randomBytes(32)))
    await redis.publish(channel, 'nonsense')
    await redis.publish(channel, 'x'.repeat(2_000_000))
  }
  t.equal(channels.length, 3)
  await until(() => bus.counts().forged === 4 * channels.length)
  t.strictSame(heard, [])
  t.strictSame(acknowledged, [])
  t.equal(warnings.length, 1, 'they are told of once')
  t.equal(id, 'one')
})

/** Timers that the test lets run out. */
function handTimers () {
  const waiting = new Set<{ readonly delayMs: number, readonly wake: () => void }>()
  const scheduler: Scheduler = {
    after (delayMs, wake) {
      const timer = { delayMs, wake }
      waiting.add(timer)
      return () => { waiting.delete(timer) }
    }
  }
  const runOut = () => {
    for (const timer of [...waiting]) if (waiting.delete(timer)) timer.wake()
  }
  return { scheduler, runOut }
}

t.test('no more than five thousand forged messages are checked in a second, one warning tells of them, and what is genuine is heard in the next second', async (t) => {
  const { scheduler, runOut } = handTimers()
  const url = await freshRedis(t)
  const { redis, bus, heard, warnings, key, secret } = await setup(t, { url, scheduler })
  const other = await setup(t, { url, secret })
  await until(() => bus.counts().subscribed === 1)
  const forge = async (count: number) => { await Promise.all(Array.from({ length: count }, async () => await redis.publish(`${key.prefix}:changes`, sealAnnouncement(keyNews, randomBytes(32))))) }
  await forge(6000)
  await until(() => bus.counts().forged + bus.counts().unchecked === 6000)
  t.match(bus.counts(), { forged: 5000, unchecked: 1000 })
  await untilHeard(other.bus, () => bus.counts().unchecked > 1000)
  t.strictSame(heard, [], 'a genuine one is not checked either: the next renewal tells what it said')
  runOut()
  await untilHeard(other.bus, () => heard.length > 0)
  t.strictSame(heard[0], keyNews)
  await forge(1)
  await until(() => bus.counts().forged === 5001)
  t.equal(warnings.length, 1)
  // The second of the last one, and a minute without any.
  for (let seconds = 0; seconds <= 60; seconds++) runOut()
  await forge(1)
  await until(() => bus.counts().forged === 5002)
  t.equal(warnings.length, 2, 'told again when it happens again')
})

t.test('databases that share a Redis, and copies with the same secret and another lineage, do not hear each other', async (t) => {
  const url = await freshRedis(t)
  const one = await setup(t, { url })
  const stranger = await setup(t, { url })
  const copy = await setup(t, { url, secret: one.secret, lineage: 'M' })
  const peer = await setup(t, { url, secret: one.secret })
  await until(() => [one, stranger, copy, peer].every(({ bus }) => bus.counts().subscribed === 1))
  await untilHeard(one.bus, () => peer.heard.length > 0)
  for (const other of [stranger, copy]) {
    t.strictSame(other.heard, [])
    t.equal(other.bus.counts().forged, 0)
  }
})

t.test('a replica without a lineage of its own believes nothing: any message makes it renew', async (t) => {
  const url = await freshRedis(t)
  const one = await setup(t, { url })
  const outsider = await setup(t, { url, secret: one.secret, isOurs: false })
  await until(() => one.bus.counts().subscribed === 1 && outsider.bus.counts().subscribed === 1)
  await untilHeard(one.bus, () => outsider.calls() > 0)
  t.strictSame(outsider.heard, [])
  const calls = one.calls()
  await untilHeard(outsider.bus, () => one.calls() > calls, { ...keyNews, label: undefined })
  outsider.open({ isOurs: true })
  await untilHeard(one.bus, () => outsider.heard.length > 0)
})

t.test('who becomes another member listens under its new id, and no longer under the former', async (t) => {
  const url = await freshRedis(t)
  const one = await setup(t, { url })
  const other = await setup(t, { url, secret: one.secret })
  await until(() => one.bus.counts().subscribed === 1 && other.bus.counts().subscribed === 1)
  one.open({ id: 'a new id' })
  await until(async () => await other.bus.acknowledge('a new id', acknowledgement))
  await until(() => one.acknowledged.length > 0)
  await until(async () => !await other.bus.acknowledge(one.id, acknowledgement))
  t.pass()
})

t.test('announcing drops the rows of the key from Redis', async (t) => {
  const { redis, bus, key } = await setup(t, { url: await freshRedis(t) })
  await redis.set(rowName(digest, key), 'old')
  await until(async () => {
    bus.announce(keyNews)
    return await redis.exists(rowName(digest, key)) === 0
  })
  t.pass()
})

t.test('announcing while Redis is away throws nothing and is not made up for later', async (t) => {
  const server = await startRedis(t)
  const { bus, heard, secret } = await setup(t, { url: server.url })
  await until(() => bus.counts().subscribed === 1)
  await server.stop()
  bus.announce(keyNews)
  await until(() => bus.counts().lost === 1)
  await server.start()
  await until(() => bus.counts().subscribed === 2)
  t.strictSame(heard, [])
  const other = await setup(t, { url: server.url, secret })
  await untilHeard(bus, () => other.heard.length > 0)
})

t.test('a subscriber whose line is silently cut is replaced', async (t) => {
  const server = await startRedis(t)
  const proxy = await startProxy(t, { to: server.port })
  const publishing = await setup(t, { url: server.url })
  const cut = await setup(t, { url: `redis://127.0.0.1:${proxy.port}`, secret: publishing.secret, pingEveryMs: 100 })
  await until(() => cut.bus.counts().subscribed === 1)
  const connections = proxy.connections
  proxy.cut()
  await until(() => proxy.connections !== connections)
  proxy.heal()
  await until(() => cut.bus.counts().subscribed >= 2)
  await untilHeard(publishing.bus, () => cut.heard.length > 0)
})
