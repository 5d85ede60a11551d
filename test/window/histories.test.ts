import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { requireProgram } from '../support/programs.ts'
import { freshDatabase, freshRedis } from '../support/servers.ts'
import { until } from '../support/until.ts'
import { administer, RedisCopy, startReplica, warm } from './replicas.ts'

const run = promisify(execFile)
const windowMs = 1000

const dump = async (url: string, file: string) => { await run(requireProgram('pg_dump'), ['--format=custom', `--file=${file}`, url]) }
const restore = async (url: string, file: string) => { await run(requireProgram('pg_restore'), ['--clean', '--if-exists', '--exit-on-error', '--single-transaction', `--dbname=${url}`, file]) }
const nameOf = (url: string) => new URL(url).pathname.slice(1)
const besides = (url: string, name: string) => Object.assign(new URL(url), { pathname: `/${name}` }).href

t.test('a staging database that is a copy of production, on the same Redis, changes nothing of what production says', async (t) => {
  const [databaseUrl, redisUrl] = [await freshDatabase(t), await freshRedis(t)]
  const adminUrl = besides(databaseUrl, 'postgres')
  const [name, copy] = [nameOf(databaseUrl), `${nameOf(databaseUrl)}_staging`]
  const production = await startReplica(t, { databaseUrl, redisUrl, windowMs })
  const [changed, revoked, kept] = [await production.createMany(20), await production.createMany(20), await production.createMany(6)]
  await warm([production], [...changed, ...revoked, ...kept])
  // The replica goes on: its row in the copy looks alive.
  await administer(adminUrl,
    `alter database ${name} allow_connections false`,
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`
  )
  await until(async () => { await administer(adminUrl, `create database ${copy} template ${name}`); return true })
  t.teardown(async () => { await administer(adminUrl, `drop database if exists ${copy} with (force)`) })
  await administer(adminUrl, `alter database ${name} allow_connections true`)
  const staging = await startReplica(t, { databaseUrl: besides(databaseUrl, copy), redisUrl, windowMs })
  await until(async () => await production.status(kept[0]!.token) === 200)
  for (const { id } of changed) await staging.revoke(id)
  await warm([staging], revoked)
  for (const { id } of revoked) await production.revoke(id)
  await warm([staging], revoked)
  const made = await staging.create()
  await warm([staging], [made])
  for (const { id } of kept) await staging.revoke(id)
  t.strictSame(await Promise.all(revoked.map(async ({ token }) => await production.status(token))), revoked.map(() => 401), 'what production revoked and staging uses')
  t.strictSame(await Promise.all([...kept, ...changed].map(async ({ token }) => await production.status(token))), [...kept, ...changed].map(() => 200), 'what staging revoked')
  t.equal(await production.status(made.token), 401, 'what staging made')
  await until(async () => (await RedisCopy.of(redisUrl)).prefixes.size >= 2)
})

t.test('after a dump was restored in place, rows of the lost history count for nothing', async (t) => {
  const [databaseUrl, redisUrl] = [await freshDatabase(t), await freshRedis(t)]
  const folder = t.testdir({})
  const options = { databaseUrl, redisUrl, windowMs }
  const before = await startReplica(t, options)
  const [lost, keys] = [await before.createMany(10), await before.createMany(10)]
  await dump(databaseUrl, `${folder}/dump`)
  for (const { id } of lost) await before.revoke(id)
  await warm([before], keys)
  await until(async () => (await RedisCopy.of(redisUrl)).size >= keys.length)
  const old = await RedisCopy.of(redisUrl)
  await before.stop()
  await restore(databaseUrl, `${folder}/dump`)
  const after = await startReplica(t, options)
  await warm([after], [...lost, ...keys])
  for (const { id } of keys) await after.revoke(id)
  await old.putBack(redisUrl)
  t.strictSame(await Promise.all(keys.map(async ({ token }) => await after.status(token))), keys.map(() => 401))
  const another = await startReplica(t, options)
  t.strictSame(await Promise.all(keys.map(async ({ token }) => await another.status(token))), keys.map(() => 401), 'nor at a replica that has nothing in memory')
})

t.test('a replica that was frozen from before the restore until after it accepts nothing that was revoked since', async (t) => {
  const [databaseUrl, redisUrl] = [await freshDatabase(t), await freshRedis(t)]
  const folder = t.testdir({})
  const options = { databaseUrl, redisUrl, windowMs }
  const [a, b] = await Promise.all([startReplica(t, options), startReplica(t, options)])
  const [lost, revoked, live] = [await a.createMany(2), await a.createMany(2), await a.createMany(1)]
  await warm([a, b], [...lost, ...revoked, ...live])
  await dump(databaseUrl, `${folder}/dump`)
  for (const { id } of lost) await a.revoke(id)
  b.freeze()
  await a.stop()
  await administer(databaseUrl, 'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()')
  await restore(databaseUrl, `${folder}/dump`)
  const after = await startReplica(t, options)
  await warm([after], [...revoked, ...live])
  for (const { id } of revoked) await after.revoke(id)
  const waking = revoked.map(async ({ token }) => await b.status(token))
  b.thaw()
  t.notOk((await Promise.all(waking)).includes(200), 'while it wakes')
  await until(async () => await b.status(live[0]!.token) === 200)
  for (let round = 0; round < 10; round++) for (const { token } of revoked) t.equal(await b.status(token), 401)
})
