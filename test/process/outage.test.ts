import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { freePort } from '../support/server-process.ts'
import { startPostgres, startRedis, until } from '../support/servers.ts'
import { Balancer } from './balancer.ts'
import { ask, ready, secret, startMain, type Asked } from './service.ts'

t.setTimeout(180_000)

const windowMs = 20_000
// Some fifty requests each second keep every connection in use; more would only keep the processors busy.
const pauseMs = 100

t.test('Postgres away for less than the trust window, then Redis away, behind a balancer that follows /readyz: no verification of a key in use fails, and changes are refused whole', async (t) => {
  const [postgres, redis] = [await startPostgres(t), await startRedis(t)]
  const ports = await Promise.all([freePort(), freePort(), freePort()])
  const balancer = await Balancer.start(t, { lookEveryMs: 200 })
  for (const port of ports) startMain(t, { env: { PORT: String(port), DATABASE_URL: postgres.url, REDIS_URL: redis.url, TRUST_WINDOW_MS: String(windowMs), MANAGEMENT_TOKENS: `tests=${secret}`, LOG_LEVEL: 'error' } })
  for (const port of ports) { await ready(port); balancer.add(port) }
  await until(() => balancer.readyPorts.length === 3)

  const keys = `${balancer.url}/v1/workspaces/w/keys`
  const create = async () => await ask(keys, { method: 'POST', body: '{"name":"n","scope":"mcp:read"}' })
  const { id, token } = JSON.parse((await create()).body) as { id: string, token: string }
  const verify = async (url: string, agent?: Agent) => await ask(`${url}/v1/verify`, { method: 'POST', body: JSON.stringify({ token }), agent })
  const isValid = ({ status, body }: Asked) => status === 200 && body.includes('"valid":true')
  // Each replica has the key in memory.
  for (const port of ports) await until(async () => isValid(await verify(`http://127.0.0.1:${port}`)))

  const over = new AbortController()
  const done = { kept: 0, fresh: 0 }
  const failures: string[] = []
  const agents = [1, 2, 3].map(() => new Agent({ keepAlive: true, maxSockets: 1 }))
  t.teardown(() => { for (const agent of agents) agent.destroy() })
  const repeated = async (what: 'kept' | 'fresh', agent?: Agent) => {
    while (!over.signal.aborted) {
      await verify(balancer.url, agent).then((answer) => {
        if (isValid(answer)) done[what]++
        else failures.push(`${what}: ${answer.status} ${answer.body}`)
      }, (error: unknown) => { failures.push(`${what}: ${String(error)}`) })
      await sleep(pauseMs)
    }
  }
  const load = [...agents.map((agent) => repeated('kept', agent)), repeated('fresh'), repeated('fresh')]
  const enough = async () => {
    const before = { ...done }
    await until(() => done.kept >= before.kept + 24 && done.fresh >= before.fresh + 12)
  }
  await enough()

  await postgres.kill()
  const awayAt = performance.now()
  for (const answer of [await create(), await ask(`${keys}/${id}`, { method: 'DELETE' }), await ask(keys)]) {
    t.match(answer, { status: 503, body: /"code":"unavailable"/, headers: { 'retry-after': '1' } })
  }
  // Long enough for every probe to see it, several times.
  while (performance.now() - awayAt < windowMs / 4) await enough()
  t.same([...balancer.readyPorts].sort(), [...ports].sort(), 'every replica stays in service')
  const awayMs = performance.now() - awayAt
  t.ok(awayMs < windowMs * 0.75, `Postgres was away for ${Math.round(awayMs)} ms, less than the window`)
  await postgres.start()
  await until(async () => (await create()).status === 201)
  await enough()

  await redis.kill()
  await enough()
  const made = await create()
  t.equal(made.status, 201, 'without Redis changes go on')
  t.equal((await ask(`${keys}/${(JSON.parse(made.body) as { id: string }).id}`, { method: 'DELETE' })).status, 204)
  await redis.start()
  await enough()
  over.abort()
  await Promise.all(load)
  t.same(failures, [])
  t.comment(`${done.kept} verifications over kept connections, ${done.fresh} over fresh ones; Postgres was away for ${Math.round(awayMs)} ms`)
  t.equal((await ask(`${keys}/${id}`, { method: 'DELETE' })).status, 204)
  t.match((await verify(balancer.url)).body, /"reason":"revoked"/)
})
