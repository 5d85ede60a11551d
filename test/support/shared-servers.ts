import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PostgresServer } from './postgres.ts'
import { install, missingPrograms } from './programs.ts'
import { RedisServer } from './redis.ts'
import { makeTemplate } from './servers.ts'

/*
 * The servers of a whole test run. A process of its own: it ends them when its standard input closes, and that
 * closes however the process that holds it comes to its end.
 */
// 700 databases come and go within minutes. Nothing is left to clean up in them, and what they write is not worth a checkpoint.
const forManyDatabases = { autovacuum: 'off', checkpoint_timeout: '1h', max_wal_size: '4GB', full_page_writes: 'off' }
const isWholeRun = process.env['TEST_PROGRAMS'] === 'all'
if (isWholeRun) install(missingPrograms({ first: true }))
const cluster = PostgresServer.makeCluster()
process.env['TEST_CLUSTER'] = cluster.data
const [postgres, redis] = await Promise.all([PostgresServer.start({ settings: forManyDatabases }), RedisServer.start()])
const template = await makeTemplate(postgres.url)
const others = isWholeRun ? missingPrograms({ first: false }) : []
const installed = others.length > 0 ? installMeanwhile() : undefined
process.stdout.write(`${JSON.stringify({
  TEST_DATABASE_URL: postgres.url,
  TEST_DATABASE_TEMPLATE: template,
  TEST_CLUSTER: cluster.data,
  TEST_REDIS_URL: redis.url,
  ...installed && { TEST_PROGRAMS_UNDER_WAY: installed.list }
})}\n`)
process.stdin.resume()
await once(process.stdin, 'close')
await installed?.done
await Promise.all([postgres.remove(), redis.remove(), cluster.remove()])

/** The tests begin, and those that need one of these programs wait for it (programs.ts). A process of its own: it is not cut off, wherever the run ends. */
function installMeanwhile (): { readonly list: string, readonly done: Promise<unknown> } {
  const list = join(dirname(cluster.data), 'programs-under-way')
  writeFileSync(list, others.join('\n'))
  const installer = spawn(process.execPath, [...process.execArgv, fileURLToPath(new URL('install-programs.ts', import.meta.url)), ...others], { stdio: ['ignore', 'ignore', 'inherit'] })
  return { list, done: once(installer, 'close').finally(() => { rmSync(list, { force: true }) }) }
}
