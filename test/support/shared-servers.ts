import { once } from 'node:events'
import { PostgresServer } from './postgres.ts'
import { provideAll } from './programs.ts'
import { RedisServer } from './redis.ts'
import { makeTemplate } from './servers.ts'

/*
 * The servers of a whole test run. A process of its own: it ends them when its standard input closes, and that
 * closes however the process that holds it comes to its end.
 */
// 700 databases come and go within minutes. Nothing is left to clean up in them, and what they write is not worth a checkpoint.
const forManyDatabases = { autovacuum: 'off', checkpoint_timeout: '1h', max_wal_size: '4GB', full_page_writes: 'off' }
// Before any test: the files that need a program run at the same time, and have a time limit.
if (process.env['TEST_PROGRAMS'] === 'all') provideAll()
const cluster = PostgresServer.makeCluster()
process.env['TEST_CLUSTER'] = cluster.data
const [postgres, redis] = await Promise.all([PostgresServer.start({ settings: forManyDatabases }), RedisServer.start()])
const template = await makeTemplate(postgres.url)
process.stdout.write(`${JSON.stringify({ TEST_DATABASE_URL: postgres.url, TEST_DATABASE_TEMPLATE: template, TEST_CLUSTER: cluster.data, TEST_REDIS_URL: redis.url })}\n`)
process.stdin.resume()
await once(process.stdin, 'close')
await Promise.all([postgres.remove(), redis.remove(), cluster.remove()])
