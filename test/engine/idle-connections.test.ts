import t from 'tap'
import { migrate } from '../../src/db/migrate.ts'
import { openKeys } from '../../src/engine/open-keys.ts'
import { isLong } from '../support/long.ts'
import { startPostgres, until } from '../support/servers.ts'
import { administer } from '../window/replicas.ts'

t.setTimeout(240_000)

const [windowOnly, upkeep] = [2, 1]

/* A connection lives for up to two minutes while others do the work, so this is waiting for the most part. */
t.test('after a burst a replica gives its connections back, also while its own upkeep asks something every few seconds', { skip: !isLong && 'takes two minutes: npm run test:long' }, async (t) => {
  const server = await startPostgres(t)
  await migrate(server.url)
  const keys = await openKeys({ databaseUrl: server.url, databaseConnectionsMax: 10, retention: { auditDays: null, usageDays: 90, callDays: 30, endedKeyDays: null } })
  t.teardown(async () => { await keys.close() })
  const open = async () => (await administer(server.url, "select count(*)::int as count from pg_stat_activity where application_name = 'navis-keys'"))[0]?.['count'] as number
  const made = await Promise.all(Array.from({ length: 60 }, async () => await keys.service.create({ workspaceId: 'acme', name: 'n', scope: 'mcp:read', actor: 'ops', ownerId: null, metadata: {}, expiresAt: null } as never) as unknown as { token: string }))
  for (const { token } of made) t.equal((await keys.verifier.verify(token, { scope: 'mcp:read' } as never)).valid, true)
  const burst = await open()
  t.ok(burst >= 6, `${burst} in the burst`)
  await until(async () => await open() <= windowOnly + upkeep, { timeoutMs: 180_000 })
  t.equal((await keys.verifier.verify(made[0]!.token, { scope: 'mcp:read' } as never)).valid, true)
  t.ok((await keys.service.create({ workspaceId: 'acme', name: 'n', scope: 'mcp:read', actor: 'ops', ownerId: null, metadata: {}, expiresAt: null } as never)))
})
