import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import postgres from 'postgres'
import t from 'tap'
import { requireProgram } from '../support/programs.ts'
import { freshRedis, startPostgres } from '../support/servers.ts'
import { startStandby } from '../support/standby.ts'
import { until } from '../support/until.ts'
import { openReplica } from './local-replica.ts'
import { administer, startReplica, warm } from './replicas.ts'

/* The commands of docs/failover.md, as they stand there. */

t.setTimeout(240_000)

const page = readFileSync(new URL('../../docs/failover.md', import.meta.url), 'utf8')
/** The sections whose commands have been run, and in which language. */
const hasRun = new Set<string>()

/** The code of a section, without its indentation. */
function codeOf (section: string, language: 'sql' | 'sh'): string[] {
  const text = page.split(/^## /m).find((part) => part.startsWith(`${section}\n`))
  const found = [...(text ?? '').matchAll(new RegExp(`^ *\`\`\`${language}\n([^]*?)^ *\`\`\``, 'gm'))].map(([, code = '']) => code.replace(/^ +/gm, '').trim())
  if (found.length === 0) throw new Error(`docs/failover.md has no ${language} under "${section}".`)
  hasRun.add(`${section}: ${language}`)
  return found
}

const statementsOf = (section: string) => codeOf(section, 'sql').flatMap((code) => code.split(';').map((one) => one.trim()).filter((one) => one !== ''))

async function shell (section: string, { cwd, databaseUrl }: { cwd: string, databaseUrl: string }): Promise<void> {
  for (const code of codeOf(section, 'sh')) {
    await promisify(execFile)('/bin/sh', ['-ec', code], { cwd, env: { PATH: `${dirname(requireProgram('pg_restore'))}:${process.env['PATH'] ?? ''}`, DATABASE_URL: databaseUrl } })
  }
}

// A server of this file's own: a statement of the page ends whatever any pg_restore waits for.
const primary = await startPostgres(t)

t.test('a backup is made and restored as the page says, past a frozen process that holds a lock: what was revoked since is valid again, nothing puts it back, and Redis brings nothing from before', async (t) => {
  const [databaseUrl, redisUrl] = [primary.urlOf('restored'), await freshRedis(t)]
  await administer(primary.url, 'create database restored')
  const [cwd, options] = [t.testdir({}), { databaseUrl, redisUrl, windowMs: 1000 }]
  const before = await Promise.all([startReplica(t, options), openReplica(t, options)])
  const [undone, still] = [await before[0].createMany(3), await before[0].createMany(3)]
  for (const { id } of still) await before[0].revoke(id)
  await shell('A backup', { cwd, databaseUrl })
  for (const { id } of undone) await before[0].revoke(id)
  const lost = await before[0].create()
  await warm(before, [lost])
  for (const replica of before) await replica.stop()

  // What the server sees of a process that is frozen in the middle of a statement: a transaction that stays open.
  const frozen = postgres(databaseUrl, { max: 1, onnotice: () => {}, fetch_types: false })
  t.teardown(async () => { await frozen.end({ timeout: 1 }) })
  await frozen.unsafe('begin; lock table navis_keys.keys in access share mode').simple()
  const [{ pid }] = await frozen<[{ pid: number }]>`select pg_backend_pid() as pid`
  let isRestored = false
  const restored = shell('Restoring it', { cwd, databaseUrl }).finally(() => { isRestored = true })
  const waits = "select count(*)::int as waits from pg_stat_activity where application_name = 'pg_restore' and wait_event_type = 'Lock'"
  await until(async () => isRestored || (await administer(primary.url, waits))[0]?.['waits'] === 1)
  t.notOk(isRestored, 'the restore waits for the lock')
  const [end, ...others] = statementsOf('Restoring it')
  t.strictSame(others, [])
  t.strictSame(await administer(primary.url, end!), [{ pg_terminate_backend: true }], 'the connection that holds it is ended, and no other')
  await restored
  await until(async () => (await administer(primary.url, `select pid from pg_stat_activity where pid = ${pid}`)).length === 0)

  const after = await Promise.all([startReplica(t, options), openReplica(t, options)])
  await warm(after, undone)
  for (const { id } of undone) t.match(await after[0].shown(id), { status: 'active', revoked_by: null })
  for (const replica of after) for (const { token } of [...still, lost]) t.equal(await replica.status(token), 401)
  for (const { id } of undone) await after[0].revoke(id)
  for (const replica of after) for (const { token } of undone) t.equal(await replica.status(token), 401)
  t.notMatch(after[0].child.output, /the database had lost revocations/)
  t.strictSame(await administer(databaseUrl, "select count(*)::int as put_back from navis_keys.audit where actor = 'navis-keys'"), [{ put_back: 0 }])
})

t.test('after a failover to a synchronous standby, set up and promoted as the page says, nothing is lost and nothing has to be restarted', async (t) => {
  const standby = await startStandby(t, primary)
  await administer(primary.url, ...statementsOf('What to set'))
  const databaseUrl = `postgres://postgres@127.0.0.1:${primary.port},127.0.0.1:${standby.port}/postgres`
  const [redisUrl, windowMs] = [await freshRedis(t), 3000]
  const replicas = await Promise.all([
    startReplica(t, { databaseUrl, redisUrl, windowMs, environment: { REQUIRE_SYNCHRONOUS: 'on' } }),
    openReplica(t, { databaseUrl, redisUrl, windowMs, requireSynchronous: true })
  ])
  const [a] = replicas
  const [revoked, live] = [await a.createMany(4), await a.createMany(1)]
  await warm(replicas, [...revoked, ...live])
  for (const { id } of revoked) await a.revoke(id)
  await primary.kill()
  await administer(standby.url, ...statementsOf('Promoting a standby'))
  for (const replica of replicas) await until(async () => await replica.status(live[0]!.token) === 200)
  for (const replica of replicas) for (const { token } of revoked) t.equal(await replica.status(token), 401)
  for (const { id } of revoked) t.match(await a.shown(id), { revoked_by: 'tests' }, 'not lost, and so not put back')
  await a.revoke((await a.create()).id)
  t.notMatch(a.child.output, /the database had lost revocations/)
  t.strictSame(await administer(standby.url, "select count(*)::int as put_back from navis_keys.audit where actor = 'navis-keys'"), [{ put_back: 0 }])
})

t.test('no command of the page is left out', async (t) => {
  const printed = page.split(/^## /m).flatMap((part) => [...part.matchAll(/^ *```(\w+)\n/gm)].map(([, language]) => `${part.split('\n')[0]}: ${language}`))
  t.strictSame([...new Set(printed)].filter((block) => !hasRun.has(block)), [])
})
