import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { requireProgram } from '../support/programs.ts'
import { freshDatabase, freshRedis, startPostgres } from '../support/servers.ts'
import { startStandby } from '../support/standby.ts'
import { until } from '../support/until.ts'
import { administer, startReplica, warm } from './replicas.ts'

/* The commands of docs/failover.md, as they stand there. */

t.setTimeout(240_000)

const page = readFileSync(new URL('../../docs/failover.md', import.meta.url), 'utf8')

/** The code of a section, without its indentation. */
function codeOf (section: string, language: 'sql' | 'sh'): string[] {
  const text = page.split(/^## /m).find((part) => part.startsWith(`${section}\n`))
  const found = [...(text ?? '').matchAll(new RegExp(`^ *\`\`\`${language}\n([^]*?)^ *\`\`\``, 'gm'))].map(([, code = '']) => code.replace(/^ +/gm, '').trim())
  if (found.length === 0) throw new Error(`docs/failover.md has no ${language} under "${section}".`)
  return found
}

const statementsOf = (section: string) => codeOf(section, 'sql').flatMap((code) => code.split(';').map((one) => one.trim()).filter((one) => one !== ''))

async function shell (section: string, { cwd, databaseUrl }: { cwd: string, databaseUrl: string }): Promise<void> {
  for (const code of codeOf(section, 'sh')) {
    await promisify(execFile)('/bin/sh', ['-ec', code], { cwd, env: { PATH: `${dirname(requireProgram('pg_restore'))}:${process.env['PATH'] ?? ''}`, DATABASE_URL: databaseUrl } })
  }
}

t.test('after a failover to a synchronous standby, set up and promoted as the page says, nothing is lost and nothing has to be restarted', async (t) => {
  const primary = await startPostgres(t)
  const standby = await startStandby(t, primary)
  await administer(primary.url, ...statementsOf('What to set'))
  const databaseUrl = `postgres://postgres@127.0.0.1:${primary.port},127.0.0.1:${standby.port}/postgres`
  const replicas = await Promise.all([1, 2].map(async () => await startReplica(t, { databaseUrl, redisUrl: await freshRedis(t), windowMs: 3000, environment: { REQUIRE_SYNCHRONOUS: 'on' } })))
  const [a] = replicas
  const [revoked, live] = [await a!.createMany(4), await a!.createMany(1)]
  await warm(replicas, [...revoked, ...live])
  for (const { id } of revoked) await a!.revoke(id)
  await primary.kill()
  await administer(standby.url, ...statementsOf('Promoting a standby'))
  for (const replica of replicas) await until(async () => await replica.status(live[0]!.token) === 200)
  for (const replica of replicas) for (const { token } of revoked) t.equal(await replica.status(token), 401)
  for (const { id } of revoked) t.match(await a!.shown(id), { revoked_by: 'tests' }, 'not lost, and so not put back')
  await a!.revoke((await a!.create()).id)
  for (const { child } of replicas) t.notMatch(child.output, /the database had lost revocations/)
})

t.test('a backup is made and restored as the page says: what was revoked since is valid again, nothing puts it back, and Redis brings nothing from before', async (t) => {
  const [databaseUrl, redisUrl] = [await freshDatabase(t), await freshRedis(t)]
  const [cwd, options] = [t.testdir({}), { databaseUrl, redisUrl, windowMs: 1000 }]
  const before = await Promise.all([startReplica(t, options), startReplica(t, options)])
  const [undone, still] = [await before[0]!.createMany(3), await before[0]!.createMany(3)]
  for (const { id } of still) await before[0]!.revoke(id)
  await shell('A backup', { cwd, databaseUrl })
  for (const { id } of undone) await before[0]!.revoke(id)
  const lost = await before[0]!.create()
  await warm(before, [lost])
  for (const replica of before) await replica.stop()
  await shell('Restoring it', { cwd, databaseUrl })
  const after = await Promise.all([startReplica(t, options), startReplica(t, options)])
  await warm(after, undone)
  for (const { id } of undone) t.match(await after[0]!.shown(id), { status: 'active', revoked_by: null })
  for (const replica of after) for (const { token } of [...still, lost]) t.equal(await replica.status(token), 401)
  for (const { id } of undone) await after[0]!.revoke(id)
  for (const replica of after) for (const { token } of undone) t.equal(await replica.status(token), 401)
  for (const { child } of after) t.notMatch(child.output, /the database had lost revocations/)
})
