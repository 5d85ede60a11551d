import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { requireProgram } from '../support/programs.ts'
import { freePort, ServerProcess } from '../support/server-process.ts'
import { freshRedis, startPostgres, type PostgresServer } from '../support/servers.ts'
import { until } from '../support/until.ts'
import { Links } from '../torture/links.ts'
import { administer, startReplica, warm } from './replicas.ts'

/** A standby that follows the primary over a link, and that no commit waits for. */
async function startStandby (t: Test, primary: PostgresServer): Promise<{ port: number, url: string, cut: () => Promise<unknown> }> {
  const carrier = new Links()
  t.teardown(() => { carrier.close() })
  const link = await carrier.open(primary.port)
  const server = new ServerProcess({ name: 'standby', unprivileged: true })
  t.teardown(async () => { await server.remove() })
  const [port, data] = [await freePort(), join(server.dir, 'data')]
  execFileSync(requireProgram('pg_basebackup'), ['-D', data, '-R', '-X', 'stream', '-c', 'fast', '-d', `postgres://postgres@127.0.0.1:${link.port}/postgres`], { ...server.user, cwd: server.dir, stdio: 'pipe' })
  await server.start({
    command: requireProgram('postgres'),
    args: ['-D', data, '-c', `port=${port}`, '-c', 'listen_addresses=127.0.0.1', '-c', `unix_socket_directories=${server.dir}`, '-c', 'max_connections=300', '-c', 'shared_buffers=64MB', '-c', 'dynamic_shared_memory_type=mmap'],
    ready: () => readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[7]?.trim() === 'ready'
  })
  return { port, url: `postgres://postgres@127.0.0.1:${port}/postgres`, cut: async () => await link.hold() }
}

t.test('revocations that a failover lost stay in force at the replicas that heard them, and are put back into the database', async (t) => {
  const primary = await startPostgres(t)
  const standby = await startStandby(t, primary)
  const databaseUrl = `postgres://postgres@127.0.0.1:${primary.port},127.0.0.1:${standby.port}/postgres`
  const options = { databaseUrl, redisUrl: await freshRedis(t), windowMs: 3000 }
  const [a, b] = await Promise.all([startReplica(t, options), startReplica(t, options)])
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
