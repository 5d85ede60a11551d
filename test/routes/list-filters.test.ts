import t from 'tap'
import { sql } from 'drizzle-orm'
import { connect } from '../../src/db/connect.ts'
import { setupApp } from './setup.ts'

t.test('a list is narrowed by a part of the name, by use and by expiry, alone and together, page by page', async (t) => {
  const { ask, create, url } = await setupApp(t)
  const { db, close } = connect({ url })
  t.teardown(() => close())
  const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString()
  const names = {
    used: await create({ name: 'CI pipeline used' }),
    idle: await create({ name: 'ci idle' }),
    neverUsed: await create({ name: 'CI never', owner_id: 'ada' }),
    fresh: await create({ name: 'laptop fresh', expires_at: inDays(3) }),
    later: await create({ name: 'laptop later', expires_at: inDays(20) }),
    percent: await create({ name: '100%_sure' })
  }
  await create({ name: 'CI elsewhere' }, 'other')
  await db.execute(sql`update navis_keys.keys set created_at = clock_timestamp() - interval '40 days' where name in ('CI pipeline used', 'ci idle', 'CI never')`)
  for (const [{ id }, days] of [[names.used, 1], [names.idle, 31]] as const) await db.execute(sql`update navis_keys.key_usage set last_used_at = clock_timestamp() - ${days}::int * interval '1 day' where key_id = ${id}::uuid`)
  const listed = async (query: string) => {
    const { status, body } = await ask('GET', `/v1/workspaces/acme/keys?${query}`)
    return status === 200 ? body.keys.map(({ name }: { name: string }) => name).sort() : status
  }
  const rows: ReadonlyArray<readonly [string, readonly string[]]> = [
    ['q=ci', ['CI never', 'CI pipeline used', 'ci idle']],
    ['q=PIPE', ['CI pipeline used']],
    ['q=100%25_', ['100%_sure']],
    ['q=%25', ['100%_sure']],
    ['q=nothing', []],
    ['unused_days=30', ['CI never', 'ci idle']],
    ['unused_days=39', ['CI never']],
    ['unused_days=41', []],
    ['expires_within_days=7', ['laptop fresh']],
    ['expires_within_days=30', ['laptop fresh', 'laptop later']],
    ['unused_days=30&q=idle', ['ci idle']],
    ['unused_days=30&owner_id=ada&scope=mcp:read', ['CI never']],
    ['expires_within_days=30&q=later&status=active', ['laptop later']]
  ]
  for (const [query, wanted] of rows) t.strictSame(await listed(query), wanted, query)
  const first = (await ask('GET', '/v1/workspaces/acme/keys?q=ci&limit=2')).body
  const second = (await ask('GET', `/v1/workspaces/acme/keys?q=ci&limit=2&cursor=${first.next_cursor}`)).body
  t.strictSame([...first.keys, ...second.keys].map(({ name }) => name).sort(), ['CI never', 'CI pipeline used', 'ci idle'])
  t.equal(second.next_cursor, null)
  t.equal((await ask('GET', `/v1/workspaces/acme/keys?q=laptop&cursor=${first.next_cursor}`)).body.code, 'invalid_cursor', 'a page of one list is no page of another')
  for (const [query, pointer] of [['unused_days=0', '/unused_days'], ['unused_days=1.5', '/unused_days'], ['expires_within_days=-1', '/expires_within_days'], ['q=', '/q']] as const) {
    t.match(await ask('GET', `/v1/workspaces/acme/keys?${query}`), { status: 400, body: { errors: [{ pointer }] } }, query)
  }
})

t.test('an empty cursor, as a script sends it for its first page, is the first page of every list', async (t) => {
  const { ask, create } = await setupApp(t)
  await create()
  await create()
  for (const [path, place] of [['/v1/workspaces/acme/keys', 'cursor'], ['/v1/workspaces/acme/audit', 'cursor'], ['/v1/workspaces/acme/calls', 'cursor'], ['/v1/events', 'after']] as const) {
    const { status, body } = await ask('GET', `${path}?limit=1&${place}=`)
    t.equal(status, 200, path)
    t.same(body, (await ask('GET', `${path}?limit=1`)).body, path)
  }
  t.equal((await ask('GET', '/v1/events?limit=1&after=')).body.events.length, 1)
})
