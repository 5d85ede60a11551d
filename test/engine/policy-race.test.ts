import postgres from 'postgres'
import t from 'tap'
import { openKeys } from '../../src/engine/open-keys.ts'
import { freshDatabase, freshRedis, until } from '../support/servers.ts'

const dayMs = 86_400_000

t.test('a key that one replica is making while another applies the first policy of the workspace to all keys is shortened by it, or bound by it', async (t) => {
  const databaseUrl = await freshDatabase(t)
  const redisUrl = await freshRedis(t)
  const [maker, ruler] = await Promise.all([openKeys({ databaseUrl, redisUrl }), openKeys({ databaseUrl, redisUrl })])
  const sql = postgres(databaseUrl, { max: 2, onnotice: () => {} })
  t.teardown(async () => { await Promise.all([maker.close(), ruler.close(), sql.end({ timeout: 2 })]) })
  // Each key's row waits here: by then the statement that makes it has read the policy, and nobody else can see the key.
  await sql`create function public.hold() returns trigger language plpgsql as 'begin perform pg_advisory_xact_lock_shared(7); return new; end'`
  await sql`create trigger hold before insert on navis_keys.keys for each row execute function public.hold()`
  const waiting = async () => (await sql`select from pg_locks join pg_database on pg_database.oid = pg_locks.database where datname = current_database() and not granted`).length

  const policy = { maxLifetimeDays: 10, defaultLifetimeDays: null, unusedDays: null }
  const holder = await sql.reserve()
  await holder`select pg_advisory_lock(7)`
  const making = maker.service.create({ workspaceId: 'acme', actor: 'test', name: 'endless', scope: 'mcp:read' })
  await until(async () => await waiting() === 1)
  const ruling = ruler.policies.set({ workspaceId: 'acme', actor: 'test', policy, apply: 'all' })
  let isRuled = false
  ruling.then(() => { isRuled = true }, () => {})
  // A second one waits: for the row of the policy, which the maker of the key holds. Without that it would be through with the key unseen.
  await until(async () => isRuled || (await sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`).length === 2)
  t.notOk(isRuled, 'the policy waits for the key that is being made')
  await holder`select pg_advisory_unlock(7)`
  holder.release()
  const { key, token } = await making
  t.match(await ruling, { shortened: 1 })
  const { expiresAt, createdAt } = await ruler.service.get({ workspaceId: 'acme', keyId: key.id })
  t.equal(expiresAt, createdAt + 10 * dayMs)
  for (const keys of [maker, ruler]) t.match(await keys.verifier.verify(token, { scope: 'mcp:read' } as never), { valid: true, key: { expiresAt } })
})
