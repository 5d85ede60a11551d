import { once } from 'node:events'
import { Agent, createServer, request as httpRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Child } from '../support/child.ts'
import { isLong } from '../support/long.ts'
import { freePort } from '../support/server-process.ts'
import { freshDatabase, freshRedis, until } from '../support/servers.ts'
import { Balancer } from './balancer.ts'
import { ask, ready, secret, startMain, type Asked } from './service.ts'

/** How many requests have to be answered while replicas are replaced: once around in the short form, as often as it takes in the long one. */
const requestsWanted = isLong ? 100_000 : 0
// Some fifty requests each second keep every connection in use; more would only keep the processors busy.
const pauseMs = isLong ? 1 : 100
/** Two are the fewest of which one is in service while the other is replaced. */
const replicasWanted = isLong ? 3 : 2

// It took fourteen minutes on a busy machine of two cores.
if (isLong) t.setTimeout(2_400_000)

interface Replica {
  readonly port: number
  readonly child: Child
}

const json = { 'content-type': 'application/json' }
const newKey = '{"name":"n","scope":"mcp:write"}'
/** A change that is answered 503 sooner than this has not waited for Postgres for as long as it may. */
const storeMs = 900

/** An MCP server: a call takes a second and a half and answers as a stream; a GET streams for as long as somebody listens. */
async function startUpstream (t: Test): Promise<string> {
  const server = createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    if (request.method === 'GET') {
      const timer = setInterval(() => { response.write(': here\n\n') }, 200)
      response.on('close', () => { clearInterval(timer) })
      return
    }
    let body = ''
    request.on('data', (chunk) => { body += String(chunk) })
    request.on('end', () => {
      const { id } = JSON.parse(body) as { id: number }
      setTimeout(() => { response.end(`data: {"jsonrpc":"2.0","id":${id},"result":{"content":[]}}\n\n`) }, 1500)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`
}

t.test(`${replicasWanted} replicas are replaced one after the other, under load and through a balancer that follows /readyz: no request fails`, async (t) => {
  const [databaseUrl, redisUrl, upstream] = [await freshDatabase(t), await freshRedis(t), await startUpstream(t)]
  const start = async (): Promise<Replica> => {
    const port = await freePort()
    return { port, child: startMain(t, { env: { PORT: String(port), DATABASE_URL: databaseUrl, REDIS_URL: redisUrl, MANAGEMENT_TOKENS: `tests=${secret}`, MCP_UPSTREAM_URL: upstream, LOG_LEVEL: 'warn' } }) }
  }
  const balancer = await Balancer.start(t, { lookEveryMs: 500 })
  const { url } = balancer
  const startAll = async () => await Promise.all(Array.from({ length: replicasWanted }, start))
  const replicas = await startAll()
  for (const { port } of replicas) { await ready(port); balancer.add(port) }
  await until(() => balancer.readyPorts.length === replicasWanted, { timeoutMs: 20_000 })

  const done = { verified: 0, changes: 0, calls: 0, streams: 0, direct: 0, busy: 0 }
  const requests = () => done.verified + done.direct + 2 * done.changes + done.calls + done.streams
  const failures: string[] = []
  const over = new AbortController()
  const keys = `${url}/v1/workspaces/w/keys`
  const fail = (what: string, answer: unknown) => {
    failures.push(`${what}: ${String((answer as Asked).status ?? '')} ${String((answer as Asked).body ?? answer)}`)
  }
  // On a machine that is too busy a change may wait for Postgres for as long as it may. That is no loss: the replica has used all of its time, and was in no hurry.
  // A verification of a key that is in use has no such excuse: neither a connection nor a window may shut while the replica is in service.
  const changed = async (url: string, options: Parameters<typeof ask>[1]): Promise<Asked | undefined> => {
    const startedAt = performance.now()
    const answer = await ask(url, options)
    const waitedMs = performance.now() - startedAt
    if (answer.status === 503 && waitedMs > storeMs && answer.body.includes('"code":"unavailable"') && !answer.body.includes('stopped')) {
      done.busy++
      return undefined
    }
    return answer
  }
  const change = async (agent: Agent | undefined) => {
    const created = await changed(keys, { method: 'POST', body: newKey, agent })
    if (created === undefined) return
    if (created.status !== 201) return fail('create', created)
    const revoked = await changed(`${keys}/${(JSON.parse(created.body) as { id: string }).id}`, { method: 'DELETE', agent })
    if (revoked === undefined) return
    if (revoked.status === 204) done.changes++
    else fail('revoke', revoked)
  }
  const repeated = async (what: string, act: () => Promise<void>) => {
    while (!over.signal.aborted) {
      await act().catch((error: unknown) => { fail(what, error) })
      await sleep(pauseMs)
    }
  }
  const { token } = JSON.parse((await ask(keys, { method: 'POST', body: newKey })).body) as { token: string }
  const verify = async (base: string, agent: Agent | undefined, what: 'verified' | 'direct') => {
    const answer = await ask(`${base}/v1/verify`, { method: 'POST', body: JSON.stringify({ token }), agent })
    if (answer.status === 200 && answer.body.includes('"valid":true')) done[what]++
    else fail(what, answer)
    return answer
  }
  const mcp = async (method: 'GET' | 'POST', body?: object): Promise<IncomingMessage> => await new Promise((resolve, reject) => {
    const request = httpRequest(`${url}/mcp`, { method, agent: false, headers: { authorization: `Bearer ${token}`, accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2025-11-25', ...body === undefined ? {} : json } }, resolve)
    request.once('error', reject)
    request.end(body === undefined ? undefined : JSON.stringify(body))
  })
  // An answer that breaks off is an error event; one that ends in order is not.
  const wholeOf = async (answer: IncomingMessage): Promise<string> => {
    let text = ''
    for await (const chunk of answer) text += String(chunk)
    return text
  }
  const clients = isLong ? 16 : 4
  const kept = Array.from({ length: clients + 1 }, () => new Agent({ keepAlive: true, maxSockets: 1 }))
  t.teardown(() => { for (const agent of kept) agent.destroy() })
  const load = [
    ...kept.slice(0, clients).map((agent) => repeated('verify, kept', async () => { await verify(url, agent, 'verified') })),
    ...kept.slice(0, clients / 2).map(() => repeated('verify, fresh', async () => { await verify(url, undefined, 'verified') })),
    repeated('change, kept', async () => { await change(kept[clients]) }),
    repeated('change, fresh', async () => { await change(undefined) }),
    repeated('call', async () => {
      const answer = await mcp('POST', { jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name: 'slow', arguments: {} } })
      if (answer.statusCode === 200 && (await wholeOf(answer)).includes('"id":7')) done.calls++
      else fail('call', answer.statusCode)
    }),
    repeated('stream', async () => {
      const answer = await mcp('GET')
      if (answer.statusCode !== 200) fail('stream', answer.statusCode)
      const end = setInterval(() => { if (over.signal.aborted) answer.destroy() }, 100)
      await wholeOf(answer).catch((error: unknown) => { if (!over.signal.aborted) throw error })
      clearInterval(end)
      done.streams++
    })
  ]

  /** Starts the successors, then ends each replica as soon as its successor is in service. */
  const replaced = async (replicas: readonly Replica[]): Promise<readonly Replica[]> => {
    const successors = await startAll()
    for (const [place, { port, child }] of replicas.entries()) {
      const fresh = successors[place]!
      await ready(fresh.port)
      balancer.add(fresh.port)
      await until(() => balancer.readyPorts.includes(fresh.port), { timeoutMs: 20_000 })
      // A client that is connected to the replica itself goes on until an answer says that its connection ends.
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      const direct = (async () => {
        while ((await verify(`http://127.0.0.1:${port}`, agent, 'direct')).headers.connection !== 'close');
        agent.destroy()
      })().catch((error: unknown) => { fail('direct', error) })
      const before = done.direct
      await until(() => done.direct > before)
      child.process.kill('SIGTERM')
      await direct
      t.equal(await child.ended(), 0, child.stderr)
      balancer.remove(port)
    }
    return successors
  }

  let [serving, rollouts] = [replicas as readonly Replica[], 0]
  do {
    serving = await replaced(serving)
    rollouts++
  } while (requests() < requestsWanted && failures.length === 0)
  over.abort()
  await Promise.all(load)
  t.same(failures, [])
  for (const what of ['verified', 'changes', 'calls', 'streams', 'direct'] as const) t.ok(done[what] > 0, `${what}: ${done[what]}`)
  t.ok(requests() >= requestsWanted)
  t.ok(done.busy <= Math.max(5, 2 + requests() / 1000), `${done.busy} changes found Postgres too busy`)
  t.comment(`${requests()} requests in ${rollouts} rollouts: ${JSON.stringify(done)}`)
})
