import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import t from 'tap'
import { connect } from '../../src/db/connect.ts'
import { freshDatabase, freshRedis, startPostgres, startProxy, startRedis, until } from './servers.ts'

t.test('two fresh databases are two databases, each with the schema, without rows and with a history of its own', async (t) => {
  const histories = new Set<unknown>()
  for (const url of [await freshDatabase(t), await freshDatabase(t)]) {
    const { sql, close } = connect({ url, max: 1 })
    t.teardown(close)
    const [clock] = await sql<[{ lineage: string, secret: string, members: number }]>`
      select lineage, encode(row_secret, 'hex') as secret, (select count(*)::int from navis_keys.window_members) as members from navis_keys.revocation_clock`
    t.match(clock, { secret: /^[0-9a-f]{64}$/, members: 0 })
    for (const part of [clock.lineage, clock.secret]) histories.add(part)
    t.match(await sql`select count(*)::int as count from navis_keys.keys`, [{ count: 0 }])
    await sql`insert into navis_keys.key_usage (key_id, workspace_id, last_used_at) values (gen_random_uuid(), 'acme', now())`
    t.match(await sql`select count(*)::int as count from navis_keys.key_usage`, [{ count: 1 }])
  }
  t.equal(histories.size, 4)
})

t.test('two fresh Redis databases do not see each other', async (t) => {
  const [one, other] = [new Redis(await freshRedis(t)), new Redis(await freshRedis(t))]
  t.teardown(() => { one.disconnect(); other.disconnect() })
  await one.set('colour', 'blue')
  t.equal(await other.get('colour'), null)
})

t.test('what servers are copied from has no file that they do not need', { skip: process.env['TEST_CLUSTER'] === undefined && 'this file is run by itself' }, async (t) => {
  const { sql, close } = connect({ url: (await startPostgres(t)).url, max: 1 })
  t.teardown(close)
  t.same(await sql`select datname as name from pg_database order by 1`, [{ name: 'postgres' }, { name: 'template1' }])
  t.same(readdirSync(join(process.env['TEST_CLUSTER']!, 'base'), { recursive: true, encoding: 'utf8' }).filter((name) => /_(?:fsm|vm)$/.test(name)), [])
  await sql`create database another`
  t.same(await sql`select datname as name from pg_database order by 1`, [{ name: 'another' }, { name: 'postgres' }, { name: 'template1' }])
})

t.test('two Postgres servers are two systems, and keep what they are over a restart', async (t) => {
  const identifiers = new Set<string>()
  for (const server of [await startPostgres(t), await startPostgres(t)]) {
    const identifier = async () => {
      const { sql, close } = connect({ url: server.url, max: 1 })
      try {
        return (await sql<[{ id: string }]>`select system_identifier::text as id from pg_control_system()`)[0].id
      } finally {
        await close()
      }
    }
    const first = await identifier()
    await server.stop()
    await server.start()
    t.equal(await identifier(), first)
    identifiers.add(first)
  }
  t.equal(identifiers.size, 2)
})

t.test('a frozen Postgres answers nothing, on connections old and new, until it is resumed', async (t) => {
  const server = await startPostgres(t)
  const { sql, close } = connect({ url: server.url, max: 1 })
  t.teardown(close)
  await sql`select 1`
  server.pause()
  let answered = false
  const answer = sql`select 2 as two`.execute().then((rows) => { answered = true; return rows })
  const late = connect({ url: server.url, max: 1 })
  t.teardown(late.close)
  await t.rejects(late.sql`select 1`, { code: 'CONNECT_TIMEOUT' })
  t.notOk(answered)
  server.resume()
  t.match(await answer, [{ two: 2 }])
})

t.test('a killed Postgres comes back on the same port with what it had committed', async (t) => {
  const server = await startPostgres(t)
  const { sql, close } = connect({ url: server.url })
  t.teardown(close)
  await sql`create table public.colours as select 'blue' as name`
  await server.kill()
  await t.rejects(sql`select 1`)
  await server.start()
  await until(async () => await sql`select 1`)
  t.match(await sql`select name from public.colours`, [{ name: 'blue' }])
})

t.test('a Redis server of its own keeps its folder over a restart and loses it in the end', async (t) => {
  let dir = ''
  await t.test('while it lives', async (t) => {
    const server = await startRedis(t, { args: ['--save', '3600 1'] })
    dir = server.dir
    const redis = new Redis(server.url)
    t.teardown(() => { redis.disconnect() })
    await redis.set('colour', 'blue')
    await server.stop()
    await server.start()
    t.equal(await redis.get('colour'), 'blue')
  })
  t.notOk(existsSync(dir))
})

t.test('a link that is cut holds back both directions and passes them on when it is healed', async (t) => {
  const server = await startRedis(t)
  const proxy = await startProxy(t, { to: server.port })
  const redis = new Redis({ port: proxy.port, host: '127.0.0.1' })
  t.teardown(() => { redis.disconnect() })
  await redis.ping()
  proxy.cut()
  const answer = redis.ping()
  t.equal(await Promise.race([answer, new Promise((resolve) => { setTimeout(resolve, 100, 'nothing') })]), 'nothing')
  proxy.heal()
  t.equal(await answer, 'PONG')
})

t.test('a delayed link delays in the direction that was asked for', async (t) => {
  const server = await startRedis(t)
  const proxy = await startProxy(t, { to: server.port })
  const redis = new Redis({ port: proxy.port, host: '127.0.0.1' })
  const direct = new Redis(server.url)
  t.teardown(() => { redis.disconnect(); direct.disconnect() })
  await redis.ping()
  proxy.delay({ toClientMs: 300 })
  const sent = performance.now()
  let isAnswered = false
  const answer = redis.set('colour', 'blue').then(() => { isAnswered = true })
  await until(async () => await direct.get('colour') === 'blue')
  t.equal(isAnswered, false, 'the server has it before the client learns of it')
  await answer
  t.ok(performance.now() - sent >= 299, 'the client learns of it later')
})
