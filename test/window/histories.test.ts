import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { requireProgram } from '../support/programs.ts'
import { freshDatabase, freshRedis } from '../support/servers.ts'
import { until } from '../support/until.ts'
import { openReplica } from './local-replica.ts'
import { administer, RedisCopy, startReplica, warm, type MadeKey, type Replica } from './replicas.ts'

const run = promisify(execFile)
const windowMs = 1000

const dump = async (url: string, file: string) => { await run(requireProgram('pg_dump'), ['--format=custom', `--file=${file}`, url]) }
const restore = async (url: string, file: string) => { await run(requireProgram('pg_restore'), ['--clean', '--if-exists', '--exit-on-error', '--single-transaction', `--dbname=${url}`, file]) }
const nameOf = (url: string) => new URL(url).pathname.slice(1)
const statuses = async (replica: Replica, keys: readonly MadeKey[]) => await Promise.all(keys.map(async ({ token }) => await replica.status(token)))
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
  const staging = await openReplica(t, { databaseUrl: besides(databaseUrl, copy), redisUrl, windowMs })
  await until(async () => await production.status(kept[0]!.token) === 200)
  for (const { id } of changed) await staging.revoke(id)
  await warm([staging], revoked)
  for (const { id } of revoked) await production.revoke(id)
  await warm([staging], revoked)
  const made = await staging.create()
  await warm([staging], [made])
  for (const { id } of kept) await staging.revoke(id)
  t.strictSame(await statuses(production, revoked), revoked.map(() => 401), 'what production revoked and staging uses')
  t.strictSame(await statuses(production, [...kept, ...changed]), [...kept, ...changed].map(() => 200), 'what staging revoked')
  t.equal(await production.status(made.token), 401, 'what staging made')
  // Staging founds a lineage when production's row in the copy has been counted out; what it reads from then on, it writes.
  await until(async () => {
    await warm([staging], [await staging.create()])
    return (await RedisCopy.of(redisUrl)).prefixes.size >= 2
  })
})

t.test('after a dump was restored in place, rows of the lost history count for nothing, and a replica that was frozen from before until after accepts nothing that was revoked since', async (t) => {
  const [databaseUrl, redisUrl] = [await freshDatabase(t), await freshRedis(t)]
  const folder = t.testdir({})
  const options = { databaseUrl, redisUrl, windowMs }
  const [before, frozen] = await Promise.all([openReplica(t, options), startReplica(t, options)])
  const [lost, keys, live] = [await before.createMany(10), await before.createMany(10), await before.createMany(1)]
  await warm([frozen], [...lost, ...keys, ...live])
  await dump(databaseUrl, `${folder}/dump`)
  for (const { id } of lost) await before.revoke(id)
  await warm([before, frozen], keys)
  await until(async () => (await RedisCopy.of(redisUrl)).size >= keys.length)
  const old = await RedisCopy.of(redisUrl)
  frozen.freeze()
  await before.stop()
  await administer(databaseUrl, 'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()')
  await restore(databaseUrl, `${folder}/dump`)
  const after = await openReplica(t, options)
  await warm([after], [...lost, ...keys, ...live])
  for (const { id } of keys) await after.revoke(id)
  await old.putBack(redisUrl)
  t.strictSame(await statuses(after, keys), keys.map(() => 401))
  t.strictSame(await statuses(await openReplica(t, options), keys), keys.map(() => 401), 'nor at a replica that has nothing in memory')
  const waking = statuses(frozen, keys)
  frozen.thaw()
  t.notOk((await waking).includes(200), 'while the frozen one wakes')
  await until(async () => await frozen.status(live[0]!.token) === 200)
  for (let round = 0; round < 10; round++) t.strictSame(await statuses(frozen, keys), keys.map(() => 401))
})
