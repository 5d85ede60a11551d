import { readFileSync, readdirSync, statSync } from 'node:fs'
import t from 'tap'
import { CollectedMetrics, one } from '../../src/http/metrics-registry.ts'
import { setupApp } from '../routes/setup.ts'
import { standStill } from '../support/stand-still.ts'
import { until } from '../support/until.ts'

interface Family {
  readonly type: string
  readonly help: string
  readonly labels: string
}

/** What a scrape says of each metric. */
function familiesOf (scrape: string): Record<string, Family> {
  const families: Record<string, Family> = {}
  for (const [, name, help] of scrape.matchAll(/^# HELP (\w+) (.*)$/gm)) {
    const type = new RegExp(`^# TYPE ${name} (\\w+)$`, 'm').exec(scrape)?.[1] ?? 'none'
    const samples = scrape.matchAll(new RegExp(`^${name}(?:_bucket|_sum|_count)?\\{(.*)\\} `, 'gm'))
    const labels = [...new Set([...samples].flatMap(([, pairs]) => [...pairs!.matchAll(/(\w+)="/g)].map(([, label]) => label!)))]
    families[name!] = { type, help: help!, labels: labels.filter((label) => label !== 'le').sort().join(', ') }
  }
  return families
}

/** The same, as docs/metrics.md has it. */
function documented (): Record<string, Family> {
  const page = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
  return Object.fromEntries([...page.matchAll(/^\| `(\w+)` \| (\w+) \| (.*?) ?\| (.*) \|$/gm)].map(([, name, type, labels, help]) => [name, { type, help, labels }])) as Record<string, Family>
}

async function setup (t: Parameters<typeof setupApp>[0]) {
  const one = await setupApp(t, { redis: true, environment: { WEBHOOK_URLS: 'http://127.0.0.1:1/', WEBHOOK_SECRETS: `whsec_${Buffer.alloc(32).toString('base64')}` } })
  const other = await setupApp(t, { databaseUrl: one.url, environment: { REDIS_URL: one.redisUrl! } })
  const scrape = async () => (await one.ask('GET', '/metrics')).body as string
  return { one, other, scrape }
}

t.test('the page about metrics says of each what a scrape says', async (t) => {
  const { one, scrape } = await setup(t)
  await one.create()
  const families = familiesOf(await scrape())
  t.strictSame(families, documented())
  for (const [name, { type, help }] of Object.entries(families)) {
    t.ok(help.endsWith('.'), `${name} is explained`)
    t.equal(name.endsWith('_total'), type === 'counter', `${name} is named like a ${type}`)
  }
  t.notMatch(await scrape(), /^navis_keys_\S+ (NaN|undefined)/m)
})

t.test('two replicas: what was made, verified and revoked shows, as does the window', async (t) => {
  const { one, other, scrape } = await setup(t)
  const { id, token } = await one.create()
  const verify = async (app = one) => (await app.ask('GET', '/forward-auth', { headers: { authorization: `Bearer ${token}` } })).status
  t.equal(await verify(), 200)
  t.equal(await verify(), 200)
  t.equal((await other.ask('DELETE', `/v1/workspaces/acme/keys/${id}`)).status, 204)
  t.equal((await one.ask('DELETE', `/v1/workspaces/acme/keys/${id}`)).status, 204)
  t.equal(await verify(), 401)
  // What was acknowledged over Redis is applied with the next renewal.
  await until(async () => (await scrape()).includes('navis_keys_window_applied 2\n'))
  const lines = (await scrape()).split('\n')
  for (const line of [
    'navis_keys_window_open 1',
    'navis_keys_window_applied 2',
    'navis_keys_window_members 2',
    'navis_keys_window_changes_waiting 0',
    'navis_keys_change_in_force_seconds_count{path="fast"} 1',
    'navis_keys_change_in_force_seconds_count{path="slow"} 0',
    'navis_keys_verifications_total{outcome="accepted"} 2',
    'navis_keys_verifications_total{outcome="revoked"} 1',
    'navis_keys_lookups_total{tier="memory",outcome="hit"} 1',
    'navis_keys_lookups_total{tier="postgres",outcome="absent"} 0'
  ]) t.ok(lines.includes(line), line)
  t.match((await one.ask('GET', '/readyz')).body, {
    status: 'ready', postgres: 'up', redis: 'up', window: { state: 'open', renewal_age_ms: Number, applied: 2, floor: Number, tail_rows: Number, members: 2 }
  })
})

t.test('however many scrapes come in a second, the metrics are read once, and requests get their turn after each that takes long', async (t) => {
  const { app } = await setupApp(t)
  let [turn, isOver] = [0, false]
  const turns = () => { turn++; if (!isOver) setImmediate(turns) }
  setImmediate(turns)
  const readAt: number[] = []
  for (const name of ['navis_keys_of_this_test_a', 'navis_keys_of_this_test_b', 'navis_keys_of_this_test_c']) {
    app.metricsRegistry.register(new CollectedMetrics({
      read () {
        readAt.push(turn)
        standStill(0.5)
      },
      metrics: [{ name, help: 'Of this test.', samples: () => one(1) }]
    }))
  }
  // Two seconds can be touched, if the machine stops in between.
  const texts = await Promise.all(Array.from({ length: 1000 }, async () => await app.metrics()))
  isOver = true
  t.ok(readAt.length === 3 || readAt.length === 6, `${readAt.length} readings`)
  t.equal(new Set(readAt).size, readAt.length, 'each in a turn of its own')
  t.ok(new Set(texts).size <= 2, 'one text for all')
})

t.test('figures of the process are those that the system has', async (t) => {
  const { app } = await setupApp(t)
  const scrape = async () => {
    const text = String(await app.metrics())
    return (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
  }
  const before = process.cpuUsage()
  const value = await scrape()
  const after = process.cpuUsage()
  const between = (name: string, from: number, to: number) => t.ok(value(name) >= from && value(name) <= to, `${name}: ${value(name)}, from ${from} to ${to}`)
  between('process_cpu_user_seconds_total', before.user / 1e6, after.user / 1e6)
  between('process_cpu_system_seconds_total', before.system / 1e6, after.system / 1e6)
  between('process_cpu_seconds_total', (before.user + before.system) / 1e6, (after.user + after.system) / 1e6)
  const { rss, heapUsed } = process.memoryUsage()
  between('process_resident_memory_bytes', rss / 2, rss * 2)
  between('nodejs_heap_size_used_bytes', heapUsed / 4, heapUsed * 4)
  between('nodejs_heap_size_total_bytes', value('nodejs_heap_size_used_bytes'), rss * 2)
  between('nodejs_external_memory_bytes', 1, rss)
  const startedAt = Date.now() / 1000 - process.uptime()
  between('process_start_time_seconds', startedAt - 2, startedAt + 2)
  between('process_max_fds', 256, Infinity)
  const open = readdirSync('/proc/self/fd').length
  // Linux before 6.2 does not tell the number.
  if (statSync('/proc/self/fd').size > 0) between('process_open_fds', open - 5, open + 5)

  const longestS = async () => (await scrape())('nodejs_eventloop_lag_max_seconds')
  // The first delay after a scrape has no beginning, and is not measured.
  await until(async () => {
    standStill(400)
    return await longestS() >= 0.3
  })
  // Less than the time between two measurements, which is no delay.
  await until(async () => await longestS() < 0.03)
})
