import t from 'tap'
import { freshRedis, startPostgres } from '../support/servers.ts'
import { openReplica } from './local-replica.ts'
import { administer, startReplica, warm, type MadeKey } from './replicas.ts'

/* On a busy machine an acknowledgement comes late and the roll is read again: one round in which none does shows what a revocation needs. */
const [roundsMax, perRound] = [4, 20]

t.test('with three replicas and a Redis a revocation costs Postgres its own statement and one that reads who lives', async (t) => {
  const postgres = await startPostgres(t, { settings: { shared_preload_libraries: 'pg_stat_statements' } })
  const [databaseUrl, redisUrl] = [postgres.url, await freshRedis(t)]
  await administer(databaseUrl, 'create extension pg_stat_statements')
  const options = { databaseUrl, redisUrl, windowMs: 10_000, environment: { LAST_USED_FLUSH_MS: '60000' } }
  const replicas = await Promise.all([startReplica(t, options), ...[1, 2].map(async () => await openReplica(t, { databaseUrl, redisUrl, windowMs: 10_000, lastUsedFlushMs: 60_000 }))])
  const statements = async () => {
    const [row] = await administer(databaseUrl, "select sum(calls)::int as calls from pg_stat_statements where toplevel and query not like '%pg_stat_statements%'")
    return { calls: row!['calls'] as number, at: performance.now() }
  }
  // Before the first revocation: what the replicas send by themselves.
  const idle = await statements()
  await new Promise((resolve) => { setTimeout(resolve, 3000) })
  const watched = await statements()
  const perMs = (watched.calls - idle.calls) / (watched.at - idle.at)
  let each = Infinity
  const revoked: MadeKey[] = []
  for (let round = 0; each > 2.2 && round < roundsMax; round++) {
    const keys = await replicas[0]!.createMany(perRound)
    await warm(replicas, keys)
    const before = await statements()
    for (const { id } of keys) await replicas[0]!.revoke(id)
    const after = await statements()
    revoked.push(...keys)
    each = Math.min(each, (after.calls - before.calls - perMs * (after.at - before.at)) / perRound)
  }
  const shown = await administer(databaseUrl, "select calls::int, left(regexp_replace(query, '\\s+', ' ', 'g'), 100) as query from pg_stat_statements where toplevel order by calls desc limit 10")
  t.ok(each <= 2.2, `${each.toFixed(2)} statements a revocation: ${JSON.stringify(shown)}`)
  t.ok(each >= 1, 'statements are counted')
  t.strictSame(await Promise.all(replicas.flatMap((replica) => revoked.map(async ({ token }) => await replica.status(token)))), Array.from({ length: 3 * revoked.length }, () => 401))
})
