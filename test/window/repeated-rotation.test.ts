import postgres from 'postgres'
import t from 'tap'
import { freshDatabase, freshRedis } from '../support/servers.ts'
import { until } from '../support/until.ts'
import { Links } from '../torture/links.ts'
import { administer, startReplica, warm, type MadeKey } from './replicas.ts'

t.setTimeout(120_000)

t.test('a token that a rotation without an answer has ended is refused everywhere when the rotation is repeated, or the key revoked', async (t) => {
  const [databaseUrl, redisUrl] = [await freshDatabase(t), await freshRedis(t)]
  const links = new Links()
  t.teardown(() => { links.close() })
  const link = await links.open(Number(new URL(databaseUrl).port))
  // It must still be open after what happens below on a busy machine.
  const windowMs = 30_000
  const a = await startReplica(t, { databaseUrl, redisUrl, windowMs })
  const b = await startReplica(t, { databaseUrl: Object.assign(new URL(databaseUrl), { port: String(link.port) }).href, redisUrl, windowMs })
  for (const replica of [a, b]) await until(async () => await replica.hasLineage())
  const [repeated, revoked, witness] = await a.createMany(3) as [MadeKey, MadeKey, MadeKey]
  await warm([a, b], [repeated, revoked, witness])

  // Both rotations wait for a lock. When they get it, no answer comes back any more.
  const admin = postgres(databaseUrl, { max: 1, onnotice: () => {} })
  t.teardown(() => admin.end({ timeout: 1 }))
  const lock = await admin.reserve()
  await lock.unsafe('begin; select from navis_keys.keys for update')
  for (const { id } of [repeated, revoked]) b.rotate(id).catch(() => {})
  await until(async () => (await administer(databaseUrl, "select count(*)::int as waiting from pg_stat_activity where wait_event_type = 'Lock'"))[0]?.['waiting'] === 2)
  await link.delay({ toClientMs: 120_000 })
  await lock.unsafe('commit')
  lock.release()
  for (const { id } of [repeated, revoked]) await until(async () => (await administer(databaseUrl, `select count(*)::int as tokens from navis_keys.tokens where key_id = '${id}'`))[0]?.['tokens'] === 2)
  t.equal((await a.rotate(repeated.id)).status, 201)
  await a.revoke(revoked.id)
  t.equal(await b.status(witness.token), 200, 'the replica that had no answer is still open: it has acknowledged over Redis')
  for (const { token } of [repeated, revoked]) t.not(await b.status(token), 200)
  for (const { token } of [repeated, revoked]) t.equal(await a.status(token), 401)
  await link.heal()
  await until(async () => await b.status(witness.token) === 200)
  for (const { token } of [repeated, revoked]) await until(async () => await b.status(token) === 401)
})
