import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import postgres, { type Sql } from 'postgres'
import { systemClock } from '../../src/core/clock.ts'
import { TrustWindow } from '../../src/core/window/trust-window.ts'
import { connect } from '../../src/db/connect.ts'
import { PostgresWindowStore } from '../../src/db/window-store.ts'
import { RedisAnnouncements } from '../../src/tiers/redis-announcements.ts'
import { ask as askOnce, secret, type Asked } from '../process/service.ts'
import { PostgresServer } from '../support/postgres.ts'
import { RedisServer } from '../support/redis.ts'
import { freePort } from '../support/server-process.ts'
import { until } from '../support/until.ts'

/*
 * `npm run sizing -- 3 8 32:32:redis 128:6`: so many replicas on one Postgres, with a Redis and without, and what they take. `32:32:redis` is measured with
 * a Redis alone. `128:6` is 128 members of the trust window, of which 6 are processes of the service; the others are members in this process, each with
 * one connection to Postgres and two to Redis: they renew, hear, acknowledge and log as a replica does, and answer no requests. The figures of
 * deploy/README.md come from here. No part of `npm test`.
 */
const tickMs = 10
const windowMs = 10_000

interface Replica {
  readonly url: string
  readonly child: ChildProcess
}

interface Stores {
  readonly postgres: PostgresServer
  readonly redis: RedisServer | undefined
  readonly sql: Sql
}

const statOf = (pid: number) => readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /, '').split(' ')
const cpuMs = (pid: number) => {
  const fields = statOf(pid)
  return (Number(fields[11]) + Number(fields[12])) * tickMs
}
const residentMb = (pid: number) => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024 / 1e6
const quantile = (values: readonly number[], q: number) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))] ?? NaN
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)

/** Of a server with all its processes, those that have ended included. */
function cpuOfServerMs (pid: number): number {
  const own = statOf(pid)
  const children = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      return Number(statOf(Number(name))[1]) === pid ? [cpuMs(Number(name))] : []
    } catch {
      return []
    }
  })
  return cpuMs(pid) + (Number(own[13]) + Number(own[14])) * tickMs + sum(children)
}

const kept = new Agent({ keepAlive: true, maxSockets: 64 })
const ask = async (url: string, method: string, path: string, body?: object): Promise<Asked> => await askOnce(`${url}${path}`, { agent: kept, method, ...body === undefined ? {} : { body: JSON.stringify(body) } })

async function create (url: string, name: string): Promise<{ id: string, token: string }> {
  for (;;) {
    const { status, body } = await ask(url, 'POST', '/v1/workspaces/sizing/keys', { name, scope: 'mcp:read' })
    if (status === 201) return JSON.parse(body) as { id: string, token: string }
    if (status !== 503) throw new Error(`A create was answered ${status}: ${body}`)
  }
}

async function startReplica ({ postgres, redis }: Stores): Promise<Replica> {
  const port = await freePort()
  const child = spawn(process.execPath, ['dist/main.js'], {
    env: { PATH: process.env['PATH'], NODE_ENV: 'production', HOST: '127.0.0.1', PORT: String(port), LOG_LEVEL: 'error', DATABASE_URL: postgres.url, TRUST_WINDOW_MS: String(windowMs), MANAGEMENT_TOKENS: `sizing=${secret}`, ...redis === undefined ? {} : { REDIS_URL: redis.url } },
    stdio: ['ignore', 'ignore', 'inherit']
  })
  const url = `http://127.0.0.1:${port}`
  await until(async () => (await fetch(`${url}/readyz`)).ok, { timeoutMs: 120_000, giveUp: () => child.exitCode !== null })
  return { url, child }
}

async function stopReplica ({ child }: Replica): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}

async function startMembers ({ postgres, redis }: Stores, count: number): Promise<TrustWindow[]> {
  const client = redis && new Redis(redis.url, { lazyConnect: true })
  const members = Array.from({ length: count }, () => new TrustWindow({
    store: new PostgresWindowStore({ connect: () => connect({ url: postgres.url, max: 1 }) }),
    announcements: client && new RedisAnnouncements({ redis: client }),
    clock: systemClock,
    windowMs
  }))
  for (const member of members) await member.start()
  await until(() => members.every(({ isOpen }) => isOpen), { timeoutMs: 120_000 })
  return members
}

/** Milliseconds that each of `count` revocations took, or each until `done` says so. */
async function revokeTimes (replicas: () => readonly Replica[], done: (count: number) => boolean): Promise<number[]> {
  const times: number[] = []
  while (!done(times.length)) {
    const all = replicas()
    const { url } = all[times.length % all.length]!
    const { id } = await create(url, 'a key')
    const startedAt = performance.now()
    let answer = await ask(url, 'DELETE', `/v1/workspaces/sizing/keys/${id}`)
    // Repeated as a caller would: the time counts to the end.
    while (answer.status === 503) answer = await ask(url, 'DELETE', `/v1/workspaces/sizing/keys/${id}`)
    if (answer.status !== 204) throw new Error(`A revocation was answered ${answer.status}.`)
    times.push(performance.now() - startedAt)
  }
  return times
}

/** Replaces up to three replicas, one after the other, while others revoke. */
async function rollOut (stores: Stores, replicas: Replica[]): Promise<number[]> {
  let serving: readonly Replica[] = [...replicas]
  const state = { isOver: false }
  const times = revokeTimes(() => serving, () => state.isOver)
  try {
    for (let place = 0; place < Math.min(3, replicas.length); place++) {
      const old = replicas[place]!
      const fresh = await startReplica(stores)
      replicas[place] = fresh
      // What follows /readyz asks the old one for nothing new from now on.
      serving = [...replicas]
      await sleep(500)
      await stopReplica(old)
    }
  } finally {
    state.isOver = true
  }
  return await times
}

