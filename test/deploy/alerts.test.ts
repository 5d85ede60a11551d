import { randomUUID } from 'node:crypto'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { parse, stringify } from 'yaml'
import { TokenFormat } from '../../src/core/token.ts'
import { ask, ready, secret } from '../process/service.ts'
import { setupApp } from '../routes/setup.ts'
import { Child } from '../support/child.ts'
import { requireProgram } from '../support/programs.ts'
import { freePort, ServerProcess } from '../support/server-process.ts'
import { freshDatabase, startPostgres, startRedis } from '../support/servers.ts'
import { until } from '../support/until.ts'
import { followingStandby } from '../window/following-standby.ts'
import { administer, RedisCopy, startReplica, warm, type RunningReplica } from '../window/replicas.ts'

t.setTimeout(280_000)

/*
 * Makes happen what each alert is about, to real replicas with real stores, and asks a real Prometheus that scrapes them whether the expression of the
 * alert has become true. How long it has to stay true before somebody is woken is Prometheus' own matter.
 */

const rulesPath = resolve('deploy/prometheus/navis-keys.rules.yaml')
const rules = (parse(readFileSync(rulesPath, 'utf8')) as { groups: Array<{ rules: Array<{ alert: string, expr: string }> }> }).groups.flatMap(({ rules }) => rules)

// A scrape and an evaluation cost more than what most cases do meanwhile.
const evaluatedEveryMs = 1000

/** True on a machine that is busy with something else; Redis, for example, is passed by when it takes more than 75 ms. */
const dependsOnMachine = ['NavisKeysSlow', 'NavisKeysEventLoopStands', 'NavisKeysRedisRefusing']

class Prometheus {
  readonly #url: string
  readonly #targets: string

  private constructor (url: string, targets: string) {
    this.#url = url
    this.#targets = targets
  }

  static async start (t: Test): Promise<Prometheus> {
    const process = new ServerProcess({ name: 'prometheus' })
    t.teardown(async () => { await process.remove() })
    const port = await freePort()
    const targets = join(process.dir, 'targets.json')
    writeFileSync(targets, '[]')
    writeFileSync(join(process.dir, 'prometheus.yml'), stringify({
      global: { scrape_interval: `${evaluatedEveryMs}ms`, evaluation_interval: `${evaluatedEveryMs}ms` },
      rule_files: [rulesPath],
      scrape_configs: [{ job_name: 'navis-keys', file_sd_configs: [{ files: [targets], refresh_interval: '1s' }] }]
    }))
    const url = `http://127.0.0.1:${port}`
    await process.start({
      command: requireProgram('prometheus'),
      args: [`--config.file=${join(process.dir, 'prometheus.yml')}`, `--storage.tsdb.path=${join(process.dir, 'data')}`, `--web.listen-address=127.0.0.1:${port}`],
      ready: async () => (await fetch(`${url}/-/ready`)).ok
    })
    return new Prometheus(url, targets)
  }

