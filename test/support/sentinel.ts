import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { freePort, ServerProcess } from './server-process.ts'
import type { RedisServer, Teardowns } from './servers.ts'
import { until } from './until.ts'

/** A real Sentinel that watches the master on this port as `mymaster`. Resolves to its port. `lines`: more of its configuration. */
export async function startSentinel (t: Teardowns, masterPort: number, lines: readonly string[] = []): Promise<number> {
  const port = await freePort()
  const server = new ServerProcess({ name: 'sentinel' })
  t.teardown(async () => { await server.remove() })
  const file = join(server.dir, 'sentinel.conf')
  writeFileSync(file, [`port ${port}`, 'bind 127.0.0.1', `dir ${server.dir}`, `sentinel monitor mymaster 127.0.0.1 ${masterPort} 2`, 'sentinel down-after-milliseconds mymaster 1000', 'sentinel failover-timeout mymaster 3000', ...lines, ''].join('\n'))
  await server.start({ command: 'redis-server', args: [file, '--sentinel'], ready: async () => await ask(port, 'ping') === 'PONG' })
  return port
}

/** Three Sentinels for a master and its replica. Resolves to `REDIS_URL` when they know one another. */
export async function startSentinels (t: Teardowns, { master, standby }: { master: RedisServer, standby: RedisServer }): Promise<string> {
  await ask(standby.port, 'replicaof', '127.0.0.1', String(master.port))
  const ports = await Promise.all([1, 2, 3].map(async () => await startSentinel(t, master.port)))
  await until(async () => String(await ask(master.port, 'info', 'replication')).includes('state=online'))
  for (const port of ports) await until(async () => String(await ask(port, 'info', 'sentinel')).includes('slaves=1,sentinels=3'))
  return `redis+sentinel://${ports.map((port) => `127.0.0.1:${port}`).join(',')}/mymaster/0`
}

/** Sends one command to a running server. */
export async function ask (port: number, ...command: readonly string[]): Promise<unknown> {
  const redis = new Redis({ host: '127.0.0.1', port, lazyConnect: true, retryStrategy: null, enableReadyCheck: false })
  redis.on('error', () => {})
  try {
    await redis.connect()
    const [name = '', ...args] = command
    return await redis.call(name, ...args)
  } finally {
    redis.disconnect()
  }
}
