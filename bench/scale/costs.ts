import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import postgres from 'postgres'
import type { Digest } from '../../src/core/key-record.ts'
import type { AnnouncementListener } from '../../src/core/window/announcements.ts'
import { openKeys } from '../../src/engine/open-keys.ts'
import { connect } from '../../src/db/connect.ts'
import { migrate } from '../../src/db/migrate.ts'
import { PostgresWindowStore } from '../../src/db/window-store.ts'
import { RedisAnnouncements } from '../../src/tiers/redis-announcements.ts'
import { startPostgres, startRedis, until, type Teardowns } from '../../test/support/servers.ts'
import { cpuUsOf } from '../support/program.ts'
import { medianOf } from '../support/statistics.ts'

/** What each part of the work takes, in milliseconds. `Loop`: of the thread of a replica. */
export interface Costs {
  /** Not measured: those of a database server of middling size. */
  readonly postgresCores: number
  readonly renewalMs: number
  readonly changeMs: number
  readonly rollMs: number
  /** For each member in the list that a roll reads. */
  readonly rollMemberMs: number
  /** Until a commit is on the disk. */
  readonly commitMs: number
  readonly publishMs: number
  /** For each subscriber of a message. */
  readonly deliverMs: number
  readonly statementLoopMs: number
  readonly rollMemberLoopMs: number
  readonly changeLoopMs: number
  readonly announceLoopMs: number
  readonly hearLoopMs: number
  readonly acknowledgeLoopMs: number
  readonly hearAcknowledgementLoopMs: number
}

interface Cost {
  /** Of the process that answers. */
  readonly serverMs: number
  /** Of this one. */
  readonly clientMs: number
  readonly tookMs: number
}

/** Measured with real statements and messages of the service's own code, on this machine. */
export async function measureCosts (t: Teardowns): Promise<Costs> {
  const ofPostgres = await measurePostgres(t)
  return { postgresCores: 8, ...ofPostgres, ...await measureRedis(t, ofPostgres.statementLoopMs) }
}

async function measurePostgres (t: Teardowns) {
  const server = await startPostgres(t)
  await migrate(server.url)
  const { pid } = server
  const keys = await openKeys({ databaseUrl: server.url })
  const made: string[] = []
  for (let i = 0; i < 400; i++) made.push((await keys.service.create({ workspaceId: 'acme', actor: 'bench', name: 'Bench key', scope: 'mcp:read' })).key.id)
  const revoke = async () => { await keys.service.revoke({ workspaceId: 'acme', keyId: made.pop()!, actor: 'bench' }) }
  await costOf(pid, 100, revoke)
  const revocation = await costOf(pid, 300, revoke)
  await keys.close()

  const store = new PostgresWindowStore({ connect: () => connect({ url: server.url, max: 1 }) })
  t.teardown(() => store.close())
  const signal = new AbortController().signal
  const id = randomUUID()
  await store.join({ id, formerId: undefined, windowMs: 10_000 }, signal)
  let beat: string = id
  const renew = async () => {
    const fresh = randomUUID()
    await store.renew({ id, beat: fresh, beats: [beat], applied: 300, givesUpLineage: false, rowsMax: 10_000 }, signal)
    beat = fresh
  }
  await costOf(pid, 100, renew)
  const renewal = await costOf(pid, 500, renew)
  const roll = async () => { await store.roll({ id, beats: [beat], isOwnBeat: () => true }, signal) }
  await costOf(pid, 100, roll)
  const small = await costOf(pid, 500, roll)
  const members = 2000
  const sql = postgres(server.url, { max: 1, prepare: false, onnotice: () => {} })
  await sql`insert into navis_keys.window_members (id, beat, window_ms, lineage) select gen_random_uuid(), gen_random_uuid(), 10000, (select lineage from navis_keys.revocation_clock) from generate_series(1, ${members})`
  await sql`analyze navis_keys.window_members`
  await sql.end()
  const large = await costOf(pid, 100, roll)
  return {
    renewalMs: renewal.serverMs,
    changeMs: Math.max(0, revocation.serverMs - small.serverMs),
    rollMs: small.serverMs,
    rollMemberMs: (large.serverMs - small.serverMs) / members,
    commitMs: Math.max(0, renewal.tookMs - small.tookMs - (renewal.serverMs - small.serverMs)),
    statementLoopMs: small.clientMs,
    rollMemberLoopMs: (large.clientMs - small.clientMs) / members,
    changeLoopMs: Math.max(0, revocation.clientMs - 2 * small.clientMs)
  }
}

