import { sql } from 'drizzle-orm'
import t from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { KeyService } from '../../src/core/key-service.ts'
import { TokenFormat } from '../../src/core/token.ts'
import { connect } from '../../src/db/connect.ts'
import { PostgresKeyStore } from '../../src/db/key-store.ts'
import { borrowedPool } from '../../src/db/replaceable-pool.ts'
import { freshDatabase } from '../support/servers.ts'

t.test('a use changes the index of the lists only when its minute is another one: all other updates are HOT', async (t) => {
  const { db, sql: client, close } = connect({ url: await freshDatabase(t) })
  t.teardown(() => close())
  await db.execute(sql`insert into navis_keys.key_usage (key_id, workspace_id, last_used_at) values (gen_random_uuid(), 'acme', '2026-11-26 10:00:01Z')`)
  // In one transaction: at its end, the server may reset these counts.
  const counts = await client.begin(async (sql) => {
    const found = []
    for (const seconds of [20, 38, 1]) {
      await sql`update navis_keys.key_usage set last_used_at = last_used_at + ${seconds}::int * interval '1 second'`
      found.push(...await sql`select pg_stat_get_xact_tuples_updated('navis_keys.key_usage'::regclass)::int as all, pg_stat_get_xact_tuples_hot_updated('navis_keys.key_usage'::regclass)::int as hot`)
    }
    return found
  })
  t.same(counts, [{ all: 1, hot: 1 }, { all: 2, hot: 2 }, { all: 3, hot: 2 }], 'the third one is in the next minute')
})

const atOnce = { inForce: async () => 'fast' as const, announce () {} }

for (const { how, others } of [{ how: 'sorted', others: 0 }, { how: 'read along the index', others: 5100 }]) {
  t.test(`pages in the order of the last use go forward and back and have every key once, ${how}`, { timeout: 120_000 }, async (t) => {
    const { db, close } = connect({ url: await freshDatabase(t) })
    t.teardown(() => close())
    // Every seventh is not used; minutes with one key, and with two. The others are used the latest, and revoked.
    await db.execute(sql`
      insert into navis_keys.keys (id, workspace_id, owner_id, name, scope, created_by, created_at, revoked_at, revoked_by)
      select gen_random_uuid(), 'acme', case when n <= 50 then 'ada' else 'bob' end, 'key ' || n, 'mcp:read', 'o', now() - interval '1 year', case when n > 50 then now() end, case when n > 50 then 'o' end
      from generate_series(1, ${50 + others}::int) n`)
    await db.execute(sql`insert into navis_keys.tokens (digest, key_id, hint) select sha256(id::text::bytea), id, 'h' from navis_keys.keys`)
    await db.execute(sql`
      insert into navis_keys.key_usage (key_id, workspace_id, last_used_at)
      select id, workspace_id, case when owner_id = 'bob' then now() when right(name, 1) <> '7' then now() - interval '1 day' + right(name, 2)::int / 2 * interval '60 seconds' + interval '1 second' end from navis_keys.keys`)
    await db.execute(sql`analyze`)
    const store = new PostgresKeyStore({ pool: borrowedPool(db, (db) => db) })
    const service = new KeyService({ store, force: atOnce, clock: systemClock, tokens: new TokenFormat() })
    for (const filter of [{ status: 'all' }, { status: 'active' }, { status: 'all', ownerId: 'ada' }, { status: 'active', q: 'key 1' }, { status: 'all', q: 'y 4' }, { status: 'all', q: 'key 99' }, { status: 'active', q: '3' }, { status: 'active', neverUsed: true }] as const) {
      const whole = (await service.list({ workspaceId: 'acme', ...filter, limit: 7000 })).keys
      for (const order of ['used', 'idle'] as const) {
        const said = `${JSON.stringify(filter)}, ${order}`
        const limit = filter.status === 'all' && others > 0 ? 1700 : 8
        const pages = []
        let cursor: string | undefined
        do {
          const page = await service.list({ workspaceId: 'acme', ...filter, order, limit, cursor })
          pages.push(page)
          cursor = page.nextCursor ?? undefined
        } while (cursor !== undefined)
        const found = pages.flatMap(({ keys }) => keys)
        t.same(found.map(({ id }) => id).sort(), whole.map(({ id }) => id).sort(), `${said}: every key once`)
        const minutes = found.map(({ lastUsedAt }) => Math.floor((lastUsedAt ?? 0) / 60_000))
        t.same(minutes, minutes.toSorted((a, b) => order === 'used' ? b - a : a - b), `${said}: in order`)
        for (const [index, { previousCursor }] of pages.entries()) {
          if (index === 0) continue
          const before = await service.list({ workspaceId: 'acme', ...filter, order, limit, before: previousCursor! })
          t.same(before.keys.map(({ id }) => id), pages[index - 1]!.keys.map(({ id }) => id), `${said}: back from page ${index + 1}`)
        }
      }
    }
  })
}
