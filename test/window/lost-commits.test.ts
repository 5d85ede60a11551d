import t, { type Test } from 'tap'
import { freshRedis, startPostgres, type PostgresServer } from '../support/servers.ts'
import { startStandby } from '../support/standby.ts'
import { until } from '../support/until.ts'
import { Links } from '../torture/links.ts'
import { administer, startReplica, warm } from './replicas.ts'

/** A standby that follows the primary over a link, and that no commit waits for. */
async function followingStandby (t: Test, primary: PostgresServer): Promise<{ port: number, url: string, cut: () => Promise<unknown> }> {
  const carrier = new Links()
  t.teardown(() => { carrier.close() })
  const link = await carrier.open(primary.port)
  const { port, url } = await startStandby(t, primary, { through: link.port })
  return { port, url, cut: async () => await link.hold() }
}

t.test('revocations that a failover lost stay in force at the replicas that heard them, and are put back into the database', async (t) => {
  const primary = await startPostgres(t)
  const standby = await followingStandby(t, primary)
  const databaseUrl = `postgres://postgres@127.0.0.1:${primary.port},127.0.0.1:${standby.port}/postgres`
  const options = { databaseUrl, redisUrl: await freshRedis(t), windowMs: 3000 }
  const [a, b] = await Promise.all([startReplica(t, options), startReplica(t, options)])
  // Only who has a lineage can say later of which history a revocation was. The first second of a fleet is without.
  for (const { port } of [a, b]) await until(async () => /^navis_keys_window_has_lineage 1$/m.test(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()), { timeoutMs: 20_000 })
  const [revoked, live] = [await a.createMany(4), await a.createMany(1)]
  await warm([a, b], [...revoked, ...live])
  const [{ at } = {}] = await administer(primary.url, 'select pg_current_wal_lsn()::text as at')
  await until(async () => (await administer(standby.url, `select pg_last_wal_replay_lsn() >= '${String(at)}' as caught_up`))[0]?.['caught_up'], { timeoutMs: 20_000 })
  await standby.cut()
  for (const { id } of revoked) await a.revoke(id)
  const lost = 'select count(*)::int as revoked from navis_keys.keys where revoked_at is not null'
  await primary.kill()
  t.strictSame(await administer(standby.url, lost), [{ revoked: 0 }], 'the standby has none of them')
  await administer(standby.url, 'select pg_promote()')
  const seen = new Set<number>()
  const look = async () => { for (const replica of [a, b]) for (const { token } of revoked) seen.add(await replica.status(token)) }
  await until(async () => {
    await look()
    return (await administer(standby.url, lost))[0]?.['revoked'] === 4
  }, { timeoutMs: 30_000 })
  await until(async () => { await look(); return await a.status(live[0]!.token) === 200 && await b.status(live[0]!.token) === 200 }, { timeoutMs: 30_000 })
  await look()
  t.notOk(seen.has(200), [...seen].join())
  for (const { id } of revoked) t.match(await a.shown(id), { status: 'revoked', revoked_by: 'navis-keys' })
  t.match((await a.shown(live[0]!.id)), { status: 'active' })
  t.match(a.child.output + b.child.output, /the database had lost revocations/, 'a line of the log says so')
})
