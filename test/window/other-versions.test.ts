import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { choosePostgresUser } from '../../src/db/embedded/postgres-user.ts'
import { findPrograms } from '../../src/db/embedded/programs.ts'
import { migrate } from '../../src/db/migrate.ts'
import { openKeys, type Keys } from '../../src/engine/open-keys.ts'
import { otherPostgres } from '../support/other-postgres.ts'
import { freshRedis, startPostgres, until } from '../support/servers.ts'
import { administer } from './replicas.ts'

/* PostgreSQL 15 is what all the other tests run on. */

t.setTimeout(180_000)

const windowMs = 2000
const named = { workspaceId: 'acme', actor: 'ops' } as const

async function create (keys: Keys) {
  return await keys.service.create({ ...named, name: 'a key', scope: 'mcp:read' })
}

async function isValid (keys: Keys, token: string): Promise<boolean> {
  return (await keys.verifier.verify(token, { scope: 'mcp:read' })).valid
}

/** Everything that the window and the changes ask of a server: two replicas, changes of every kind, a power cut, a promise that holds after it. */
async function keepsThePromise (t: Test, major: number, programs: string): Promise<void> {
  const server = await startPostgres(t, { programs: join(programs, 'bin') })
  t.match(await administer(server.url, "select current_setting('server_version_num')::int / 10000 as major"), [{ major }])
  await migrate(server.url)
  const redisUrl = await freshRedis(t)
  const replicas = await Promise.all([1, 2].map(async () => await openKeys({ databaseUrl: server.url, redisUrl, trustWindowMs: windowMs })))
  t.teardown(async () => { for (const keys of replicas) await keys.close() })
  const [a, b] = replicas as [Keys, Keys]
  for (const keys of replicas) await until(() => keys.window.snapshot().hasLineage)
  t.match(a.window.snapshot().timeline, /^\d+\/[0-9A-F]{8}$/, 'its whole history is told')

  const [revoked, rotated, expired, live] = [await create(a), await create(a), await create(a), await create(a)]
  for (const keys of replicas) for (const { token } of [revoked, rotated, expired, live]) await until(async () => await isValid(keys, token))
  await a.service.revoke({ ...named, keyId: revoked.key.id })
  for (const keys of replicas) t.equal(await isValid(keys, revoked.token), false, 'revoked')
  const fresh = await a.service.rotate({ ...named, keyId: rotated.key.id })
  for (const keys of replicas) t.strictSame([await isValid(keys, rotated.token), await isValid(keys, fresh.token)], [false, true], 'rotated')
  const expiresAt = Date.now() + 1500
  await a.service.update({ ...named, keyId: expired.key.id, expiresAt })
  for (const keys of replicas) await until(async () => !await isValid(keys, expired.token))

  await server.kill()
  await server.start()
  for (const keys of replicas) await until(async () => await isValid(keys, live.token))
  for (const keys of replicas) for (const token of [revoked.token, rotated.token, expired.token]) t.equal(await isValid(keys, token), false, 'still after a power cut')
  await until(async () => { await b.service.revoke({ ...named, keyId: live.key.id }); return true })
  for (const keys of replicas) t.equal(await isValid(keys, live.token), false)
  t.equal(replicas.reduce((refused, keys) => refused + keys.stats().answersRefused, 0), 0)
}

for (const major of [16, 17] as const) {
  t.test(`the promise holds on PostgreSQL ${major}`, async (t) => { await keepsThePromise(t, major, otherPostgres(major)) })
}

t.test('the promise holds on PostgreSQL 18', async (t) => {
  await keepsThePromise(t, 18, findPrograms(choosePostgresUser(tmpdir(), tmpdir())))
})
