import { randomUUID } from 'node:crypto'
import postgres from 'postgres'
import t from 'tap'
import { openKeys } from '../../src/engine/open-keys.ts'
import { freshDatabase } from '../support/servers.ts'

// Not in hexadecimal digits: an id could have the same.
const ownerId = 'auth0|adele-5f2c'
const actor = `user:${ownerId}`

t.test('a person who is erased stands in no row of any table any more; other people and the counts stay', async (t) => {
  const databaseUrl = await freshDatabase(t)
  const keys = await openKeys({ databaseUrl })
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} })
  t.teardown(async () => { await Promise.all([keys.close(), sql.end({ timeout: 2 })]) })
  const { service, policies } = keys
  const make = async (owner: string, name: string) => (await service.create({ workspaceId: 'acme', actor: `user:${owner}`, ownerId: owner, name, scope: 'mcp:read', metadata: { mail: `${name}@example.com` } })).key.id
  const [laptop, phone, others] = [await make(ownerId, 'adele-lovelace'), await make(ownerId, 'adele-phone'), await make('ben', 'ben-laptop')]
  await service.update({ workspaceId: 'acme', keyId: laptop, actor, name: 'adele-renamed' })
  await service.revoke({ workspaceId: 'acme', keyId: phone, actor, reason: 'adele-lost it' })
  await service.revoke({ workspaceId: 'acme', keyId: others, actor, reason: 'unused' })
  await policies.set({ workspaceId: 'acme', actor, policy: { maxLifetimeDays: 90, defaultLifetimeDays: null, unusedDays: null }, apply: 'all' })
  for (const id of [laptop, others]) {
    await sql`update navis_keys.key_usage set last_used_at = now(), address = '192.0.2.7', client = 'adele-client/1' where key_id = ${id}`
    await sql`insert into navis_keys.usage_days (key_id, day, accepted) values (${id}, current_date, 5)`
  }
  await sql`insert into navis_keys.usage_tools (key_id, day, tool, calls, denied, failed) values (${laptop}, current_date, 'adele-diary', 1, 0, 0)`
  await sql`insert into navis_keys.sessions (digest, workspace_id, owner_id, person_name, actor, admin, ends_at) values (sha256('x'), 'acme', ${ownerId}, 'Ada Lovelace', ${actor}, false, now() + interval '1 hour')`
  const tables = await sql<Array<{ name: string }>>`select table_name as name from information_schema.tables where table_schema = 'navis_keys'`
  const naming = async (text: string) => {
    const found: string[] = []
    for (const { name } of tables) {
      const [row] = await sql`select count(*)::int as rows from navis_keys.${sql(name)} as one where one::text ilike ${`%${text}%`}`
      if (row!['rows'] > 0) found.push(name)
    }
    return found.sort()
  }
  t.same(await naming('adele-'), ['audit', 'events', 'key_usage', 'keys', 'policies', 'sessions', 'usage_tools'])
  await sql`update navis_keys.key_usage set client = 'curl/8' where key_id = ${others}`

  t.same(await service.eraseOwner({ workspaceId: 'acme', ownerId, actor: 'cli' }), { revoked: 1, erased: 2 })
  t.same(await naming('adele-'), [])
  t.same(await naming('lovelace'), [])
  t.match(await service.get({ workspaceId: 'acme', keyId: laptop }), { status: 'revoked', ownerId: null, name: 'erased', createdBy: 'erased', revokedBy: 'cli' })
  t.match(await service.get({ workspaceId: 'acme', keyId: others }), { status: 'revoked', ownerId: 'ben', name: 'ben-laptop', createdBy: 'user:ben', revokedBy: 'erased', revokeReason: 'unused', metadata: { mail: 'ben-laptop@example.com' } })
  t.match((await keys.reports.usage({ workspaceId: 'acme', keyId: laptop })), { days: [{ accepted: 5 }], tools: [], last: { address: null, client: null } })
  t.match((await keys.reports.usage({ workspaceId: 'acme', keyId: others })), { last: { address: '192.0.2.7', client: 'curl/8' } })
  const { entries } = await service.audit({ workspaceId: 'acme', limit: 50 })
  t.match(entries[0], { action: 'owner.erased', actor: 'cli', details: { erased: 2 } })
  t.match((await keys.events.list({ after: undefined, limit: 50 })).events.filter(({ keyId }) => keyId === laptop), [{ key: { ownerId: null, name: 'erased', metadata: {} } }, { type: 'key.updated' }])

  // What a replica still had in memory.
  keys.usage.note(laptop, performance.now(), { ip: '192.0.2.7', headers: { 'user-agent': 'adele-client/2' } })
  keys.usage.noteCall(laptop, 'adele-diary', 'passed')
  keys.calls.note({ id: randomUUID(), workspaceId: 'acme', keyId: laptop, upstream: 'default', method: 'tools/call', tool: 'adele-diary', decision: 'passed', status: 200, ms: 1 }, performance.now())
  await Promise.all([keys.usage.flush(), keys.calls.flush()])
  t.same(await naming('adele-'), [])
  t.match(await keys.reports.usage({ workspaceId: 'acme', keyId: laptop }), { days: [{ accepted: 6 }], tools: [], last: { address: null, client: null } })
  // What was being written at the very moment of the erasure.
  await sql`update navis_keys.key_usage set address = '192.0.2.7', client = 'adele-client/3' where key_id = ${laptop}`
  await sql`insert into navis_keys.usage_tools (key_id, day, tool, calls, denied, failed) values (${laptop}, current_date, 'adele-diary', 1, 0, 0)`
  t.same(await service.eraseOwner({ workspaceId: 'acme', ownerId, actor: 'cli' }), { revoked: 0, erased: 0 })
  t.same(await naming('adele-'), [], 'is gone when the erasure is repeated')
})
