import { sql } from 'drizzle-orm'
import t from 'tap'
import { connect } from '../../src/db/connect.ts'
import { listKeysStatement } from '../../src/db/queries/key-lists.ts'
import { freshDatabase } from '../support/servers.ts'

t.test('one person\'s few keys are found on an index, however many others have', async (t) => {
  const { db, close } = connect({ url: await freshDatabase(t), max: 1 })
  t.teardown(() => close())
  await db.execute(sql`
    insert into navis_keys.keys (id, workspace_id, owner_id, name, scope, created_by, created_at)
    select gen_random_uuid(), 'acme', case when n % 1000 = 0 then 'ada' else 'grace' end, 'key', 'mcp:read', 'test', clock_timestamp() - n * interval '1 second'
    from generate_series(1, 30000) n`)
  await db.execute(sql`analyze navis_keys.keys`)
  for (const status of ['active', 'all'] as const) {
    const statement = listKeysStatement(db, { workspaceId: 'acme', ownerId: 'ada', status, rowsMax: 21, after: undefined })
    t.equal((await db.execute(statement)).length, 21, status)
    const plan = (await db.execute<{ 'QUERY PLAN': string }>(sql`explain (analyze) ${statement}`)).map((row) => row['QUERY PLAN']).join('\n')
    // Without the subplans, which read hint, last use and previous token of each of the 21 rows.
    const [list = ''] = plan.split('SubPlan')
    t.match(list, /Index Scan using keys_list_owner/, status)
    t.notMatch(list, /Seq Scan|-> {2}Sort|Removed by Filter/, status)
  }
})