  watch (replicas: ReadonlyArray<{ readonly port: number }>): void {
    writeFileSync(this.#targets, JSON.stringify([{ targets: replicas.map(({ port }) => `127.0.0.1:${port}`), labels: { namespace: 'tests' } }]))
  }

  /** The alerts whose expressions are true now. */
  async raised (): Promise<string[]> {
    const { data } = await (await fetch(`${this.#url}/api/v1/rules?type=alert`)).json() as { data: { groups: Array<{ rules: Array<{ name: string, state: string, lastError?: string }> }> } }
    const all = data.groups.flatMap(({ rules }) => rules)
    for (const { name, lastError } of all) if (lastError !== undefined && lastError !== '') throw new Error(`${name}: ${lastError}`)
    return all.filter(({ state }) => state !== 'inactive').map(({ name }) => name)
  }

  async holds (query: string): Promise<boolean> {
    const { data } = await (await fetch(`${this.#url}/api/v1/query?query=${encodeURIComponent(query)}`)).json() as { data: { result: unknown[] } }
    return data.result.length > 0
  }
}

t.test('what each alert is about makes its expression true', async (t) => {
  const prometheus = await Prometheus.start(t)
  const database = await startPostgres(t, { settings: { max_connections: '60' } })
  const standby = await followingStandby(t, database)
  const redis = await startRedis(t)
  const redisClient = new Redis(redis.url, { retryStrategy: () => 200 })
  redisClient.on('error', () => {})
  t.teardown(() => { redisClient.disconnect() })
  const options = {
    databaseUrl: `postgres://postgres@127.0.0.1:${database.port},127.0.0.1:${standby.port}/postgres`,
    redisUrl: redis.url,
    windowMs: 3000,
    environment: {
      UNKNOWN_TOKENS_PER_MINUTE: '10',
      MCP_UPSTREAM_URL: `http://127.0.0.1:${await freePort()}/mcp`,
      WEBHOOK_URLS: `http://127.0.0.1:${await freePort()}/events`,
      WEBHOOK_SECRETS: `whsec_${Buffer.alloc(32, 7).toString('base64')}`
    }
  }
  const [a, b] = await Promise.all([startReplica(t, options), startReplica(t, options)])
  prometheus.watch([a, b])
  const seen = new Set<string>()
  const look = async () => {
    const names = await prometheus.raised()
    for (const name of names) seen.add(name)
    return names
  }
  const raised = async (...names: string[]) => {
    await eventually(async () => {
      await look()
      const missing = names.filter((name) => !seen.has(name))
      if (missing.length > 0) throw new Error(`not raised: ${missing.join()}`)
      return true
    })
    for (const name of names) t.ok(seen.has(name), name)
  }
  const quiet = async (...names: string[]) => {
    await eventually(async () => !(await prometheus.raised()).some((name) => names.includes(name)))
    t.pass(`quiet again: ${names.join()}`)
  }

  await eventually(async () => await prometheus.holds('count(navis_keys_window_open == 1) == 2'))
  const keys = await a.createMany(14)
  await warm([a, b], keys)
  await eventually(async () => await prometheus.holds('sum(navis_keys_verifications_total{outcome="accepted"}) >= 28'))
  // The standby is there from the beginning.
  await raised('NavisKeysStandbysNotWaitedFor')
  t.strictSame((await prometheus.raised()).filter((name) => !dependsOnMachine.includes(name)), ['NavisKeysStandbysNotWaitedFor'], 'a fleet that is well raises nothing else')

  await t.test('a Postgres that is down', async (t) => {
    // The window is closing for a second, in which a busy machine may scrape nothing.
    for (let tries = 0; tries < 5 && !seen.has('NavisKeysWindowClosing'); tries++) {
      await database.kill()
      await raised('NavisKeysWindowShut', 'NavisKeysUnavailable', 'NavisKeysRenewalsFailing')
      await eventually(async () => (await look()).includes('NavisKeysWindowShut'))
      await database.start()
      await quiet('NavisKeysWindowClosing', 'NavisKeysWindowShut', 'NavisKeysUnavailable')
    }
    t.ok(seen.has('NavisKeysWindowClosing'))
  })

  await t.test('forged announcements', async () => {
    for (const channel of await redisClient.pubsub('CHANNELS') as string[]) await redisClient.publish(channel, 'forged')
    await raised('NavisKeysAnnouncementsForged')
  })

  await t.test('an address that tries tokens that do not exist', async (t) => {
    const format = new TokenFormat()
    await until(async () => await a.status(format.mint().token) === 429)
    await raised('NavisKeysUnknownTokens')
    t.equal(await a.status(keys[0]!.token), 200)
  })

  await t.test('an MCP server that is not there', async (t) => {
    const made = JSON.parse((await ask(`http://127.0.0.1:${a.port}/v1/workspaces/w/keys`, { method: 'POST', body: '{"name":"n","scope":"mcp:write"}' })).body) as { token: string }
    const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'search', arguments: {} } }
    const asked = async () => (await ask(`http://127.0.0.1:${a.port}/mcp`, {
      method: 'POST', body: JSON.stringify(call), headers: { authorization: `Bearer ${made.token}`, accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2025-06-18' }
    })).status
    t.equal(await asked(), 502)
    // The first failure makes the series: only from the second on does Prometheus see it grow.
    await meanwhile(asked, raised('NavisKeysUpstreamDown'))
  })

  await t.test('other clients take the connections of Postgres', async () => {
    const crowd = postgres(database.url, { max: 40, idle_timeout: 0, onnotice: () => {} })
    try {
      const held = await Promise.all(Array.from({ length: 40 }, async () => await crowd.reserve()))
      await raised('NavisKeysConnectionsNearLimit')
      for (const connection of held) connection.release()
    } finally {
      await crowd.end()
    }
    await quiet('NavisKeysConnectionsNearLimit')
  })

  await t.test('a replica that stands still while a key is revoked', async () => {
    b.freeze()
    await a.revoke((await a.create()).id)
    await raised('NavisKeysRevocationsSlow', 'NavisKeysReplicaCountedOut')
    b.thaw()
    await meanwhile(async () => {
      b.freeze()
      await sleep(400)
      b.thaw()
      await sleep(50)
    }, raised('NavisKeysEventLoopStands'))
  })

  await t.test('a Redis that is out of memory, and one that is away', async () => {
    await redisClient.config('SET', 'maxmemory', '1')
    await warm([b], await a.createMany(2))
    await raised('NavisKeysRedisRefusing')
    await redisClient.config('SET', 'maxmemory', '0')
    await redis.kill()
    await a.revoke((await a.create()).id)
    await raised('NavisKeysAnnouncementsLost')
    await redis.start()
  })

  await t.test('rows in Redis from before a change', async () => {
    // After a change a key is read from Postgres and written to Redis; what is in memory is not written again.
    const changed = async () => { for (const { id } of keys) await a.edit(id, { name: `n ${Math.random()}` }) }
    await until(async () => {
      await changed()
      await warm([a, b], keys)
      return (await RedisCopy.of(redis.url)).size >= keys.length
    })
    const old = await RedisCopy.of(redis.url)
    await until(async () => {
      await changed()
      await old.putBack(redis.url)
      await warm([b], keys)
      return await prometheus.holds('sum(navis_keys_stale_entries_total) > 10')
    })
    await raised('NavisKeysStaleEntries')
  })

  await t.test('a receiver of webhooks that is not there', async () => {
    await administer(database.url, "update navis_keys.events set at = at - interval '20 minutes'")
    await raised('NavisKeysWebhooksLate')
  })

  await t.test('a fault of the service', async (t) => {
    await administer(database.url, 'alter table navis_keys.audit rename to audit_away')
    const asked = async () => (await ask(`http://127.0.0.1:${a.port}/v1/workspaces/w/audit`)).status
    t.equal(await asked(), 500)
    await meanwhile(asked, raised('NavisKeysServerErrors'))
    await administer(database.url, 'alter table navis_keys.audit_away rename to audit')
    t.equal(await asked(), 200)
  })

  await t.test('a Postgres that does not answer', async () => {
    database.pause()
    await meanwhile(
      async () => { await Promise.all(keys.map(async ({ token }) => await b.status(token))) },
      raised('NavisKeysVerificationsUnavailable', 'NavisKeysSlow')
    )
    database.resume()
    await quiet('NavisKeysUnavailable')
  })

  await t.test('a rollout that stopped half-way', async (t) => {
    const other = await startOtherVersion(t, options)
    prometheus.watch([a, b, other])
    await raised('NavisKeysVersionsMixed')
    await other.stop()
    prometheus.watch([a, b])
  })

  await t.test('more keys looked up, and more keys in use, at a time than are held', async (t) => {
    const url = await freshDatabase(t)
    const holder = postgres(url, { max: 1, onnotice: () => {} })
    // After the service: while the lock is held, it ends without writing its 200,000 uses, which has nothing to do with the alert.
    t.teardown(async () => { await holder.end({ timeout: 0 }) })
    // In this process, where 21,000 lookups and 200,001 uses need no requests.
    const { app } = await setupApp(t, { databaseUrl: url })
    await app.listen({ host: '127.0.0.1', port: 0 })
    const { port } = app.server.address() as AddressInfo
    prometheus.watch([a, b, { port }])
    await eventually(async () => await prometheus.holds(`navis_keys_lookups_total{tier="postgres",outcome="refused",instance="127.0.0.1:${port}"} == 0`))
    const format = new TokenFormat()
    const asked = await Promise.allSettled(Array.from({ length: 21_000 }, async () => await app.apiKeys.verifier.verify(format.mint().token)))
    t.match(asked.find(({ status }) => status === 'rejected'), { reason: { code: 'unavailable' } })
    const lock = await holder.reserve()
    await lock`begin`
    await lock`lock table navis_keys.usage_batches`
    for (let i = 0; i < 200_001; i++) app.apiKeys.usage.note(randomUUID(), performance.now())
    await raised('NavisKeysPostgresOverloaded', 'NavisKeysLastUsedDropped')
    prometheus.watch([a, b])
  })

  await t.test('a failover that loses revocations', async (t) => {
    const revoked = keys.slice(0, 4)
    for (const replica of [a, b]) await until(async () => await replica.hasLineage())
    await standby.caughtUp()
    await standby.cut()
    for (const { id } of revoked) await a.revoke(id)
    await database.kill()
    await administer(standby.url, 'select pg_promote()')
    await raised('NavisKeysRevocationsPutBack')
    t.notOk((await Promise.all(revoked.map(async ({ token }) => await a.status(token)))).includes(200))
  })

  await t.test('no replica at all', async () => {
    await Promise.all([a.stop(), b.stop()])
    await raised('NavisKeysAbsent')
  })

  t.strictSame(rules.map(({ alert }) => alert).filter((alert) => !seen.has(alert)), [], 'every alert has been raised')
})

