import t from 'tap'
import { connect, noteRefusedSettings } from '../../src/db/connect.ts'
import { Child } from '../support/child.ts'
import { PgBouncer } from '../support/pgbouncer.ts'
import { freshDatabase, freshRedis, startPostgres } from '../support/servers.ts'
import { administer, startReplica, warm } from './replicas.ts'

t.setTimeout(180_000)

t.test('through a transaction pooler five migrations at once succeed, three replicas start at once, and none accepts what was revoked', async (t) => {
  const [direct, redisUrl] = [await freshDatabase(t, { migrated: false }), await freshRedis(t)]
  const { url: databaseUrl } = await PgBouncer.start(t, direct)
  const migrations = Array.from({ length: 5 }, () => new Child(t, { file: 'dist/cli.js', args: ['migrate'], env: { DATABASE_URL: databaseUrl } }))
  t.strictSame(await Promise.all(migrations.map(async (child) => await child.ended())), [0, 0, 0, 0, 0], migrations.map(({ output }) => output).join('\n'))
  t.strictSame(await administer(direct, "select count(*)::int as locks from pg_locks where locktype = 'advisory'"), [{ locks: 0 }])

  const replicas = await Promise.all(Array.from({ length: 3 }, async () => await startReplica(t, { databaseUrl, redisUrl, windowMs: 2000 })))
  const found = { probes: 0, stale: 0, wrong: [] as number[] }
  // Each of three revokes and is probed by the others, all at once: statements of several clients cross in the pooler.
  await Promise.all(replicas.map(async (replica, place) => {
    for (let round = 0; round < 5; round++) {
      const [key, live] = await replica.createMany(2)
      await warm(replicas, [key!, live!])
      await replicas[(place + round) % 3]!.revoke(key!.id)
      const statuses = await Promise.all(Array.from({ length: 12 }, async (_, probe) => await replicas[probe % 3]!.status(key!.token)))
      found.probes += statuses.length
      found.stale += statuses.filter((status) => status === 200).length
      found.wrong.push(...statuses.filter((status) => status !== 200 && status !== 401))
      found.wrong.push(...(await Promise.all(replicas.map(async (other) => await other.status(live!.token)))).filter((status) => status !== 200))
    }
  }))
  t.equal(found.stale, 0)
  t.strictSame(found.wrong, [], 'nor is anything else refused or unknown')
  t.comment(`${found.probes} probes`)
})

t.test('through a transaction pooler, which keeps our settings from the server, what was answered outlives a power cut of a server whose commits do not wait for the disk', async (t) => {
  const postgres = await startPostgres(t, { settings: { synchronous_commit: 'off', wal_writer_delay: '10s' } })
  const replica = await startReplica(t, { databaseUrl: (await PgBouncer.start(t, postgres.url)).url, redisUrl: await freshRedis(t), windowMs: 60_000, environment: { LAST_USED_FLUSH_MS: '60000' } })
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
  t.equal(noteRefusedSettings(url, refused), false, 'it was without them already: there is nothing else to try')
})

t.test('through a session pooler two replicas keep the promise', async (t) => {
  const { url: databaseUrl } = await PgBouncer.start(t, await freshDatabase(t), { mode: 'session', poolSize: 40 })
  const redisUrl = await freshRedis(t)
  const replicas = await Promise.all([1, 2].map(async () => await startReplica(t, { databaseUrl, redisUrl, windowMs: 2000 })))
  const [revoked, live] = await replicas[0]!.createMany(2)
  await warm(replicas, [revoked!, live!])
  await replicas[0]!.revoke(revoked!.id)
  for (const replica of replicas) t.strictSame([await replica.status(revoked!.token), await replica.status(live!.token)], [401, 200])
})
