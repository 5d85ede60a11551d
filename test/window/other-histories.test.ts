import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { execFileSync } from 'node:child_process'
import t from 'tap'
import { freshDatabase, freshRedis, startPostgres, startProxy } from '../support/servers.ts'
import { until } from '../support/until.ts'
import { openReplica } from './local-replica.ts'
import { administer, RedisCopy, startReplica, warm } from './replicas.ts'

t.setTimeout(280_000)

const postgres = await startPostgres(t)
const lineage = async (url: string) => (await administer(url, 'select lineage from navis_keys.revocation_clock'))[0]?.['lineage']

t.test('when Postgres was away for longer than a window, memory is used again, and Redis under a new lineage', async (t) => {
  const redisUrl = await freshRedis(t)
  const options = { databaseUrl: postgres.url, redisUrl, windowMs: 1000 }
  const replicas = await Promise.all([startReplica(t, options), openReplica(t, options)])
  const keys = await replicas[0]!.createMany(3)
  await warm(replicas, keys)
  await until(async () => (await RedisCopy.of(redisUrl)).prefixes.size === 1)
  const before = await lineage(postgres.url)
  await postgres.stop()
  await until(async () => (await Promise.all(replicas.map(async (replica) => await replica.status(keys[0]!.token)))).every((status) => status === 503))
  await postgres.start()
  await warm(replicas, keys)
  await until(async () => await lineage(postgres.url) !== before)
  await until(async () => {
    await replicas[0]!.createMany(1).then(async (made) => { await warm(replicas, made) })
    return (await RedisCopy.of(redisUrl)).prefixes.size === 2
  })
  await replicas[1]!.revoke(keys[0]!.id)
  for (const replica of replicas) t.equal(await replica.status(keys[0]!.token), 401)
})

t.test('a replica that is led to a database of another lineage revokes nothing there', async (t) => {
  const [databaseUrl, redisUrl] = [await freshDatabase(t), await freshRedis(t)]
  const proxy = await startProxy(t, { to: Number(new URL(databaseUrl).port) })
  const replica = await startReplica(t, { databaseUrl: `postgres://postgres@127.0.0.1:${proxy.port}${new URL(databaseUrl).pathname}`, redisUrl, windowMs: 1000 })
  const [revoked] = await replica.createMany(1)
  await warm([replica], [revoked!])
  await replica.revoke(revoked!.id)
  // Another server has a database of the same name, in which the same key lives.
  await administer(postgres.url, `create database ${new URL(databaseUrl).pathname.slice(1)}`)
  const elsewhere = postgres.urlOf(new URL(databaseUrl).pathname.slice(1))
  const other = await openReplica(t, { databaseUrl: elsewhere, redisUrl, windowMs: 1000 })
  const [row] = await administer(databaseUrl, `select encode(digest, 'hex') as digest, hint from navis_keys.tokens where key_id = '${revoked!.id}'`)
  const made = await other.create()
  await administer(elsewhere, `update navis_keys.tokens set digest = decode('${String(row!['digest'])}', 'hex') where key_id = '${made.id}'`)
  proxy.lead(postgres.port)
  await administer(databaseUrl, 'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()')
  await until(async () => await replica.status(revoked!.token) === 200)
  t.strictSame(await administer(elsewhere, `select revoked_at from navis_keys.keys where id = '${made.id}'`), [{ revoked_at: null }])
  t.strictSame(await administer(elsewhere, "select count(*)::int as put_back from navis_keys.audit where actor = 'navis-keys'"), [{ put_back: 0 }])
})

t.test('a data folder that was copied while production runs is another history on the same Redis', async (t) => {
  const redisUrl = await freshRedis(t)
  const production = await startReplica(t, { databaseUrl: postgres.url, redisUrl, windowMs: 1000 })
  const [revoked, kept] = [await production.createMany(5), await production.createMany(2)]
  await warm([production], [...revoked, ...kept])
  const copy = await startPostgres(t)
  await copy.stop()
  await administer(postgres.url, 'checkpoint')
  // As a snapshot of the volume would have it: all at one moment.
  postgres.pause()
  rmSync(join(copy.dir, 'data'), { recursive: true })
  // With the modes of its folders, which Postgres insists on.
  execFileSync('cp', ['-a', join(postgres.dir, 'data'), copy.dir])
  postgres.resume()
  rmSync(join(copy.dir, 'data', 'postmaster.pid'))
  if (process.getuid?.() === 0) execFileSync('chown', ['-R', '--reference', copy.dir, join(copy.dir, 'data')])
  await copy.start()
  const staging = await openReplica(t, { databaseUrl: copy.url, redisUrl, windowMs: 1000 })
  await until(async () => await production.status(kept[0]!.token) === 200)
  for (const { id } of revoked) await production.revoke(id)
  await warm([staging], revoked)
  for (const { id } of kept) await staging.revoke(id)
  const made = await staging.create()
  await warm([staging], [made])
  for (const { token } of revoked) t.equal(await production.status(token), 401)
  for (const { token } of kept) t.equal(await production.status(token), 200)
  t.equal(await production.status(made.token), 401)
  // The copy founds its lineage once it has seen that no living member has the one of the original.
  await until(async () => await lineage(postgres.url) !== await lineage(copy.url))
})
