import { Redis } from 'ioredis'
import type { Sql } from 'postgres'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import type { Digest, KeyRecord } from '../../src/core/key-record.ts'
import type { Acknowledgement, Announcements } from '../../src/core/window/announcements.ts'
import { waitOutMs } from '../../src/core/window/durations.ts'
import type { CommittedChange } from '../../src/core/window/trust.ts'
import { TrustWindow } from '../../src/core/window/trust-window.ts'
import { connect } from '../../src/db/connect.ts'
import { migrate } from '../../src/db/migrate.ts'
import { PostgresWindowStore } from '../../src/db/window-store.ts'
import { RedisAnnouncements } from '../../src/tiers/redis-announcements.ts'
import { isLong } from '../support/long.ts'
import { startPostgres, startProxy, startRedis, until } from '../support/servers.ts'
import { administer } from './replicas.ts'

/* Many members in one process, each with its own connections to a real Postgres and a real Redis. */

t.setTimeout(240_000)

const postgres = await startPostgres(t, { settings: { shared_preload_libraries: 'pg_stat_statements' } })
await migrate(postgres.url)
await administer(postgres.url, 'create extension pg_stat_statements')
const redisServer = await startRedis(t)
const digest = 'k'.repeat(32) as Digest
const others = Array.from({ length: 501 }, (_, n) => digestOf(n))
const record: KeyRecord = { id: 'key', digest, workspaceId: 'acme', ownerId: null, name: 'a key', scope: 'mcp:read', metadata: {}, createdAt: 0, expiresAt: null, revokedAt: null, limits: null }

/** How often each is done: what one round shows, the next ones show for other members and at other moments of the renewals. */
const rounds = isLong ? 10 : 4
/** More than the changes that a member holds in advance of a renewal. */
const beyondHeld = 1001

function digestOf (n: number): Digest {
  return String(n).padStart(32, '0') as Digest
}

type Distort = (announcements: Announcements, place: number) => Announcements

interface MembersOptions {
  readonly windowMs?: number
  readonly distort?: Distort
  /** The port over which each reaches Postgres. */
  readonly through?: readonly number[]
}

async function openMembers (t: Test, count: number, { windowMs = 4000, distort = (announcements) => announcements, through = [] }: MembersOptions = {}): Promise<TrustWindow[]> {
  const redis = new Redis(redisServer.url, { lazyConnect: true })
  t.teardown(() => { redis.disconnect() })
  const windows = Array.from({ length: count }, (_, place) => new TrustWindow({
    store: new PostgresWindowStore({ connect: () => connect({ url: `postgres://postgres@127.0.0.1:${through[place] ?? postgres.port}/postgres`, max: 1 }) }),
    announcements: distort(new RedisAnnouncements({ redis }), place),
    clock: systemClock,
    windowMs
  }))
  t.teardown(async () => { await Promise.all(windows.map(async (window) => { await window.leave() })) })
  await Promise.all(windows.map(async (window) => { await window.start() }))
  // Until each knows of all and may use Redis; then its subscription has to be there too.
  await until(async () => {
    await windows[0]!.inForce(await revoke())
    return windows.every((window) => window.isOpen && window.snapshot().hasLineage)
  }, { timeoutMs: 60_000 })
  return windows
}

const { sql, close } = connect({ url: postgres.url, max: 1 })
t.teardown(close)

/** What the key service does: commits in one statement, and reads the clock when the answer is there. */
async function revoke (db: Sql = sql, revoked: Digest = digest): Promise<CommittedChange> {
  const [row] = await db<[{ seq: number, window_ms: number }]>`
    with tick as (update navis_keys.revocation_clock set seq = seq + 1 returning seq, window_ms),
    logged as (insert into navis_keys.revocation_log (seq, action, digests) select seq, 'revoke', array[${Buffer.from(revoked, 'latin1')}]::bytea[] from tick)
    select seq::float8 as seq, window_ms from tick`
  return { seq: row.seq, windowMs: row.window_ms, committedAt: systemClock.monotonicMs(), action: 'revoke', target: { kind: 'key', digests: [revoked] } }
}

