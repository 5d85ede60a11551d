import t, { type Test } from 'tap'
import { migrate } from '../../src/db/migrate.ts'
import { isLong } from '../support/long.ts'
import { freshRedis, startPostgres } from '../support/servers.ts'
import { until } from '../support/until.ts'
import { followingStandby } from './following-standby.ts'
import { administer, startReplica, warm, type RunningReplica } from './replicas.ts'

t.setTimeout(180_000)

/**
 * Whether the replicas have a lineage when the revocations are lost, and whether it is lost with them. They get one when a member from before, which the database
 * still shows, has been counted out.
 */
type Lineage = 'kept' | 'lost' | 'none'

const silentMs = { kept: 0, lost: 8000, none: 15_000 } as const

async function losesRevocations (t: Test, lineage: Lineage): Promise<void> {
  const hasLineage = lineage !== 'none'
  const primary = await startPostgres(t)
  if (lineage !== 'kept') {
    await migrate(primary.url)
    await administer(primary.url, `insert into navis_keys.window_members (id, beat, window_ms, lineage) select gen_random_uuid(), gen_random_uuid(), ${silentMs[lineage]}, lineage from navis_keys.revocation_clock`)
  }
  const standby = await followingStandby(t, primary)
  const databaseUrl = `postgres://postgres@127.0.0.1:${primary.port},127.0.0.1:${standby.port}/postgres`
  const options = { databaseUrl, redisUrl: await freshRedis(t), windowMs: hasLineage ? 3000 : 15_000 }
  const replicas = await Promise.all([startReplica(t, options), startReplica(t, options)])
  const [a, b] = replicas
  const lineages = async () => await Promise.all(replicas.map(async (replica) => await replica.hasLineage()))
  const untilLineage = async () => { await until(async () => (await lineages()).every(Boolean)) }
  if (lineage === 'kept') await untilLineage()
  const [revoked, live] = [await a.createMany(4), await a.createMany(1)]
  await warm(replicas, [...revoked, ...live])
  await standby.caughtUp()
  standby.cut()
  if (lineage === 'lost') {
    await untilLineage()
    const [here, there] = await Promise.all([primary, standby].map(async ({ url }) => (await administer(url, 'select lineage from navis_keys.revocation_clock'))[0]?.['lineage']))
    t.not(here, there, 'the standby has never heard of this lineage')
  }
  // Without a lineage nothing is acknowledged over Redis: the member of before is waited for.
  if (hasLineage) for (const { id } of revoked) await a.revoke(id)
  else {
    for (const { id } of revoked) a.revoke(id).catch(() => {})
    for (const replica of replicas) for (const { token } of revoked) await until(async () => await replica.status(token) === 401)
    t.strictSame(await lineages(), [false, false])
  }
  const lost = 'select count(*)::int as revoked from navis_keys.keys where revoked_at is not null'
  await primary.kill()
  t.strictSame(await administer(standby.url, lost), [{ revoked: 0 }], 'the standby has none of them')
  await administer(standby.url, 'select pg_promote()')
  // The new primary knows the rows of the replicas as they were: the first renewal there is the first beat, or the first row, that it did not have.
  const rows = async () => JSON.stringify(await administer(standby.url, 'select id, beat from navis_keys.window_members order by id'))
  const inherited = await rows()
  const renewed = until(async () => await rows() !== inherited).then(() => performance.now())
  const seen = new Set<number>()
  const look = async () => { for (const replica of replicas) for (const { token } of revoked) seen.add(await replica.status(token)) }
  await until(async () => {
    await look()
    return (await administer(standby.url, lost))[0]?.['revoked'] === 4
  })
  const tookMs = performance.now() - await renewed
  t.ok(tookMs < (isLong ? 2000 : 15_000), `revoked again ${Math.round(tookMs)} ms after the first renewal`)
  await until(async () => { await look(); return await a.status(live[0]!.token) === 200 && await b.status(live[0]!.token) === 200 })
  await look()
  t.notOk(seen.has(200), [...seen].join())
  for (const { id } of revoked) t.match(await a.shown(id), { status: 'revoked', revoked_by: 'navis-keys' })
  t.match((await a.shown(live[0]!.id)), { status: 'active' })
  const lines = (a.child.output + b.child.output).match(/the database had lost revocations/g) ?? []
  t.ok(lines.length >= 1 && lines.length <= 2, 'a line of the log says so')
  // A scrape may be a second old.
  await until(async () => await putBack(replicas) >= 4)
  t.equal(await putBack(replicas), 4, 'and a metric')
}

/** What the replicas together say that they have revoked again. */
async function putBack (replicas: readonly RunningReplica[]): Promise<number> {
  const texts = await Promise.all(replicas.map(async ({ port }) => await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()))
  return texts.reduce((sum, text) => sum + Number(/^navis_keys_revocations_put_back_total (\d+)$/m.exec(text)?.[1] ?? NaN), 0)
}

t.test('revocations that a failover lost stay in force at the replicas that heard them, and are put back into the database', async (t) => {
  await losesRevocations(t, 'kept')
})

t.test('so are those whose lineage was founded among the lost commits', async (t) => {
  await losesRevocations(t, 'lost')
})

t.test('so are those that were heard before the replicas had a lineage', async (t) => {
  await losesRevocations(t, 'none')
})

t.test('a failover that loses nothing is followed by one to a standby that lagged since before: they are put back as well', async (t) => {
  const primary = await startPostgres(t)
  const [next, lagging] = [await followingStandby(t, primary), await followingStandby(t, primary)]
  const databaseUrl = `postgres://postgres@127.0.0.1:${primary.port},127.0.0.1:${next.port},127.0.0.1:${lagging.port}/postgres`
  const options = { databaseUrl, redisUrl: await freshRedis(t), windowMs: 3000 }
  const replicas = await Promise.all([startReplica(t, options), startReplica(t, options)])
  const [a] = replicas
  await until(async () => (await Promise.all(replicas.map(async (replica) => await replica.hasLineage()))).every(Boolean))
  const revoked = await a.createMany(4)
  await warm(replicas, revoked)
  await lagging.caughtUp()
  lagging.cut()
  for (const { id } of revoked) await a.revoke(id)
  await next.caughtUp()
  await primary.kill()
  await administer(next.url, 'select pg_promote()')
  const beats = async (url: string) => JSON.stringify(await administer(url, 'select id, beat from navis_keys.window_members order by id'))
  const inherited = await beats(next.url)
  await until(async () => await beats(next.url) !== inherited)
  for (const replica of replicas) await until(async () => await replica.status(revoked[0]!.token) === 401)
  t.equal(await putBack(replicas), 0, 'nothing was lost')
  await next.kill()
  const count = 'select count(*)::int as revoked from navis_keys.keys where revoked_at is not null'
  t.strictSame(await administer(lagging.url, count), [{ revoked: 0 }], 'the standby has none of them')
  await administer(lagging.url, 'select pg_promote()')
  const seen = new Set<number>()
  await until(async () => {
    for (const replica of replicas) for (const { token } of revoked) seen.add(await replica.status(token))
    return (await administer(lagging.url, count))[0]?.['revoked'] === 4
  })
  for (const replica of replicas) for (const { token } of revoked) await until(async () => await replica.status(token) === 401)
  t.notOk(seen.has(200), [...seen].join())
})
