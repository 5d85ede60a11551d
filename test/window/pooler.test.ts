import t from 'tap'
import { connect, noteRefusedSettings } from '../../src/db/connect.ts'
import { PostgresWindowStore } from '../../src/db/window-store.ts'
import { Child } from '../support/child.ts'
import { isLong } from '../support/long.ts'
import { PgBouncer } from '../support/pgbouncer.ts'
import { freshDatabase, freshRedis, startPostgres } from '../support/servers.ts'
import { openReplica } from './local-replica.ts'
import { administer, startReplica, warm, type RunningReplica } from './replicas.ts'

t.setTimeout(240_000)

const [loadMs, migrationsAtOnce] = isLong ? [60_000, 5] : [1500, 3]

t.test('through a transaction pooler several migrations at once succeed, three replicas start at once, and none accepts what was revoked', async (t) => {
  const [direct, redisUrl] = [await freshDatabase(t, { migrated: false }), await freshRedis(t)]
  const { url: databaseUrl } = await PgBouncer.start(t, direct)
  const migrations = Array.from({ length: migrationsAtOnce }, () => new Child(t, { file: 'dist/cli.js', args: ['migrate'], env: { DATABASE_URL: databaseUrl } }))
  t.strictSame(await Promise.all(migrations.map(async (child) => await child.ended())), migrations.map(() => 0), migrations.map(({ output }) => output).join('\n'))
  t.strictSame(await administer(direct, "select count(*)::int as locks from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())"), [{ locks: 0 }])

  const replicas = await Promise.all(Array.from({ length: 3 }, async () => await startReplica(t, { databaseUrl, redisUrl, windowMs: 2000 })))
  // The log is pruned far more often than replicas do it, so that transactions are crossed by the statements of others.
  const pruning = new PostgresWindowStore({ connect: () => connect({ url: `${databaseUrl}?pgbouncer=true`, max: 1 }) })
  t.teardown(async () => { await pruning.close() })
  const until = performance.now() + loadMs
  let pruned = 0
  const prune = async () => {
    while (performance.now() < until) {
      pruned += await pruning.prune(5, AbortSignal.timeout(5000))
      await new Promise((resolve) => { setTimeout(resolve, 500) })
    }
  }
  const found = { probes: 0, stale: 0, falselyRefused: 0, unavailable: 0, others: [] as number[] }
  const note = (status: number, isRevoked: boolean) => {
    found.probes++
    if (status === 503) found.unavailable++
    else if (isRevoked && status === 200) found.stale++
    else if (!isRevoked && status === 401) found.falselyRefused++
    else if (status !== 200 && status !== 401) found.others.push(status)
  }
  // Each of three revokes at another one and is probed at all, all at once: statements of several clients cross in the pooler.
  const load = async (replica: RunningReplica, place: number) => {
    for (let round = 0; round === 0 || performance.now() < until; round++) {
      const [live, ...revoked] = await replica.createMany(4)
      await warm(replicas, [live!, ...revoked])
      for (const { id, token } of revoked) {
        await replicas[(place + round) % 3]!.revoke(id)
        for (const status of await Promise.all(Array.from({ length: 12 }, async (_, probe) => await replicas[probe % 3]!.status(token)))) note(status, true)
      }
      for (const status of await Promise.all(replicas.map(async (other) => await other.status(live!.token)))) note(status, false)
    }
  }
  await Promise.all([prune(), ...replicas.map(load)])
  t.strictSame({ stale: found.stale, falselyRefused: found.falselyRefused, others: found.others }, { stale: 0, falselyRefused: 0, others: [] })
  // A replica that a busy machine keeps from renewing in time says that it does not know: only the long form has the machine for itself.
  t.ok(found.unavailable <= found.probes / (isLong ? 100 : 5), `${found.unavailable} of ${found.probes} probes were answered by 503`)
  t.ok(pruned > 0 || !isLong, 'the log was pruned')
  // No connection hangs: each replica does all that it does.
  for (const replica of replicas) {
    const key = await replica.create()
    await warm(replicas, [key])
    await replica.revoke(key.id)
    for (const other of replicas) t.equal(await other.status(key.token), 401)
  }
  t.comment(`${found.probes} probes, ${found.unavailable} times 503, ${pruned} rows pruned`)
})

t.test('through a transaction pooler, which keeps our settings from the server, what was answered outlives a power cut of a server whose commits do not wait for the disk', async (t) => {
  const postgres = await startPostgres(t, { settings: { synchronous_commit: 'off', wal_writer_delay: '10s' } })
  const replica = await openReplica(t, { databaseUrl: (await PgBouncer.start(t, postgres.url)).url, redisUrl: await freshRedis(t), windowMs: 60_000, lastUsedFlushMs: 60_000 })
  const keys = await replica.createMany(5)
  await warm([replica], keys)
  for (const { id } of keys) await replica.revoke(id)
  await postgres.kill()
  await postgres.start()
  t.strictSame(await administer(postgres.url, 'select count(*)::int as revoked from navis_keys.keys where revoked_at is not null'), [{ revoked: 5 }])
})

t.test('a pooler that refuses our settings of the session is connected to without them, and only for that reason', async (t) => {
  const { url } = await PgBouncer.start(t, await freshDatabase(t))
  const refusal = async () => {
    const { sql, close } = connect({ url, max: 1 })
    return await sql`select 1`.then(() => undefined, (error: unknown) => error).finally(close)
  }
  const refused = await refusal()
  t.match(refused, { code: '08P01', message: /startup parameter/ })
  for (const other of [new Error('startup parameter'), Object.assign(new Error('out of sync'), { code: '08P01' }), Object.assign(new Error('startup parameter'), { code: '28P01' })]) {
    t.equal(noteRefusedSettings(url, other), false)
    t.match(await refusal(), { code: '08P01' }, 'nothing was learnt from another error')
  }
  t.equal(noteRefusedSettings(url, new Error('a query failed', { cause: refused })), true)
  t.equal(await refusal(), undefined)
  t.equal(noteRefusedSettings(url, refused), true, 'another engine of the process, which connected with them too, has to know')
})

t.test('through a session pooler two replicas keep the promise', async (t) => {
  const { url: databaseUrl } = await PgBouncer.start(t, await freshDatabase(t), { mode: 'session', poolSize: 40 })
  const redisUrl = await freshRedis(t)
  const options = { databaseUrl, redisUrl, windowMs: 2000 }
  // At the same time: both find out that the pooler refuses our settings.
  const replicas = await Promise.all([openReplica(t, options), openReplica(t, options)])
  const [revoked, live] = await replicas[0].createMany(2)
  await warm(replicas, [revoked!, live!])
  await replicas[0].revoke(revoked!.id)
  for (const replica of replicas) t.strictSame([await replica.status(revoked!.token), await replica.status(live!.token)], [401, 200])
})