/** So many changes at once, in one statement: of the 500 others but the first. */
async function revokeOthers (count: number): Promise<CommittedChange[]> {
  const [row] = await sql<[{ seq: number, window_ms: number }]>`
    with tick as (update navis_keys.revocation_clock set seq = seq + ${count} returning seq, window_ms),
    logged as (
      insert into navis_keys.revocation_log (seq, action, digests)
      select seq - ${count} + 1 + n, 'revoke', array[convert_to(lpad((1 + n % 500)::text, 32, '0'), 'LATIN1')] from tick, generate_series(0, ${count}::int - 1) as n
    )
    select seq::float8 as seq, window_ms from tick`
  const committedAt = systemClock.monotonicMs()
  return Array.from({ length: count }, (_, n) => ({
    seq: row.seq - count + 1 + n, windowMs: row.window_ms, committedAt, action: 'revoke', target: { kind: 'key', digests: [others[1 + n % 500]!] }
  }))
}

/** How many of them would accept what a cache holds from before the change. */
const stale = (windows: readonly TrustWindow[], { seq }: CommittedChange) =>
  windows.filter((window) => window.judge({ record, asof: seq - 1 } as never, systemClock.monotonicMs(), false) === 'current').length

async function statements (): Promise<{ calls: number, at: number }> {
  const [row] = await administer(postgres.url, "select coalesce(sum(calls), 0)::int as calls from pg_stat_statements where toplevel and query not like '%pg_stat_statements%'")
  return { calls: row!['calls'] as number, at: performance.now() }
}

// Fifty in one process starve one another on a busy machine; twenty show as well that a change costs no more with more members.
for (const count of isLong ? [3, 20, 50] : [3, 20]) {
  t.test(`with ${count} members and a Redis a change costs Postgres its own statement and one that reads who lives, and is in force at each when it returns`, async (t) => {
    // Renewals every five seconds at most: what the fleet sends by itself is small beside what the changes cost.
    const windows = await openMembers(t, count, { windowMs: 10_000 })
    const idle = await statements()
    await new Promise((resolve) => { setTimeout(resolve, 2000) })
    const watched = await statements()
    const perMs = (watched.calls - idle.calls) / (watched.at - idle.at)
    let each = Infinity
    const paths = { fast: 0, slow: 0 }
    // On a busy machine an acknowledgement comes late and the members are read again: one round in which none does shows what a change needs.
    for (let round = 0; round < 40 && each > 2.2; round++) {
      const before = await statements()
      for (let i = 0; i < 20; i++) {
        const change = await revoke()
        paths[await windows[i % count]!.inForce(change)]++
        t.equal(stale(windows, change), 0)
      }
      const after = await statements()
      each = Math.min(each, (after.calls - before.calls - perMs * (after.at - before.at)) / 20)
    }
    t.ok(each <= 2.2, `${each.toFixed(2)} statements a change`)
    t.equal(paths.slow, 0)
    t.comment(`${each.toFixed(2)} statements a change, ${(perMs * 1000).toFixed(0)} a second without`)
  })
}

t.test('a change whose announcement was lost does not return by the acknowledgements of the next one', async (t) => {
  const lost = new Set<number>()
  const windows = await openMembers(t, 3, {
    windowMs: 6000,
    distort: (announcements) => wrapped(announcements, { announce (announcement) { if (!lost.has(announcement.change.seq)) announcements.announce(announcement) } })
  })
  for (let round = 0; round < rounds; round++) {
    const [first, second] = [await revoke(), await revoke(sql, others[round]!)]
    lost.add(first.seq)
    // The second is heard and acknowledged at once; the first only the renewals tell.
    const waits = [windows[0]!.inForce(first).then(() => { t.equal(stale(windows, first), 0, 'the one that was lost') }), windows[0]!.inForce(second)]
    await Promise.all(waits)
  }
})

/** Three members, the last of which does not hear of the changes that are in `missed`; `instead` is called with the id of the replica that announced one. */
async function openWithOneThatMisses (t: Test, { acknowledges = async (send) => await send(), instead = () => {} }: {
  /** What the others send in place of an acknowledgement. */
  acknowledges? (send: (changes?: Partial<Acknowledgement>) => Promise<boolean>): Promise<boolean>
  instead? (to: string, announcements: Announcements, last: Acknowledgement | undefined): void
}) {
  const missed = new Set<number>()
  let last: Acknowledgement | undefined
  const windows = await openMembers(t, 3, {
    windowMs: 6000,
    distort: (announcements, place) => wrapped(announcements, place < 2
      ? { acknowledge: async (to, acknowledgement) => await acknowledges(async (changes) => await announcements.acknowledge(to, { ...acknowledgement, ...changes })) }
      : {
          acknowledge: async (to, acknowledgement) => {
            last = acknowledgement
            return await announcements.acknowledge(to, acknowledgement)
          },
          open (credentials, listener) {
            announcements.open(credentials, {
              ...listener,
              announced (heard) {
                if (missed.has(heard.change.seq)) instead(heard.from, announcements, last)
                else listener.announced(heard)
              }
            })
          }
        })
  })
  /** Revokes, and looks whether each refuses the key when the revocation is in force. */
  const revokeUnheard = async () => {
    const change = await revoke()
    missed.add(change.seq)
    await windows[0]!.inForce(change)
    t.equal(stale(windows, change), 0)
  }
  return { windows, revokeUnheard }
}

