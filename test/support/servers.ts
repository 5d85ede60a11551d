import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import postgres from 'postgres'
import { migrate } from '../../src/db/migrate.ts'
import { PostgresServer, type PostgresOptions } from './postgres.ts'
import { RedisServer, type RedisOptions } from './redis.ts'
import { TcpProxy } from './tcp-proxy.ts'

export { until } from './until.ts'
export type { PostgresServer, RedisServer, TcpProxy }

/** The part of a tap test that is used here: its teardowns run last to first. */
export interface Teardowns {
  teardown (end: () => unknown): void
}

let sharedPostgres: Promise<string> | undefined
let sharedRedis: Promise<string> | undefined

// `npm test` starts both for all files. A file that is run alone starts its own, which end with the process.
async function sharedPostgresUrl (): Promise<string> {
  sharedPostgres ??= process.env['TEST_DATABASE_URL'] !== undefined
    ? Promise.resolve(process.env['TEST_DATABASE_URL'])
    : PostgresServer.start().then((server) => server.url)
  return await sharedPostgres
}

async function sharedRedisUrl (): Promise<string> {
  sharedRedis ??= process.env['TEST_REDIS_URL'] !== undefined
    ? Promise.resolve(process.env['TEST_REDIS_URL'])
    : RedisServer.start().then((server) => server.url)
  return await sharedRedis
}

const migratedTemplate = 'migrated'
const clock = '"navis_keys"."revocation_clock"'

/**
 * On a server that has just been started: makes a migrated database. `freshDatabase` copies it where `TEST_DATABASE_TEMPLATE` contains what is answered,
 * the end of a statement that creates a database: that takes a third of the time of migrating.
 */
export async function makeTemplate (adminUrl: string): Promise<string> {
  await command(adminUrl, `create database ${migratedTemplate}`)
  const url = databaseOn(adminUrl, migratedTemplate)
  await migrate(url)
  await command(url, `delete from ${clock}`)
  const [{ number }] = await command(adminUrl, "select current_setting('server_version_num')::int as number") as [{ number: number }]
  // With the files that each first connection would make anew.
  return `template ${migratedTemplate}${number >= 150_000 ? ' strategy file_copy' : ''}`
}

/** The URL of a new database on the run's own Postgres server. */
export async function freshDatabase (t: Teardowns, { migrated = true } = {}): Promise<string> {
  const adminUrl = await sharedPostgresUrl()
  const name = `test_${randomBytes(8).toString('hex')}`
  const template = migrated ? process.env['TEST_DATABASE_TEMPLATE'] : undefined
  const administrator = administratorOf(adminUrl)
  t.teardown(async () => {
    await administrator.command(`drop database if exists ${name} with (force)`).finally(administrator.leave)
  })
  await administrator.command(`create database ${name} ${template ?? ''}`)
  const url = databaseOn(adminUrl, name)
  if (template !== undefined) await command(url, clockRow())
  else if (migrated) await migrate(url)
  return url
}

interface Administrator {
  readonly sql: postgres.Sql
  users: number
  ending?: NodeJS.Timeout
}

let shared: Administrator | undefined
// The next test of a file begins within a few milliseconds; a process that has ended its tests waits for no longer.
const administratorIdleMs = 100

/** The connection that all databases of this process are made and dropped over: making one costs a third of what a database does. It ends when it has had no users for a moment. */
function administratorOf (url: string): { command (text: string): Promise<unknown>, leave (): void } {
  const own = shared ??= { sql: postgres(url, { max: 1, onnotice: () => {}, fetch_types: false }), users: 0 }
  own.users++
  clearTimeout(own.ending)
  return {
    command: async (text) => await own.sql.unsafe(text),
    leave () {
      if (--own.users > 0) return
      own.ending = setTimeout(() => {
        if (shared === own) shared = undefined
        own.sql.end({ timeout: 1 }).catch(() => {})
      }, administratorIdleMs)
    }
  }
}

function databaseOn (serverUrl: string, name: string): string {
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return url.href
}

/** The statement of the migration that makes the row of the clock, by whose random parts two databases are known from one another. */
function clockRow (): string {
  const statements = readFileSync(new URL('../../drizzle/0000_first.sql', import.meta.url), 'utf8').split('--> statement-breakpoint')
  const found = statements.filter((statement) => statement.includes(`INSERT INTO ${clock}`))
  if (found.length !== 1) throw new Error(`${found.length} statements of the first migration insert into ${clock}.`)
  return found[0]!
}

async function command (url: string, text: string): Promise<unknown[]> {
  const sql = postgres(url, { max: 1, onnotice: () => {}, fetch_types: false })
  try {
    return await sql.unsafe(text)
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** The URL of an empty Redis database on the run's own Redis server. Channels are shared by all of them. */
export async function freshRedis (t: Teardowns): Promise<string> {
  const url = new URL(await sharedRedisUrl())
  const number = await onRedis(url.href, async (redis) => await redis.incr('databases given out'))
  url.pathname = `/${number}`
  t.teardown(async () => { await onRedis(url.href, async (redis) => await redis.flushdb()) })
  return url.href
}

async function onRedis<T> (url: string, act: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url)
  try {
    return await act(redis)
  } finally {
    redis.disconnect()
  }
}

/** A Postgres server for one test, to kill, stop and freeze. */
export async function startPostgres (t: Teardowns, options?: PostgresOptions): Promise<PostgresServer> {
  const server = await PostgresServer.start(options)
  t.teardown(async () => { await server.remove() })
  return server
}

/** A Redis server for one test, to kill, stop and freeze. */
export async function startRedis (t: Teardowns, options?: RedisOptions): Promise<RedisServer> {
  const server = await RedisServer.start(options)
  t.teardown(async () => { await server.remove() })
  return server
}

/** A TCP link to a loopback port, to cut, drop and delay. */
export async function startProxy (t: Teardowns, { to }: { to: number }): Promise<TcpProxy> {
  const proxy = new TcpProxy(to)
  await proxy.listen()
  t.teardown(async () => { await proxy.close() })
  return proxy
}
