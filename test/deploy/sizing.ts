import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { PostgresServer } from '../support/postgres.ts'
import { RedisServer } from '../support/redis.ts'
import { freePort } from '../support/server-process.ts'
import { until } from '../support/until.ts'

/*
 * `npm run sizing -- 8 32`: that many replicas as processes of their own on one Postgres and one Redis, and what they take.
 * The figures of deploy/README.md come from here. Minutes long, and no part of `npm test`.
 */
const secret = 'sizing-management-token-0123456789-0123456789'
const tickMs = 10

interface Replica {
  readonly url: string
  readonly child: ChildProcess
}

const cpuMs = (pid: number) => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /, '').split(' ')
  return (Number(fields[11]) + Number(fields[12])) * tickMs
}
const residentMb = (pid: number) => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024 / 1e6
const quantile = (values: number[], q: number) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))] ?? NaN

async function ask (url: string, method: string, path: string, body?: unknown): Promise<Response> {
  return await fetch(`${url}${path}`, {
    method,
    headers: { authorization: `Bearer ${secret}`, ...body === undefined ? {} : { 'content-type': 'application/json' } },
    ...body === undefined ? {} : { body: JSON.stringify(body) }
  })
}

async function startReplica (databaseUrl: string, redisUrl: string | undefined): Promise<Replica> {
  const port = await freePort()
  const child = spawn(process.execPath, ['dist/main.js'], {
    env: { PATH: process.env['PATH'], NODE_ENV: 'production', HOST: '127.0.0.1', PORT: String(port), LOG_LEVEL: 'error', DATABASE_URL: databaseUrl, MANAGEMENT_TOKENS: `sizing=${secret}`, ...redisUrl === undefined ? {} : { REDIS_URL: redisUrl } },
    stdio: ['ignore', 'ignore', 'inherit']
  })
  const url = `http://127.0.0.1:${port}`
  await until(async () => (await fetch(`${url}/readyz`)).ok, { timeoutMs: 120_000, giveUp: () => child.exitCode !== null })
  return { url, child }
}

async function revokeTimes (replicas: readonly Replica[], count: number, each?: (i: number) => void): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    const { url } = replicas[i % replicas.length]!
    const { id } = await (await ask(url, 'POST', '/v1/workspaces/sizing/keys', { name: `key ${i}`, scope: 'mcp:read' })).json() as { id: string }
    each?.(i)
    const startedAt = performance.now()
    const answer = await ask(url, 'DELETE', `/v1/workspaces/sizing/keys/${id}`)
    if (answer.status !== 204) throw new Error(`A revocation was answered ${answer.status}.`)
    times.push(performance.now() - startedAt)
  }
  return times
}

async function measure (count: number, withRedis: boolean): Promise<void> {
  const server = await PostgresServer.start({ settings: { max_connections: '600' } })
  const redis = withRedis ? await RedisServer.start() : undefined
  const sql = postgres(server.url, { max: 1, onnotice: () => {} })
  const replicas: Replica[] = []
  const connections = async () => Number((await sql`select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()`)[0]?.['count'])
  const commits = async () => Number((await sql`select sum(xact_commit) from pg_stat_database`)[0]?.['sum'])
  try {
    for (let i = 0; i < count; i++) replicas.push(await startReplica(server.url, redis?.url))
    await sleep(5000)
    const pids = replicas.map(({ child }) => child.pid!)
    const [cpuBefore, commitsBefore] = [pids.map(cpuMs), await commits()]
    await sleep(20_000)
    const idleCpu = pids.reduce((sum, pid, i) => sum + cpuMs(pid) - cpuBefore[i]!, 0) / count / 20_000
    const idle = { connections: await connections(), resident: pids.reduce((sum, pid) => sum + residentMb(pid), 0) / count, commits: (await commits() - commitsBefore) / 20 }

    const { token } = await (await ask(replicas[0]!.url, 'POST', '/v1/workspaces/sizing/keys', { name: 'verified', scope: 'mcp:read' })).json() as { token: string }
    const verifications = 20_000
    const [cpuAtLoad, loadedPids] = [pids.map(cpuMs), pids]
    await Promise.all(Array.from({ length: 16 }, async (_, i) => {
      for (let n = 0; n < verifications / 16; n++) {
        const { url } = replicas[(i + n) % count]!
        const { valid } = await (await ask(url, 'POST', '/v1/verify', { token })).json() as { valid: boolean }
        if (!valid) throw new Error('A good key was refused.')
      }
    }))
    const perThousand = loadedPids.reduce((sum, pid, i) => sum + cpuMs(pid) - cpuAtLoad[i]!, 0) / verifications * 1000

    const times = await revokeTimes(replicas, 60)
    let most = 0
    const watch = setInterval(() => { connections().then((now) => { most = Math.max(most, now) }, () => {}) }, 200)
    await Promise.all(replicas.map(async ({ url }, r) => {
      await Promise.all(Array.from({ length: 20 }, async (_, i) => {
        await (await ask(url, 'POST', '/v1/workspaces/sizing/keys', { name: `many ${r} ${i}`, scope: 'mcp:read' })).text()
      }))
    }))
    clearInterval(watch)
    most = Math.max(most, await connections())

    // One replica goes by SIGTERM while the others revoke, as in a rollout.
    const [leaver, ...stayers] = replicas
    const rolling = await revokeTimes(stayers, 40, (i) => { if (i === 5) leaver?.child.kill('SIGTERM') })
    const loaded = pids.slice(1).reduce((sum, pid) => sum + residentMb(pid), 0) / (count - 1)
    console.log([
      `${count} replicas, ${withRedis ? 'with' : 'without'} Redis:`,
      `connections ${idle.connections} idle, ${most} at most with 20 creates at once at each;`,
      `resident ${idle.resident.toFixed(0)} MB idle, ${loaded.toFixed(0)} MB after load;`,
      `CPU ${(idleCpu * 100).toFixed(1)} % of a core each when idle, ${perThousand.toFixed(0)} ms for 1,000 verifications;`,
      `${idle.commits.toFixed(0)} transactions a second idle;`,
      `revocation ${quantile(times, 0.5).toFixed(0)} ms median, ${quantile(times, 0.99).toFixed(0)} ms p99;`,
      `while one replica left: ${quantile(rolling, 0.5).toFixed(0)} ms median, ${Math.max(...rolling).toFixed(0)} ms at most`
    ].join(' '))
  } finally {
    await Promise.all(replicas.map(async ({ child }) => {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGTERM')
      await once(child, 'exit')
    }))
    await sql.end({ timeout: 1 })
    await redis?.remove()
    await server.remove()
  }
}

for (const count of process.argv.slice(2).map(Number)) {
  for (const withRedis of [true, false]) await measure(count, withRedis)
}
