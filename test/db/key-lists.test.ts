import t from 'tap'
import { sql, type SQL } from 'drizzle-orm'
import { v7 as uuidv7 } from 'uuid'
import { connect } from '../../src/db/connect.ts'
import { listAuditStatement } from '../../src/db/queries/audit.ts'
import { countKeys, countKeysStatement, listKeys, listKeysStatement, lookedTo } from '../../src/db/queries/key-lists.ts'
import { freshDatabase } from '../support/servers.ts'

t.test('a page of every list is read along an index, in a workspace of many keys among many', { timeout: 180_000 }, async (t) => {
  const { db, close } = connect({ url: await freshDatabase(t) })
  t.teardown(() => close())
  await db.execute(sql`
    insert into navis_keys.keys (id, workspace_id, owner_id, name, scope, created_by, created_at, expires_at, expiry_notice, revoked_at, revoked_by)
    select gen_random_uuid(), 'workspace ' || n % 10, case when n % 101 < 2 then 'ada' else 'bob' end, case when n % 997 < 10 then 'deploy ' else 'laptop ' end || n,
      case when n % 103 < 10 then 'mcp:write' else 'mcp:read' end, 'o', now() - interval '100 days' - n * interval '1 second',
      case when n > 30000 then now() - interval '1 minute' when n % 3 = 1 then now() + interval '1 day' end, case when n > 30000 then 0 end,
      case when n % 4 = 0 then now() end, case when n % 4 = 0 then 'o' end
    from generate_series(1, 60000) n`)
  await db.execute(sql`insert into navis_keys.audit (id, workspace_id, action, actor, at)
    select gen_random_uuid(), 'workspace ' || n % 10, 'key.created', 'actor ' || n % 7, now() - n * interval '1 second' from generate_series(1, 60000) n`)
  await db.execute(sql`insert into navis_keys.tokens (digest, key_id, hint) select sha256(id::text::bytea), id, 'h' from navis_keys.keys`)
  // Not used: few for 60 days, many for 30, some at all.
  await db.execute(sql`insert into navis_keys.key_usage (key_id, workspace_id, last_used_at)
    select id, workspace_id, now() - interval '1 day' * case when n % 500 = 0 then 90 when n % 2 = 0 then 45 else 1 end
    from (select id, workspace_id, row_number() over (order by created_at desc) as n from navis_keys.keys) as keys`)
  await db.execute(sql`analyze`)
  const after = { at: Date.now() - 100 * 86_400_000 - 20_000_000, id: uuidv7() }
  const workspaceId = 'workspace 1'
  const [row] = await db.execute<{ id: string, at: number }>(sql`select id, (extract(epoch from created_at) * 1000)::float8 as at from navis_keys.keys where workspace_id = ${workspaceId} and ended = 0 order by created_at offset 1000 limit 1`)
  const middle = row!
  const statements = [
    ...(['all', 'active', 'expired', 'revoked'] as const).flatMap((status) => [
      { when: `keys, ${status}, first page`, statement: listKeysStatement(db, { workspaceId, status, rowsMax: 51, after: undefined }) },
      { when: `keys, ${status}, a page far down`, statement: listKeysStatement(db, { workspaceId, status, rowsMax: 51, after }) }
    ]),
    ...(['all', 'active', 'expired', 'revoked'] as const).flatMap((status) => [
      { when: `keys, ${status}, of an owner`, statement: listKeysStatement(db, { workspaceId, status, ownerId: 'ada', rowsMax: 51, after: undefined }) },
      { when: `keys, ${status}, of a scope`, statement: listKeysStatement(db, { workspaceId, status, scope: 'mcp:write', rowsMax: 51, after: undefined }) }
    ]),
    ...(['oldest', 'name', 'expiry'] as const).flatMap((order) => (['all', 'active'] as const).flatMap((status) => [
      { when: `keys, ${status}, ${order} first`, statement: listKeysStatement(db, { workspaceId, status, order, rowsMax: 21, after: undefined }) },
      { when: `keys, ${status}, ${order} first, far down`, statement: listKeysStatement(db, { workspaceId, status, order, rowsMax: 21, after: middle }) },
      { when: `keys, ${status}, ${order} first, the page before one far down`, statement: listKeysStatement(db, { workspaceId, status, order, rowsMax: 21, after: undefined, before: middle }) }
    ])),
    // 6,000 keys are too many to be sorted, and read along the index of last uses; the active ones are sorted.
    ...(['used', 'idle'] as const).flatMap((order) => (['all', 'active'] as const).flatMap((status) => [
      { when: `keys, ${status}, ${order} first`, statement: listKeysStatement(db, { workspaceId, status, order, rowsMax: 21, after: undefined }), vainMax: 5000 },
      { when: `keys, ${status}, ${order} first, far down`, statement: listKeysStatement(db, { workspaceId, status, order, rowsMax: 21, after }), vainMax: 5000 },
      { when: `keys, ${status}, ${order} first, the page before one far down`, statement: listKeysStatement(db, { workspaceId, status, order, rowsMax: 21, after: undefined, before: after }), vainMax: 5000 }
    ])),
    { when: 'keys, newest first, the page before one far down', statement: listKeysStatement(db, { workspaceId, status: 'active', rowsMax: 21, after: undefined, before: middle }) },
    { when: 'keys that expire soon, by their expiry', statement: listKeysStatement(db, { workspaceId, status: 'active', expiresWithinDays: 7, order: 'expiry', rowsMax: 21, after: undefined }) },
    { when: 'keys, by a part of the name', statement: listKeysStatement(db, { workspaceId, status: 'active', q: 'eplo', rowsMax: 21, after: undefined }), vainMax: 5500 },
    { when: 'keys that have the newest names of all', statement: listKeysStatement(db, { workspaceId, status: 'active', q: 'laptop', rowsMax: 51, after: undefined }), vainMax: 2000 },
    { when: 'keys by a part that no name has', statement: listKeysStatement(db, { workspaceId, status: 'active', q: 'nowhere', rowsMax: 51, after: undefined }), vainMax: 3001 },
    { when: 'keys by two letters that no name has', statement: listKeysStatement(db, { workspaceId, status: 'active', q: 'zz', rowsMax: 51, after: undefined }), vainMax: 3001 },
    { when: 'keys by a letter that no name has', statement: listKeysStatement(db, { workspaceId, status: 'all', q: 'z', rowsMax: 51, after: undefined }), vainMax: 3001 },
    { when: 'keys by two letters that few names have', statement: listKeysStatement(db, { workspaceId, status: 'active', q: 'de', rowsMax: 51, after: undefined }), vainMax: 5500 },
    { when: 'keys that few have not used', statement: listKeysStatement(db, { workspaceId, status: 'active', unusedDays: 60, rowsMax: 51, after: undefined }) },
    { when: 'keys that many have not used', statement: listKeysStatement(db, { workspaceId, status: 'active', unusedDays: 30, rowsMax: 51, after: undefined }) },
    { when: 'keys that all have used', statement: listKeysStatement(db, { workspaceId, status: 'active', unusedDays: 95, rowsMax: 51, after: undefined }) },
    { when: 'how many keys few have not used', statement: countKeysStatement(db, { workspaceId, status: 'active', unusedDays: 60 }), isCount: true },
    { when: 'how many keys are active', statement: countKeysStatement(db, { workspaceId, status: 'active' }), isCount: true },
    { when: 'audit, first page', statement: listAuditStatement(db, { workspaceId, rowsMax: 51, after: undefined }) },
    { when: 'audit, a page far down', statement: listAuditStatement(db, { workspaceId, rowsMax: 51, after }) },
    { when: 'audit, of an actor', statement: listAuditStatement(db, { workspaceId, actor: 'actor 3', rowsMax: 51, after: undefined }) },
    { when: 'audit, of a key', statement: listAuditStatement(db, { workspaceId, keyId: uuidv7(), rowsMax: 51, after: undefined }) },
    { when: 'audit, of a day', statement: listAuditStatement(db, { workspaceId, from: Date.now() - 50_000_000, to: Date.now() - 40_000_000, rowsMax: 51, after: undefined }) }
  ]
  for (const { when, statement, isCount = false, vainMax = 500 } of statements as Array<{ when: string, statement: SQL, isCount?: true, vainMax?: number }>) {
    const rows = await db.execute<{ 'QUERY PLAN': string }>(sql`explain (analyze, buffers) ${statement}`)
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
    // A few rows are sorted: those of the page itself, and those that have expired since the upkeep last looked.
    t.notMatch(plan, /Seq Scan|external merge|Sort Method: quicksort {2}Memory: \d{4,}kB/, when)
    t.match(plan, isCount ? /Index/ : /Index Scan/, when)
    const removed = Math.max(0, ...[...plan.matchAll(/Rows Removed by (?:Filter|Index Recheck): (\d+)/g)].map(([, rows]) => Number(rows)))
    t.ok(removed < vainMax, `${when}: ${removed} rows read in vain`)
  }
})

