import postgres from 'postgres'
import t from 'tap'
import { connect } from '../../src/db/connect.ts'
import { recordUsage } from '../../src/db/queries/record-usage.ts'
import { openKeys } from '../../src/engine/open-keys.ts'
import { freshDatabase } from '../support/servers.ts'

t.test('ten thousand verifications of a hundred keys cost a handful of statements', async (t) => {
  const databaseUrl = await freshDatabase(t)
  const keys = await openKeys({ databaseUrl, lastUsedFlushMs: 3_600_000 })
  const sql = postgres(databaseUrl, { max: 1 })
  t.teardown(async () => { await sql.end(); await keys.close() })
  const made: Array<{ token: string }> = []
  for (let i = 0; i < 100; i++) made.push(await keys.service.create({ workspaceId: 'w1', actor: 'test', name: `k${i}`, scope: 'mcp:read' }))

  const verdicts = await Promise.all(Array.from({ length: 10_000 }, (_, i) => keys.verifier.verify(made[i % 100]!.token)))
  t.ok(verdicts.every(({ valid }) => valid))
  await keys.lastUsed.flush()
  t.match(keys.lastUsed.stats(), { flushes: 1, flushed: 100, pending: 0 })
  t.ok(keys.stats().postgres.statements <= 5, `${keys.stats().postgres.statements} statements for the misses`)
  const [row] = await sql`select count(*)::int as rows, bool_and(abs(extract(epoch from clock_timestamp() - last_used_at)) < 60) as recent from navis_keys.key_usage`
  t.same(row, { rows: 100, recent: true })
})

t.test('a later time is never overwritten by an earlier one, and times are the database\'s', async (t) => {
  const { db, sql, close } = connect({ url: await freshDatabase(t), max: 1 })
  t.teardown(close)
  const id = '01890a5d-ac96-774b-bcce-b302099a8057'
  const age = async () => Number((await sql`select extract(epoch from clock_timestamp() - last_used_at) as age from navis_keys.key_usage where key_id = ${id}`)[0]!['age'])
  await recordUsage(db, new Map([[id, 600_000]]))
  t.ok(Math.abs(await age() - 600) < 30)
  await recordUsage(db, new Map([[id, 0.25]]))
  t.ok(await age() < 30)
  await recordUsage(db, new Map([[id, 300_000]]))
  t.ok(await age() < 30)
})
