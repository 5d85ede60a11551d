import { execFile } from 'node:child_process'
import { appendFileSync, chownSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { waitOutMs } from '../../src/core/window/durations.ts'
import { isLong } from '../support/long.ts'
import { requireProgram } from '../support/programs.ts'
import { freshDatabase, freshRedis, startPostgres, type PostgresServer } from '../support/servers.ts'
import { until } from '../support/until.ts'
import { administer, RedisCopy, startReplica, warm, type MadeKey, type RunningReplica } from './replicas.ts'

/* Databases that are restored while replicas run, or from a dump in which rows of replicas look alive. */

t.setTimeout(240_000)

const run = promisify(execFile)
const windowMs = 1000
// test/window/histories.test.ts and the simulation keep the same promises within `npm test`.
const skip = !isLong && 'real restores, each of many seconds: npm run test:long'

const dump = async (url: string, file: string) => { await run(requireProgram('pg_dump'), ['--format=custom', '--schema=navis_keys', `--file=${file}`, url]) }
const restore = async (url: string, file: string) => { await run(requireProgram('pg_restore'), ['--exit-on-error', '--single-transaction', `--dbname=${url}`, file]) }
const lineage = async (url: string) => (await administer(url, 'select lineage from navis_keys.revocation_clock'))[0]?.['lineage']
const statuses = async (replicas: readonly RunningReplica[], keys: readonly MadeKey[]) => await Promise.all(replicas.flatMap((replica) => keys.map(async ({ token }) => await replica.status(token))))
const passes = async (ms: number) => { const end = performance.now() + ms; await until(() => performance.now() > end, { timeoutMs: 2 * ms + 1000 }) }

/** Until the history of now has reached the positions under which the lost one was read: rows of that one are no longer ahead of what is known. */
async function catchUp (replica: RunningReplica, [key]: readonly MadeKey[]): Promise<void> {
  for (let n = 0; n < 25; n++) await replica.edit(key!.id, { name: `catching up ${n}` })
}

interface Restored {
  /** Stopped from before the dump until after the restore. */
  readonly frozen: boolean
}

/** The tables are away for longer than W and come back older, while the replicas run. */
async function restoredUnderReplicas (t: Test, { frozen }: Restored): Promise<void> {
  const [databaseUrl, redisUrl] = [await freshDatabase(t), await freshRedis(t)]
  const file = `${t.testdir({})}/dump`
  const options = { databaseUrl, redisUrl, windowMs }
  const [a, b] = await Promise.all([startReplica(t, options), startReplica(t, options)])
  const [before, keys, live] = [await a.createMany(10), await a.createMany(10), await a.createMany(1)]
  await warm([a, b], [...before, ...keys, ...live])
  if (frozen) b.freeze()
  await dump(databaseUrl, file)
  const old = await lineage(databaseUrl)
  await Promise.all(before.map(async ({ id }) => { await a.revoke(id) }))
  // Read anew, under positions that the history after the restore gives to other changes.
  for (const key of keys) await a.edit(key.id, { name: 'seen later' })
  await warm([a], keys)
  const held = await RedisCopy.of(redisUrl)
  await administer(databaseUrl, 'drop schema navis_keys cascade')
  await until(async () => (await statuses([a], live)).every((status) => status === 503))
  await passes(waitOutMs(windowMs))
  await restore(databaseUrl, file)
  if (!frozen) await warm([b], live)
  await warm([a], [...keys, ...live])
  for (const { id } of keys) await a.revoke(id)
  await catchUp(a, live)
  await held.putBack(redisUrl)
  if (frozen) {
    const waking = statuses([b], keys)
    b.thaw()
    t.notOk((await waking).includes(200), 'nothing is accepted while it wakes')
    await warm([b], live)
  }
  t.strictSame(await statuses([a, b], keys), Array.from({ length: 2 * keys.length }, () => 401), 'what was revoked since the restore')
  t.strictSame(await statuses([a, b], before), Array.from({ length: 2 * before.length }, () => 401), 'what a replica that lived had heard of stays revoked')
  await until(async () => await lineage(databaseUrl) !== old)
  const later = await startReplica(t, options)
  t.strictSame(await statuses([later], keys), keys.map(() => 401), 'nor at a replica that has nothing in memory')
  const made = await later.create()
  await warm([a, b, later], [made])
  await until(async () => (await RedisCopy.of(redisUrl)).prefixes.size > held.prefixes.size)
}

t.test('while a database is restored under running replicas, for as long as W, nothing that is revoked afterwards is accepted, whatever Redis gives back', { skip }, async (t) => {
  await restoredUnderReplicas(t, { frozen: false })
})

t.test('nor by a replica that was stopped from before the dump until after the restore', { skip }, async (t) => {
  await restoredUnderReplicas(t, { frozen: true })
})

/** A server whose data is that of a base backup, recovered to a named point and promoted: on the next timeline after that of the backup. */
async function recover (server: PostgresServer, { base, archive, point }: { base: string, archive: string, point: string }): Promise<void> {
  const data = join(server.dir, 'data')
  const { uid, gid } = statSync(server.dir)
  rmSync(data, { recursive: true, force: true })
  await run('cp', ['-a', base, data])
  writeFileSync(join(data, 'recovery.signal'), '')
  appendFileSync(join(data, 'postgresql.auto.conf'), `\nrestore_command = 'cp ${archive}/%f %p'\nrecovery_target_name = '${point}'\nrecovery_target_action = 'promote'\narchive_mode = 'off'\n`)
  if (process.getuid?.() === 0) await run('chown', ['-R', `${uid}:${gid}`, data])
  await server.start()
  await until(async () => (await administer(server.url, 'select not pg_is_in_recovery() as done'))[0]?.['done'])
}

t.test('after a recovery to a point in time, twice to the same timeline number, nothing that was revoked since the second one is accepted', { skip }, async (t) => {
  const original = await startPostgres(t, { settings: { wal_level: 'replica', archive_mode: 'on' } })
  const { uid, gid } = statSync(original.dir)
  const [archive, base] = [join(original.dir, 'archive'), join(original.dir, 'base')]
  mkdirSync(archive)
  if (process.getuid?.() === 0) chownSync(archive, uid, gid)
  await administer(original.url, `alter system set archive_command = 'cp %p ${archive}/%f'`, 'select pg_reload_conf()')
  const redisUrl = await freshRedis(t)
  const first = await startReplica(t, { databaseUrl: original.url, redisUrl, windowMs })
  const [changed, keys, live] = [await first.createMany(10), await first.createMany(10), await first.createMany(1)]
  await run(requireProgram('pg_basebackup'), ['-D', base, '-X', 'none', '-c', 'fast', '-d', original.url], { cwd: '/' })
  const [{ file } = {}] = await administer(original.url, "select pg_walfile_name(pg_create_restore_point('here')) as file")
  await administer(original.url, 'select pg_switch_wal()')
  await until(async () => (await administer(original.url, `select last_archived_wal >= '${String(file)}' as done from pg_stat_archiver`))[0]?.['done'])
  await first.stop()
  await original.stop()

  const server = await startPostgres(t)
  await server.stop()
  const timelines: unknown[] = []
  const timeline = async () => (await administer(server.url, 'select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) as timeline'))[0]?.['timeline']
  await recover(server, { base, archive, point: 'here' })
  timelines.push(await timeline())
  const options = { databaseUrl: server.url, redisUrl, windowMs }
  const a = await startReplica(t, options)
  await warm([a], [...keys, ...live])
  await until(async () => await a.hasLineage())
  for (const { id } of changed) await a.revoke(id)
  for (const key of keys) await a.edit(key.id, { name: 'seen on the first' })
  await warm([a], keys)
  await until(async () => (await RedisCopy.of(redisUrl)).size >= keys.length)
  const held = await RedisCopy.of(redisUrl)
  await server.stop()
  await until(async () => (await statuses([a], live)).every((status) => status === 503))
  await passes(waitOutMs(windowMs))
  await recover(server, { base, archive, point: 'here' })
  timelines.push(await timeline())
  t.equal(timelines[0], timelines[1], 'the same timeline, by its number')
  await warm([a], [...keys, ...live])
  for (const { id } of keys) await a.revoke(id)
  await catchUp(a, live)
  await held.putBack(redisUrl)
  const later = await startReplica(t, options)
  await warm([later], live)
  t.strictSame(await statuses([a, later], keys), Array.from({ length: 2 * keys.length }, () => 401))
})

t.test('replicas on a dump whose rows look alive verify at once, and use no Redis until those are counted out', { skip }, async (t) => {
  const [databaseUrl, copyUrl, redisUrl] = [await freshDatabase(t), await freshDatabase(t, { migrated: false }), await freshRedis(t)]
  const file = `${t.testdir({})}/dump`
  const before = await startReplica(t, { databaseUrl, redisUrl, windowMs: 4000 })
  const keys = await before.createMany(2)
  await warm([before], keys)
  await until(async () => await before.hasLineage())
  await dump(databaseUrl, file)
  await restore(copyUrl, file)
  const old = await lineage(copyUrl)
  await before.stop()
  const rows = (await RedisCopy.of(redisUrl)).size
  const replicas = await Promise.all([1, 2].map(async () => await startReplica(t, { databaseUrl: copyUrl, redisUrl, windowMs: 4000 })))
  await warm(replicas, keys)
  t.strictSame(await Promise.all(replicas.map(async (replica) => await replica.hasLineage())), [false, false], 'keys are verified, and nothing is known of the history')
  t.equal((await RedisCopy.of(redisUrl)).size, rows, 'nothing is written to Redis')
  t.equal(await lineage(copyUrl), old)
  await until(async () => (await Promise.all(replicas.map(async (replica) => await replica.hasLineage()))).every(Boolean))
  t.not(await lineage(copyUrl), old)
})

t.test('a replica that joins a living fleet may use Redis within two seconds, and a lone one after a clean stop long before W', { skip }, async (t) => {
  const [databaseUrl, redisUrl] = [await freshDatabase(t), await freshRedis(t)]
  const options = { databaseUrl, redisUrl, windowMs: 10_000 }
  const members = async () => await administer(databaseUrl, 'select id, lineage from navis_keys.window_members where dead_at is null')
  const fleet = await Promise.all([startReplica(t, options), startReplica(t, options)])
  await until(async () => (await members()).every(({ lineage }) => lineage !== null))
  // On a busy machine one of several joinings shows what it takes.
  let quickestMs = Infinity
  for (let joining = 0; joining < 3 && quickestMs > 2000; joining++) {
    const known = new Set((await members()).map(({ id }) => id))
    const joined = async () => (await members()).find(({ id }) => !known.has(id))
    const starting = startReplica(t, options)
    await until(joined)
    const at = performance.now()
    await until(async () => (await joined())?.['lineage'] !== null)
    quickestMs = Math.min(quickestMs, performance.now() - at)
    fleet.push(await starting)
  }
  t.ok(quickestMs <= 2000, `${Math.round(quickestMs)} ms`)
  for (const replica of fleet) await replica.stop()
  t.strictSame(await members(), [], 'each has left')
  const lone = startReplica(t, options)
  await until(async () => (await members()).length === 1)
  const at = performance.now()
  await until(async () => (await members())[0]?.['lineage'] !== null)
  const tookMs = performance.now() - at
  await lone
  t.ok(tookMs < waitOutMs(10_000) / 2, `${Math.round(tookMs)} ms`)
})