async function measureRedis (t: Teardowns, statementLoopMs: number) {
  const server = await startRedis(t)
  const template = new Redis(server.url, { lazyConnect: true })
  t.teardown(() => { template.disconnect() })
  const [rowSecret, lineage, label] = [Buffer.alloc(32, 1), randomUUID(), 'label']
  const digest = 'k'.repeat(32) as Digest
  let heard = 0
  const listener: AnnouncementListener = { announced () { heard++ }, acknowledged () { heard++ }, called () {} }
  const [asked, other] = [randomUUID(), randomUUID()]
  const ends = [asked, other].map((id) => {
    const announcements = new RedisAnnouncements({ redis: template })
    announcements.open({ rowSecret, lineage, isOurs: true, id }, listener)
    t.teardown(() => announcements.close())
    return announcements
  })
  await until(() => ends.every((end) => end.counts().subscribed > 0))
  const [near, far] = ends as [RedisAnnouncements, RedisAnnouncements]
  let seq = 0
  // As many at a time as a busy replica has under way.
  const together = async (count: number, send: () => void) => {
    const from = heard
    for (let i = 0; i < count; i++) send()
    await until(() => heard >= from + count)
  }
  const announce = () => { near.announce({ change: { seq: ++seq, action: 'revoke', target: { kind: 'key', digests: [digest] } }, label, from: asked, nonce: randomUUID(), renew: 'none' }) }
  const acknowledge = () => { far.acknowledge(asked, { from: other, label, seq: ++seq, nonce: randomUUID() }).catch(() => {}) }
  const at = 16
  const batches = 200
  const each = async (send: () => void): Promise<Cost> => {
    await costOf(server.pid, 30, async () => { await together(at, send) })
    const cost = await costOf(server.pid, batches, async () => { await together(at, send) })
    return { serverMs: cost.serverMs / at, clientMs: cost.clientMs / at, tookMs: cost.tookMs / at }
  }
  const announcement = await each(announce)
  const acknowledgement = await each(acknowledge)

  const publisher = new Redis(server.url)
  const message = 'm'.repeat(350)
  const publish = async () => { await publisher.publish('crowd', message) }
  await costOf(server.pid, 100, publish)
  const alone = await costOf(server.pid, 2000, publish)
  const crowd = 100
  const subscribers = Array.from({ length: crowd }, () => new Redis(server.url))
  await Promise.all(subscribers.map(async (subscriber) => await subscriber.subscribe('crowd')))
  const crowded = await costOf(server.pid, 300, publish)
  for (const redis of [publisher, ...subscribers]) redis.disconnect()
  return {
    publishMs: alone.serverMs,
    deliverMs: Math.max(0, (crowded.serverMs - alone.serverMs) / crowd),
    // What was sent and heard in one process cost both of its sides about the same.
    announceLoopMs: announcement.clientMs / 2,
    hearLoopMs: announcement.clientMs / 2,
    acknowledgeLoopMs: acknowledgement.clientMs / 2,
    hearAcknowledgementLoopMs: acknowledgement.clientMs / 2,
    statementLoopMs
  }
}

/** Of one act, in the mean; of the time that passes, the median. */
async function costOf (pid: number, count: number, act: () => Promise<void>): Promise<Cost> {
  const took: number[] = []
  const [server, client] = [cpuUsOf(pid), process.cpuUsage()]
  for (let i = 0; i < count; i++) {
    const start = performance.now()
    await act()
    took.push(performance.now() - start)
  }
  const { user, system } = process.cpuUsage(client)
  return { serverMs: (cpuUsOf(pid) - server) / 1000 / count, clientMs: (user + system) / 1000 / count, tookMs: medianOf(took) }
}
