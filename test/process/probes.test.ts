import { Agent } from 'node:http'
import t, { type Test } from 'tap'
import { freePort } from '../support/server-process.ts'
import { freshDatabase, freshRedis, startPostgres, startRedis, until } from '../support/servers.ts'
import { ask, ready, secret, startMain } from './service.ts'

async function start (t: Test, env: Readonly<Record<string, string>>) {
  const port = await freePort()
  const child = startMain(t, { env: { PORT: String(port), MANAGEMENT_TOKENS: `tests=${secret}`, ...env } })
  await ready(port)
  return { child, url: `http://127.0.0.1:${port}` }
}

t.test('probes and scrapes ask nobody: they answer as before while Postgres and Redis stand still', async (t) => {
  const [postgres, redis] = [await startPostgres(t), await startRedis(t)]
  const { url } = await start(t, { DATABASE_URL: postgres.url, REDIS_URL: redis.url, TRUST_WINDOW_MS: '60000', LOG_LEVEL: 'warn' })
  postgres.pause()
  redis.pause()
  const startedAt = performance.now()
  const statuses = new Map<string, number>()
  // One after the other: each would wait for a second at least if it asked.
  for (let round = 0; round < 60; round++) {
    for (const path of ['/readyz', '/metrics', '/livez']) {
      const { status } = await ask(url + path)
      statuses.set(`${path} ${status}`, (statuses.get(`${path} ${status}`) ?? 0) + 1)
    }
  }
  t.same([...statuses], [['/readyz 200', 60], ['/metrics 200', 60], ['/livez 200', 60]])
  t.ok(performance.now() - startedAt < 30_000)
  await until(async () => JSON.parse((await ask(`${url}/readyz`)).body).postgres === 'down', { timeoutMs: 15_000 })
  for (const server of [postgres, redis]) server.resume()
})

t.test('six hundred clients that probe and scrape without end take no place from changes, and write no line to the log', async (t) => {
  const { child, url } = await start(t, { DATABASE_URL: await freshDatabase(t), REDIS_URL: await freshRedis(t) })
  const agent = new Agent({ keepAlive: true, maxSockets: 600 })
  t.teardown(() => { agent.destroy() })
  const over = new AbortController()
  const answered = { count: 0, others: [] as number[] }
  const probing = Array.from({ length: 600 }, async (_, n) => {
    const path = n % 2 === 0 ? '/readyz' : '/metrics'
    while (!over.signal.aborted) {
      const { status } = await ask(url + path, { agent })
      answered.count++
      if (status !== 200) answered.others.push(status)
    }
  })
  await until(() => answered.count > 1200, { timeoutMs: 30_000 })
  const keys = `${url}/v1/workspaces/w/keys`
  const made = await Promise.all(Array.from({ length: 8 }, async (_, n) => await ask(keys, { method: 'POST', body: `{"name":"n ${n}","scope":"mcp:read"}` })))
  t.same(made.map(({ status }) => status), Array(8).fill(201))
  const ids = made.map(({ body }) => (JSON.parse(body) as { id: string }).id)
  t.same((await Promise.all(ids.map(async (id) => await ask(`${keys}/${id}`, { method: 'DELETE' })))).map(({ status }) => status), Array(8).fill(204))
  over.abort()
  await Promise.all(probing)
  t.same(answered.others, [])
  t.comment(`${answered.count} probes and scrapes`)
  t.notMatch(child.stdout, /readyz|metrics/)
  await until(() => child.stdout.includes('"route":"/v1/workspaces/:workspace_id/keys/:key_id"'))
})

t.test('at debug each probe is a line of the log', async (t) => {
  const { child, url } = await start(t, { DATABASE_URL: await freshDatabase(t), LOG_LEVEL: 'debug' })
  await ask(`${url}/livez`)
  await until(() => /"level":"debug".*livez/.test(child.stdout))
})