t.test('what is searched for is found wherever it stands, and a page that was not full goes on after what was looked at', { timeout: 180_000 }, async (t) => {
  const { db, close } = connect({ url: await freshDatabase(t) })
  t.teardown(() => close())
  // 28,000 keys, newest first: 22,000 of other names, then 6,000 of a common one, of which the oldest 3 have not been used.
  await db.execute(sql`
    insert into navis_keys.keys (id, workspace_id, name, scope, created_by, created_at)
    select gen_random_uuid(), 'acme', case when n > 22000 then 'deploy ' else 'laptop ' end || n, 'mcp:read', 'o', now() - interval '50 days' - n * interval '1 second' from generate_series(1, 28000) n`)
  await db.execute(sql`insert into navis_keys.tokens (digest, key_id, hint) select sha256(id::text::bytea), id, 'h' from navis_keys.keys`)
  await db.execute(sql`insert into navis_keys.key_usage (key_id, workspace_id, last_used_at)
    select id, workspace_id, case name when 'deploy 28000' then null when 'deploy 27999' then now() - interval '31 days' when 'deploy 27998' then now() - interval '30 days 1 second' else now() - interval '29 days 23 hours' end from navis_keys.keys`)
  await db.execute(sql`analyze`)
  const query = { workspaceId: 'acme', status: 'active' as const, rowsMax: 51, after: undefined }
  t.same(await listKeys(db, { ...query, q: 'deploy' }), [], 'none of the first 20,000 has it')
  const place = await lookedTo(db, { ...query, q: 'deploy' })
  t.equal((await listKeys(db, { ...query, q: 'deploy', after: place })).at(0)?.name, 'deploy 22001')
  t.equal((await listKeys(db, { ...query, q: 'eploy 28000' }))[0]?.name, 'deploy 28000', 'a rare one is found at once')
  t.equal(await lookedTo(db, { ...query, q: 'eploy 28000' }), undefined)
  t.same((await listKeys(db, { ...query, unusedDays: 30 })).map(({ name }) => name), ['deploy 27998', 'deploy 27999', 'deploy 28000'])
  t.equal(await lookedTo(db, { ...query, unusedDays: 30 }), undefined)
  t.same((await listKeys(db, { ...query, unusedDays: 30, order: 'oldest', rowsMax: 2 })).map(({ name }) => name), ['deploy 28000', 'deploy 27999'])
  t.same(await countKeys(db, { workspaceId: 'acme', status: 'active', unusedDays: 30 }), { count: 3, isExact: true })
  t.same(await listKeys(db, { ...query, unusedDays: 30, q: 'laptop' }), [])
  t.same((await listKeys(db, { ...query, unusedDays: 30, q: '27999' })).map(({ name }) => name), ['deploy 27999'])
  t.same((await listKeys(db, { ...query, neverUsed: true, q: 'ploy 2' })).map(({ name }) => name), [], 'too many hits, all of them beyond the first 20,000')
  t.same((await listKeys(db, { ...query, neverUsed: true, q: '28000' })).map(({ name }) => name), ['deploy 28000'])
  t.same(await countKeys(db, { workspaceId: 'acme', status: 'active', unusedDays: 30, q: '2799' }), { count: 2, isExact: true })

  await db.execute(sql`update navis_keys.key_usage set last_used_at = now() - interval '40 days' where last_used_at is not null`)
  const unused = { ...query, unusedDays: 30 }
  t.equal((await listKeys(db, unused))[0]?.name, 'laptop 1', 'most are unused now')
  t.equal((await listKeys(db, { ...unused, q: '28000' }))[0]?.name, 'deploy 28000', 'a rare name is found at once all the same')
  t.equal(await lookedTo(db, { ...unused, q: '28000' }), undefined)
  t.same(await listKeys(db, { ...unused, q: 'deploy' }), [])
  t.equal((await listKeys(db, { ...unused, q: 'deploy', after: await lookedTo(db, { ...unused, q: 'deploy' }) })).at(0)?.name, 'deploy 22001')
})

