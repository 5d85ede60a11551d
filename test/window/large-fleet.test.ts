import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import type { Digest } from '../../src/core/key-record.ts'
import { waitOutMs } from '../../src/core/window/durations.ts'
import type { CommittedChange } from '../../src/core/window/trust.ts'
import { TrustWindow } from '../../src/core/window/trust-window.ts'
import { connect } from '../../src/db/connect.ts'
import { migrate } from '../../src/db/migrate.ts'
import { PostgresWindowStore } from '../../src/db/window-store.ts'
import { RedisAnnouncements } from '../../src/tiers/redis-announcements.ts'
import { isLong } from '../support/long.ts'
import { startPostgres, startRedis, until } from '../support/servers.ts'
import { administer } from './replicas.ts'

/* A large fleet in one process, each member with its own connections to a real Postgres. */

t.setTimeout(300_000)

const [membersMax, periodsWatched, outageMs, secondsAfter] = isLong ? [200, 8, 5000, 6] : [40, 4, 3000, 4]
const postgres = await startPostgres(t, { settings: { shared_preload_libraries: 'pg_stat_statements', max_connections: '600' } })
await migrate(postgres.url)
await administer(postgres.url, 'create extension pg_stat_statements')
const redisServer = await startRedis(t)

class Fleet {
  readonly windows: TrustWindow[] = []
  readonly #redis = new Redis(redisServer.url, { lazyConnect: true })
  readonly #windowMs: number
  #starting: readonly TrustWindow[] = []