t.test('what a member acknowledged earlier does not count for a change that it has not heard of', async (t) => {
  let sent = 0
  const { windows, revokeUnheard } = await openWithOneThatMisses(t, {
    instead (to, announcements, last) {
      if (last === undefined) return
      sent++
      announcements.acknowledge(to, last).catch(() => {})
    }
  })
  // One that all hear and acknowledge comes before.
  await windows[0]!.inForce(await revoke())
  for (let round = 0; round < rounds; round++) await revokeUnheard()
  t.ok(sent >= rounds, `${sent} old acknowledgements`)
})

t.test('the acknowledgements of one member, and of an id that has left, do not count for another member that has not heard of the change', async (t) => {
  const { revokeUnheard } = await openWithOneThatMisses(t, {
    acknowledges: async (send) => (await Promise.all([send(), send(), send({ from: '00000000-0000-4000-8000-000000000000' })])).every(Boolean)
  })
  for (let round = 0; round < rounds; round++) await revokeUnheard()
})

t.test('a member that acknowledged, and then hears of more changes than it holds while Postgres is away, refuses what it acknowledged all the same', async (t) => {
  const proxy = await startProxy(t, { to: postgres.port })
  const [teller, hearer] = await openMembers(t, 2, { windowMs: 20_000, through: [postgres.port, proxy.port] })
  const first = await revoke()
  await teller!.inForce(first)
  proxy.cut()
  const change = await revoke(sql, others[0]!)
  t.equal(await teller!.inForce(change), 'fast', 'acknowledged over Redis by one that hears nothing of Postgres')
  const entry = { record: { ...record, digest: others[0]! }, asof: change.seq - 1 } as never
  t.not(hearer!.judge(entry, systemClock.monotonicMs(), false), 'current')
  const heard = hearer!.snapshot().announcements
  for (const later of await revokeOthers(beyondHeld)) teller!.announce(later)
  await until(() => hearer!.snapshot().announcements >= heard + beyondHeld, { timeoutMs: 20_000 })
  t.ok(hearer!.isOpen, 'its window is open')
  t.not(hearer!.judge(entry, systemClock.monotonicMs(), false), 'current')
  proxy.heal()
  await until(() => hearer!.snapshot().applied >= change.seq + beyondHeld, { timeoutMs: 20_000 })
  t.not(hearer!.judge(entry, systemClock.monotonicMs(), false), 'current')
})

interface Trouble {
  readonly name: string
  readonly distort: Distort
}

const wrapped = (announcements: Announcements, changes: Partial<Announcements>): Announcements => ({
  open: (...given) => { announcements.open(...given) },
  announce: (announcement) => { announcements.announce(announcement) },
  acknowledge: async (...given) => await announcements.acknowledge(...given),
  close: async () => { await announcements.close() },
  ...changes
})

const troubles: readonly Trouble[] = [
  { name: 'are lost', distort: (announcements) => wrapped(announcements, { acknowledge: async () => true }) },
  { name: 'come twice', distort: (announcements) => wrapped(announcements, { acknowledge: async (...given) => await announcements.acknowledge(...given) && await announcements.acknowledge(...given) }) },
  {
    name: 'come seconds late',
    distort: (announcements) => wrapped(announcements, { acknowledge: async (...given) => { setTimeout(() => { announcements.acknowledge(...given).catch(() => {}) }, isLong ? 5000 : 1500); return true } })
  },
  { name: 'come with announcements that nobody hears', distort: (announcements) => wrapped(announcements, { announce () {} }) }
]

for (const { name, distort } of troubles) {
  t.test(`when acknowledgements over Redis ${name}, a change returns by the renewals or when the windows have ended, and is then in force`, async (t) => {
    const windowMs = 3000
    const windows = await openMembers(t, 3, { windowMs, distort })
    for (let i = 0; i < rounds; i++) {
      const change = await revoke()
      const path = await windows[i % 3]!.inForce(change)
      t.equal(stale(windows, change), 0, path)
      if (path === 'slow') t.ok(systemClock.monotonicMs() - change.committedAt >= waitOutMs(windowMs))
    }
  })
}