/** Resolves to how many of them were answered 503: so many processes on so few cores may not get their turn in time. */
async function verify (replicas: readonly Replica[], token: string, count: number): Promise<number> {
  let unavailable = 0
  await Promise.all(Array.from({ length: 16 }, async (_, i) => {
    for (let n = 0; n < count / 16; n++) {
      const { status, body } = await ask(replicas[(i + n) % replicas.length]!.url, 'POST', '/v1/verify', { token })
      if (status === 503) unavailable++
      else if (!body.includes('"valid":true')) throw new Error(`A good key was refused: ${body}`)
    }
  }))
  return unavailable
}

interface Wanted {
  readonly members: number
  readonly processes: number
  readonly withRedis: boolean
}

async function measure ({ members: memberCount, processes, withRedis }: Wanted): Promise<void> {
  const server = await PostgresServer.start({ settings: { max_connections: '900' } })
  const redis = withRedis ? await RedisServer.start() : undefined
  const stores = { postgres: server, redis, sql: postgres(server.url, { max: 1, onnotice: () => {} }) }
  const replicas: Replica[] = []
  let members: readonly TrustWindow[] = []
  try {
    for (let i = 0; i < processes; i++) replicas.push(await startReplica(stores))
    members = await startMembers(stores, memberCount - processes)
    await sleep(5000)
    const idle = await measureIdle(stores, replicas)
    const { token } = await create(replicas[0]!.url, 'verified')
    const cpuOf = () => sum(replicas.map(({ child }) => cpuMs(child.pid!)))
    await verify(replicas, token, Math.min(5000 * processes, 40_000))
    const [verifications, before] = [40_000, cpuOf()]
    const unavailable = await verify(replicas, token, verifications)
    const perThousand = (cpuOf() - before) / verifications * 1000
    const times = await revokeTimes(() => replicas, (count) => count === 100)
    const most = await mostConnections(stores, replicas)
    const loaded = sum(replicas.map(({ child }) => residentMb(child.pid!))) / processes
    const rolling = await rollOut(stores, replicas)
    console.log([
      `${memberCount} replicas${processes === memberCount ? '' : `, ${processes} of them processes`}, ${withRedis ? 'with' : 'without'} Redis:`,
      `connections ${idle.connections} idle, ${most} at most with 20 creates at once at each process;`,
      `resident ${idle.resident.toFixed(0)} MB idle, ${loaded.toFixed(0)} MB after load;`,
      `CPU ${(idle.cpu * 100).toFixed(1)} % of a core each when idle, Postgres ${(idle.postgresCpu * 100).toFixed(1)} %; ${perThousand.toFixed(0)} ms for 1,000 verifications, ${unavailable} of ${verifications} answered 503;`,
      `${idle.commits.toFixed(0)} transactions a second idle;`,
      `revocation ${quantile(times, 0.5).toFixed(0)} ms median, ${quantile(times, 0.99).toFixed(0)} ms p99;`,
      `${rolling.length} while ${Math.min(3, processes)} replicas were replaced: ${quantile(rolling, 0.5).toFixed(0)} ms median, ${quantile(rolling, 0.99).toFixed(0)} ms p99, ${Math.max(...rolling).toFixed(0)} ms at most`
    ].join(' '))
  } finally {
    await Promise.all([...replicas.map(stopReplica), ...members.map(async (member) => { await member.leave() })])
    await stores.sql.end({ timeout: 1 })
    await redis?.remove()
    await server.remove()
  }
}

async function connections ({ sql }: Stores): Promise<number> {
  return Number((await sql`select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()`)[0]?.['count'])
}

async function measureIdle (stores: Stores, replicas: readonly Replica[]) {
  const seconds = 20
  const pids = replicas.map(({ child }) => child.pid!)
  const read = async () => ({
    cpu: sum(pids.map(cpuMs)),
    postgresCpu: cpuOfServerMs(stores.postgres.pid),
    commits: Number((await stores.sql`select sum(xact_commit) from pg_stat_database`)[0]?.['sum'])
  })
  const before = await read()
  await sleep(seconds * 1000)
  const after = await read()
  return {
    connections: await connections(stores),
    resident: sum(pids.map(residentMb)) / pids.length,
    cpu: (after.cpu - before.cpu) / pids.length / seconds / 1000,
    postgresCpu: (after.postgresCpu - before.postgresCpu) / seconds / 1000,
    commits: (after.commits - before.commits) / seconds
  }
}

async function mostConnections (stores: Stores, replicas: readonly Replica[]): Promise<number> {
  let most = 0
  const watch = setInterval(() => { connections(stores).then((now) => { most = Math.max(most, now) }, () => {}) }, 200)
  await Promise.all(replicas.map(async ({ url }, r) => {
    await Promise.all(Array.from({ length: 20 }, async (_, i) => await ask(url, 'POST', '/v1/workspaces/sizing/keys', { name: `many ${r} ${i}`, scope: 'mcp:read' })))
  }))
  clearInterval(watch)
  return Math.max(most, await connections(stores))
}

for (const wanted of process.argv.slice(2)) {
  const [count, processes = count, only] = wanted.split(':')
  for (const withRedis of only === undefined ? [true, false] : [only === 'redis']) await measure({ members: Number(count), processes: Number(processes), withRedis })
}
kept.destroy()