  constructor (t: Test, windowMs: number) {
    this.#windowMs = windowMs
    t.teardown(async () => {
      await Promise.all(this.#starting.map(async (window) => { await window.leave() }))
      await this.shrinkTo(0)
      this.#redis.disconnect()
    })
  }

  async growTo (count: number): Promise<void> {
    while (this.windows.length < count) await this.#grow(Math.min(20, count - this.windows.length))
  }

  // Few at a time: all of them share one thread, and each opens its connections.
  async #grow (count: number): Promise<void> {
    const added = Array.from({ length: count }, () => new TrustWindow({
      store: new PostgresWindowStore({ connect: () => connect({ url: postgres.url, max: 1 }) }),
      announcements: new RedisAnnouncements({ redis: this.#redis }),
      clock: systemClock,
      windowMs: this.#windowMs
    }))
    this.#starting = added
    await Promise.all(added.map(async (window) => { await window.start() }))
    await until(() => added.every((window) => window.isOpen), { timeoutMs: 60_000 })
    this.#starting = []
    this.windows.push(...added)
  }

  async shrinkTo (count: number): Promise<void> {
    await Promise.all(this.windows.splice(count).map(async (window) => { await window.leave() }))
  }
}

const { sql, close } = connect({ url: postgres.url, max: 1 })
t.teardown(close)
const digest = 'k'.repeat(32) as Digest

/** What the key service does: commits in one statement, and reads the clock when the answer is there. */
async function revoke (): Promise<CommittedChange> {
  const [row] = await sql<[{ seq: number, window_ms: number }]>`
    with tick as (update navis_keys.revocation_clock set seq = seq + 1 returning seq, window_ms),
    logged as (insert into navis_keys.revocation_log (seq, action, digests) select seq, 'revoke', array[${Buffer.from(digest, 'latin1')}]::bytea[] from tick)
    select seq::float8 as seq, window_ms from tick`
  return { seq: row.seq, windowMs: row.window_ms, committedAt: systemClock.monotonicMs(), action: 'revoke', target: { kind: 'key', digests: [digest] } }
}

/** Renewals that Postgres has carried out since its start. */
async function renewals (): Promise<{ calls: number, at: number }> {
  const [row] = await administer(postgres.url, "select coalesce(sum(calls), 0)::int as calls from pg_stat_statements where query like '%present as materialized%' and query not like '%pg_stat_statements%'")
  return { calls: row!['calls'] as number, at: performance.now() }
}

const perSecond = (from: { calls: number, at: number }, to: { calls: number, at: number }) => (to.calls - from.calls) / (to.at - from.at) * 1000
const pause = async (ms: number) => { await new Promise((resolve) => { setTimeout(resolve, ms) }) }

/** How often one of the windows was seen shut until `end` is called. */
function watchOpen (windows: () => readonly TrustWindow[]): { end (): number } {
  let shut = 0
  const timer = setInterval(() => { shut += windows().filter((window) => !window.isOpen).length }, 50)
  return { end () { clearInterval(timer); return shut } }
}

t.test(`${membersMax} members renew as often as the formula says, no window shuts, and after an outage of seconds they come back without a storm`, async (t) => {
  const [D, R, shortestMs] = [10_000, 50, 500]
  const expected = Math.min(membersMax / shortestMs * 1000, Math.max(R, 4 * membersMax / D * 1000))
  const fleet = new Fleet(t, D)
  await fleet.growTo(membersMax)
  // Each knows how many there are as soon as it makes a change: by itself most read the list of members seldom.
  await Promise.all(fleet.windows.map(async (window) => { await window.inForce(await revoke()) }))
  t.ok(fleet.windows.every((window) => window.snapshot().members === membersMax))
  const watch = watchOpen(() => fleet.windows)
  // The changes made all members renew at the same moments, and they go on in step: a look that is a little shorter than a number of periods sees that many renewals of each at most.
  const watchedMs = periodsWatched * membersMax / expected * 1000 - 100
  // Members that get no processor time renew later, some of them within the next look, or again because an answer was late: on a busy machine one of several looks shows the rate,
  // and the short form is content with no more than that.
  let steady = Infinity
  for (let look = 0; look < (isLong ? 4 : 6) && !(Math.abs(steady - expected) <= expected / 10); look++) {
    const from = await renewals()
    await pause(watchedMs)
    steady = perSecond(from, await renewals())
  }
  t.ok(steady <= 1.1 * expected && steady >= (isLong ? 0.9 : 0.5) * expected, `${steady.toFixed(1)} renewals a second, ${expected} expected`)
  t.equal(watch.end(), 0, 'no window was ever shut')

  await postgres.stop()
  await pause(outageMs)
  await postgres.start()
  let [before, peak] = [await renewals(), 0]
  for (let second = 0; second < secondsAfter; second++) {
    await pause(1000)
    const now = await renewals()
    peak = Math.max(peak, perSecond(before, now))
    before = now
  }
  // A second in which this process got little processor time is made up for in the next one. A storm would be ten times as much.
  t.ok(peak > 0 && peak <= (isLong ? 2 : 4) * expected, `${peak.toFixed(1)} renewals a second at most after the outage`)
  await until(() => fleet.windows.every((window) => window.isOpen), { timeoutMs: 20_000 })
  t.comment(`${steady.toFixed(1)} a second in the steady state, ${expected} by the formula, ${peak.toFixed(1)} at most after the outage`)
})

t.test(`a fleet grows from 3 to ${membersMax} and back within seconds: no window shuts, and no change waits for longer than W`, { skip: !isLong && 'npm run test:long' }, async (t) => {
  const windowMs = 10_000
  const fleet = new Fleet(t, windowMs)
  await fleet.growTo(3)
  const watch = watchOpen(() => fleet.windows)
  const over = new AbortController()
  const waits: number[] = []
  let stale = 0
  const changing = (async () => {
    for (let i = 0; !over.signal.aborted; i++) {
      const change = await revoke()
      await fleet.windows[i % 3]!.inForce(change)
      waits.push(systemClock.monotonicMs() - change.committedAt)
      stale += fleet.windows.filter((window) => window.judge({ record: { digest, workspaceId: 'acme' }, asof: change.seq - 1 } as never, systemClock.monotonicMs(), false) === 'current').length
    }
  })()
  const begun = performance.now()
  for (let count = 3; count < membersMax;) await fleet.growTo(count = Math.min(membersMax, count + Math.ceil(membersMax / 8)))
  const grownMs = performance.now() - begun
  for (let count = membersMax; count > 3;) await fleet.shrinkTo(count = Math.max(3, count - Math.ceil(membersMax / 8)))
  const tookMs = performance.now() - begun
  over.abort()
  await changing
  t.equal(watch.end(), 0, 'no window was ever shut')
  t.equal(stale, 0)
  const longest = Math.max(...waits)
  t.ok(longest <= waitOutMs(windowMs) + 500, `${Math.round(longest)} ms`)
  t.comment(`grown in ${Math.round(grownMs)} ms, back after ${Math.round(tookMs)} ms, ${waits.length} changes, the longest ${Math.round(longest)} ms`)
})
