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

t.test('probes and scrapes ask nobody: they answer as before while Postgres and Redis stand still; at debug each is a line of the log', async (t) => {
  const [postgres, redis] = [await startPostgres(t), await startRedis(t)]
  const { child, url } = await start(t, { DATABASE_URL: postgres.url, REDIS_URL: redis.url, TRUST_WINDOW_MS: '60000', LOG_LEVEL: 'debug' })
  postgres.pause()
  redis.pause()
  const startedAt = performance.now()
  const statuses = new Map<string, number>()
  // One after the other: each would wait for a second at least if it asked.
  for (let round = 0; round < 20; round++) {
    for (const path of ['/readyz', '/metrics', '/livez']) {
      const { status } = await ask(url + path)
      statuses.set(`${path} ${status}`, (statuses.get(`${path} ${status}`) ?? 0) + 1)
    }
  }
  t.same([...statuses], [['/readyz 200', 20], ['/metrics 200', 20], ['/livez 200', 20]])
  t.ok(performance.now() - startedAt < 30_000)
  await until(async () => JSON.parse((await ask(`${url}/readyz`)).body).postgres === 'down', { timeoutMs: 15_000 })
  for (const server of [postgres, redis]) server.resume()
  await until(() => ['readyz', 'metrics', 'livez'].every((path) => new RegExp(`"level":"debug".*${path}`).test(child.stdout)))
})

t.test('six hundred clients that probe and scrape at once take no place from changes, and write no line to the log', async (t) => {
  const { child, url } = await start(t, { DATABASE_URL: await freshDatabase(t), REDIS_URL: await freshRedis(t) })
  const agent = new Agent({ keepAlive: true, maxSockets: 600 })
  t.teardown(() => { agent.destroy() })
  const answers = { probes: 0, others: [] as number[] }
  // Sent together, and again only when all are answered: a flood without end would take the processor from the changes, which is another matter than their places.
  const amidProbes = async (change: () => ReturnType<typeof ask>) => {
    const probes = Array.from({ length: 600 }, async (_, n) => (await ask(url + (n % 2 === 0 ? '/readyz' : '/metrics'), { agent })).status)
    const answer = await change()
    const statuses = await Promise.all(probes)
    answers.probes += statuses.length
    answers.others.push(...statuses.filter((status) => status !== 200))
    return answer
  }
  const keys = `${url}/v1/workspaces/w/keys`
  for (let n = 0; n < 2; n++) {
    const { status, body } = await amidProbes(async () => await ask(keys, { method: 'POST', body: `{"name":"n ${n}","scope":"mcp:read"}` }))
    t.equal(status, 201)
    const { id } = JSON.parse(body) as { id: string }
    t.equal((await amidProbes(async () => await ask(`${keys}/${id}`, { method: 'DELETE' }))).status, 204)
  }
  t.same(answers.others, [])
  t.comment(`${answers.probes} probes and scrapes`)
  t.notMatch(child.stdout, /readyz|metrics/)
  await until(() => child.stdout.includes('"route":"/v1/workspaces/:workspace_id/keys/:key_id"'))
})