t.test('the index of names finds a part of any length and of any characters, as reading every name does, and in its own workspace only', { timeout: 180_000 }, async (t) => {
  const { db, close } = connect({ url: await freshDatabase(t) })
  t.teardown(() => close())
  // Whatever a query for words of a text, a pattern or a literal would take for a sign of its own.
  const characters = [...'aAbBéÉßİΣ1 \'"\\:*&|!<->()%_[]{}🔑漢']
  const random = (count: number) => Array.from({ length: count }, () => characters[Math.floor(Math.random() * characters.length)]!).join('')
  const names = Array.from({ length: 4000 }, (_, i) => i % 10 === 0 ? random(1) : random(1 + i % 9))
  await db.execute(sql`
    insert into navis_keys.keys (id, workspace_id, name, scope, created_by)
    select gen_random_uuid(), case when place % 2 = 0 then 'acme' else 'acme-2' end, name, 'mcp:read', 'o' from jsonb_array_elements_text(${JSON.stringify(names)}::jsonb) with ordinality as given (name, place)`)
  await db.execute(sql`insert into navis_keys.tokens (digest, key_id, hint) select sha256(id::text::bytea), id, 'h' from navis_keys.keys`)
  await db.execute(sql`analyze`)
  const parts = [...characters, ...characters.map((one) => one + random(1)), ...Array.from({ length: 60 }, (_, i) => random(2 + i % 4)), 'x'.repeat(100), ' ', '  ']
  for (const workspaceId of ['acme', 'acme-2']) {
    for (const q of parts) {
      // More rows are wanted than there are, so the index is asked.
      const found = (await listKeys(db, { workspaceId, status: 'all', q, rowsMax: 5000, after: undefined })).map(({ id }) => id).sort()
      const read = (await db.execute<{ id: string }>(sql`select id from navis_keys.keys where workspace_id = ${workspaceId} and strpos(lower(name), lower(${q})) > 0 order by id`)).map(({ id }) => id)
      t.same(found, read, JSON.stringify(q))
    }
  }
})