/** Half as often as the rules are evaluated: asking more often would only keep the processors busy. */
async function eventually (check: () => Promise<unknown>): Promise<void> {
  await until(async () => {
    await sleep(evaluatedEveryMs / 2)
    return await check()
  })
}

/** Does something again and again until another thing has happened. */
async function meanwhile (again: () => Promise<unknown>, done: Promise<unknown>): Promise<void> {
  const state = { isDone: false }
  const end = done.finally(() => { state.isDone = true })
  end.catch(() => {})
  while (!state.isDone) {
    await again()
    await sleep(evaluatedEveryMs / 10)
  }
  await end
}

/** The same build under another version. */
async function startOtherVersion (t: Test, { databaseUrl, redisUrl, windowMs }: { databaseUrl: string, redisUrl: string, windowMs: number }): Promise<Pick<RunningReplica, 'port' | 'stop'>> {
  const folder = mkdtempSync(join(tmpdir(), 'navis-version-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  for (const part of ['dist', 'drizzle', 'assets']) cpSync(part, join(folder, part), { recursive: true })
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ ...JSON.parse(readFileSync('package.json', 'utf8')) as object, version: '99.0.0' }))
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'))
  const port = await freePort()
  const child = new Child(t, {
    file: relative('.', join(folder, 'dist/main.js')),
    env: { PORT: String(port), DATABASE_URL: databaseUrl, REDIS_URL: redisUrl, TRUST_WINDOW_MS: String(windowMs), MANAGEMENT_TOKENS: `tests=${secret}`, LOG_LEVEL: 'warn' }
  })
  await ready(port)
  return { port, stop: async () => { await child.kill('SIGTERM') } }
}
