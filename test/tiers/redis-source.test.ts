import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Redis, type Cluster } from 'ioredis'
import t, { type Test } from 'tap'
import { silentLogger } from '../../src/core/logger.ts'
import { openKeys } from '../../src/engine/open-keys.ts'
import { RedisSource } from '../../src/tiers/redis-source.ts'
import { freshDatabase, startRedis, until } from '../support/servers.ts'
import { ask as command, startSentinel, startSentinels } from '../support/sentinel.ts'
import { freePort } from '../support/server-process.ts'

const followedMs = 5000
const documentedRights = /^ACL SETUSER navis on >password (.*)$/m.exec(readFileSync('docs/container.md', 'utf8'))![1]!.split(' ')

async function open (t: Test, redisUrl: string, { redisCaFile }: { redisCaFile?: string } = {}) {
  const lines: string[] = []
  const infos: string[] = []
  const noting = (to: string[]) => (fields: object, message: string) => { to.push(`${JSON.stringify(fields)} ${message}`) }
  const log = { ...silentLogger, info: noting(infos), warn: noting(lines) }
  const databaseUrl = await freshDatabase(t)
  const keys = await openKeys({ databaseUrl, redisUrl, redisCaFile, log })
  t.teardown(() => keys.close())
  const made = async () => await keys.service.create({ workspaceId: 'w', actor: 'test', name: 'n', scope: 'mcp:read' })
  /** A key is found once, in Postgres, and then its row is in Redis. */
  const written = async (): Promise<true> => {
    const before = keys.stats().redis!.written
    const { token } = await made()
    await keys.verifier.verify(token, { scope: 'mcp:read' })
    await until(() => keys.stats().redis!.written > before, { timeoutMs: 300 })
    return true
  }
  const revokes = async () => {
    const { key, token } = await made()
    t.match(await keys.verifier.verify(token, { scope: 'mcp:read' }), { valid: true })
    await keys.service.revoke({ workspaceId: 'w', keyId: key.id, actor: 'test' })
    t.match(await keys.verifier.verify(token, { scope: 'mcp:read' }), { valid: false, reason: 'revoked' }, 'whatever Redis does')
  }
  /** A limited key is used, and its bucket in Redis with it: which two replicas share. */
  const limits = async () => {
    const other = await openKeys({ databaseUrl, redisUrl, redisCaFile })
    try {
      await until(() => keys.window.snapshot().members === 2)
      const { token } = await keys.service.create({ workspaceId: 'w', actor: 'test', name: 'n', scope: 'mcp:read', rateLimit: { requests: 100, windowSeconds: 3600 } })
      const before = keys.stats().rates.settlements
      for (let i = 0; i < 20; i++) t.equal((await keys.verifier.verify(token, { scope: 'mcp:read' })).valid, true)
      await until(() => keys.stats().rates.settlements > before)
      t.equal(keys.stats().rates.failures, 0)
    } finally {
      await other.close()
    }
  }
  const told = (code: string) => lines.filter((line) => line.includes(`"failure":"${code}"`)).length
  /** Another replica, whose memory is empty. */
  const another = async () => {
    const other = await openKeys({ databaseUrl, redisUrl, redisCaFile })
    t.teardown(() => other.close())
    // One that joins uses Redis when it has been admitted to the lineage, within two seconds.
    await until(async () => {
      await other.verifier.verify((await made()).token)
      return other.stats().redis!.written > 0
    })
    return other
  }
  return { keys, made, written, revokes, limits, another, told, lines, infos }
}

t.test('what Redis refuses is noticed without a request, told once with its code, shown and counted, and nothing is wrong', async (t) => {
  const rows: ReadonlyArray<{ code: string, state?: string, args?: string[], prepare?: string[][], url?: (port: number) => string, heal?: string[] }> = [
    { code: 'READONLY', prepare: [['replicaof', '127.0.0.1', '1']], heal: ['replicaof', 'no', 'one'] },
    { code: 'OOM', prepare: [['config', 'set', 'maxmemory', '1'], ['config', 'set', 'maxmemory-policy', 'noeviction']] },
    { code: 'NOPERM', prepare: [['acl', 'setuser', 'keys', 'on', '>hunter2hunter2', '~navis-keys:*', 'resetchannels', '+getrange', '+set', '+unlink', '+publish', '+subscribe', '+ping']], url: (port) => `redis://keys:hunter2hunter2@127.0.0.1:${port}/0` },
    { code: 'WRONGPASS', state: 'down', url: (port) => `redis://keys:wrongwrong@127.0.0.1:${port}/0` },
    { code: 'NO_SUCH_DATABASE', state: 'down', url: (port) => `redis://127.0.0.1:${port}/9999` },
    { code: 'CLUSTERDOWN', args: ['--cluster-enabled', 'yes'] }
  ]
  // Each waits for seconds; none of them for another.
  t.jobs = rows.length
  for (const { code, state = 'refusing', args = [], prepare = [], url = (port: number) => `redis://127.0.0.1:${port}/0`, heal } of rows) {
    t.test(code, { buffered: true }, async (t) => {
      const server = await startRedis(t, { args: args.length > 0 ? [...args, '--databases', '1'] : [] })
      for (const words of prepare) await command(server.port, ...words)
      const { keys, revokes, told } = await open(t, url(server.port))
      await until(() => keys.health().redisRefusal === code)
      await until(() => keys.health().redis === state)
      await revokes()
      t.ok((keys.stats().redisConnection?.refusals[code] ?? 0) > 0)
      t.equal(told(code), 1)
      if (heal === undefined) return
      await command(server.port, ...heal)
      await until(() => keys.health().redis === 'up')
    })
  }
})

t.test('the rights that docs/container.md lists are enough', async (t) => {
  const server = await startRedis(t)
  await command(server.port, 'acl', 'setuser', 'keys', 'on', '>hunter2hunter2', ...documentedRights)
  const { keys, written, revokes, limits, lines } = await open(t, `redis://keys:hunter2hunter2@127.0.0.1:${server.port}/1`)
  await until(written)
  await revokes()
  await limits()
  await until(() => keys.stats().announcements!.subscribed > 0)
  t.match(keys.health(), { redis: 'up', redisRefusal: undefined })
  t.ok(Object.values(keys.stats().redisConnection!.refusals).every((refused) => refused === 0))
  // A Redis that gets no processor for a second is away for a moment, whatever the rights are.
  t.same(lines.filter((line) => line !== '{"failure":"Error"} Redis cannot be reached: keys are looked up in Postgres'), [])
})

t.test('a master that Sentinels watch is followed within 5 seconds of a failover', async (t) => {
  const [master, standby] = [await startRedis(t), await startRedis(t)]
  const { keys, written, revokes } = await open(t, await startSentinels(t, { master, standby }))
  await until(written)
  await master.kill()
  await until(async () => String(await command(standby.port, 'role')).startsWith('master'), { timeoutMs: 60_000 })
  await until(written, { timeoutMs: followedMs })
  await revokes()
  await until(() => keys.health().redis === 'up')
})

t.test('a Cluster serves rows from all its nodes; slots that are moved and a node that fails over are followed', async (t) => {
  const nodes = await Promise.all([1, 2, 3, 4].map(async () => await startRedis(t, { args: ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000', '--databases', '1'] })))
  const ports = nodes.map(({ port }) => port)
  const busPorts = ports.map((port) => port + 10_000)
  t.ok(busPorts.every((port) => port < 65_536))
  execFileSync('redis-cli', ['--cluster', 'create', ...ports.slice(0, 3).map((port) => `127.0.0.1:${port}`), '--cluster-yes'], { stdio: 'ignore' })
  const [first] = await Promise.all(ports.slice(0, 1).map(async (port) => String(await command(port, 'cluster', 'myid'))))
  execFileSync('redis-cli', ['--cluster', 'add-node', `127.0.0.1:${ports[3]!}`, `127.0.0.1:${ports[0]!}`, '--cluster-slave', '--cluster-master-id', first!], { stdio: 'ignore' })
  await until(async () => /^slave.*,connected,/.test(String(await command(ports[3]!, 'role'))))
  const rights = [...documentedRights, '+cluster|slots', '+cluster|info', '+info', '+asking']
  for (const port of ports) await command(port, 'acl', 'setuser', 'keys', 'on', '>hunter2hunter2', ...rights)
  const { keys, made, written, revokes, limits, another, told, infos } = await open(t, `redis+cluster://keys:hunter2hunter2@${ports.slice(0, 3).map((port) => `127.0.0.1:${port}`).join(',')}`)
  await until(written)
  for (let i = 0; i < 12; i++) await until(written)
  const sizes = await Promise.all(ports.slice(0, 3).map(async (port) => Number(await command(port, 'dbsize'))))
  t.ok(sizes.filter((size) => size > 0).length > 1, `rows are spread: ${sizes.join(' ')}`)
  await limits()
  await revokes()
  await until(() => keys.stats().announcements!.subscribed > 0)
  t.match(keys.health(), { redis: 'up', redisRefusal: undefined })

  const tokens: Array<{ readonly token: string, readonly isRevoked: boolean }> = []
  await t.test('half of the slots of a node are moved to another, their keys with them, while keys are made, verified and revoked', async (t) => {
    let [from, to] = await Promise.all([ports[2]!, ports[1]!].map(async (port) => String(await command(port, 'cluster', 'myid'))))
    const isMovedTold = () => (keys.stats().redisConnection?.refusals['MOVED'] ?? 0) > 0
    // On a busy machine the client may learn of every move before it asks for a key of that slot: then they are moved back, and so on.
    for (let round = 0; round < 6 && !isMovedTold(); round++) {
      const moving = { isOver: false }
      // It moves nothing while the nodes still tell one another of the last move.
      await until(async () => await promisify(execFile)('redis-cli', ['--cluster', 'check', `127.0.0.1:${ports[0]!}`]).then(() => true, () => false))
      const moved = promisify(execFile)('redis-cli', ['--cluster', 'reshard', `127.0.0.1:${ports[0]!}`, '--cluster-from', from!, '--cluster-to', to!, '--cluster-slots', '2700', '--cluster-pipeline', '100', '--cluster-yes'])
        .finally(() => { moving.isOver = true })
      while (!moving.isOver) {
        const { key, token } = await made()
        t.match(await keys.verifier.verify(token, { scope: 'mcp:read' }), { valid: true })
        const isRevoked = tokens.length % 4 === 0
        if (isRevoked) await keys.service.revoke({ workspaceId: 'w', keyId: key.id, actor: 'test' })
        tokens.push({ token, isRevoked })
        // More keys would only take the processors from redis-cli.
        await sleep(isMovedTold() ? 100 : 10)
      }
      await moved;
      [from, to] = [to, from]
    }
    t.ok(isMovedTold(), `MOVED was answered, of ${tokens.length} keys`)
    t.equal(infos.filter((line) => line.includes('"failure":"MOVED"')).length, 1)
    t.equal(told('MOVED'), 0, 'it is no refusal')
    t.match(keys.health(), { redis: 'up', redisRefusal: undefined })
    const other = await another()
    for (const { token, isRevoked } of tokens) t.equal((await other.verifier.verify(token, { scope: 'mcp:read' })).valid, !isRevoked)
    t.ok(other.stats().redis!.hits > 0, 'rows are read where they are now')
    t.comment(`${tokens.length} keys, ${keys.stats().redisConnection?.refusals['MOVED']} times MOVED, ${other.stats().redis!.hits} hits`)
  })

  for (const may of [false, true]) {
    await t.test(`a row of a slot that is being moved is asked for where it goes${may ? '' : ', and a user without the right to ASKING is refused without harm'}`, async (t) => {
      for (const port of ports) await command(port, 'acl', 'setuser', 'keys', may ? '+asking' : '-asking')
      const namesAt = async (port: number) => await command(port, 'keys', '*') as string[]
      const before = new Map(await Promise.all(ports.slice(0, 3).map(async (port) => [port, await namesAt(port)] as const)))
      const { token } = await made()
      t.ok((await keys.verifier.verify(token)).valid)
      let [from, name] = [0, '']
      await until(async () => {
        for (const [port, names] of before) for (const one of await namesAt(port)) if (!names.includes(one)) [from, name] = [port, one]
        return name !== ''
      })
      const to = ports.slice(0, 3).find((port) => port !== from)!
      const [fromId, toId] = await Promise.all([from, to].map(async (port) => String(await command(port, 'cluster', 'myid'))))
      const slot = String(await command(from, 'cluster', 'keyslot', name))
      await command(to, 'cluster', 'setslot', slot, 'importing', fromId!)
      await command(from, 'cluster', 'setslot', slot, 'migrating', toId!)
      await command(from, 'unlink', name)
      const fresh = await another()
      t.ok((await fresh.verifier.verify(token, { scope: 'mcp:read' })).valid)
      if (may) t.equal(fresh.health().redisRefusal, undefined)
      else await until(() => fresh.health().redisRefusal === 'NOPERM')
      for (const port of [from, to]) await command(port, 'cluster', 'setslot', slot, 'stable')
    })
  }

  await t.test('a node of a Cluster that is named as a single server: MOVED is told once, shown and counted', async (t) => {
    const answers = await Promise.all(ports.slice(0, 3).map(async (port) => await command(port, 'get', 'navis-keys:probe').then(() => 'here', (error: Error) => error.message)))
    const { keys, revokes, told } = await open(t, `redis://127.0.0.1:${ports[answers.findIndex((answer) => answer.startsWith('MOVED'))]!}/0`)
    await until(() => keys.health().redisRefusal === 'MOVED')
    t.equal(keys.health().redis, 'refusing')
    await revokes()
    t.ok((keys.stats().redisConnection?.refusals['MOVED'] ?? 0) > 0)
    t.equal(told('MOVED'), 1)
  })

  await nodes[0]!.kill()
  await until(async () => String(await command(ports[3]!, 'role')).startsWith('master'), { timeoutMs: 60_000 })
  const promotedAt = performance.now()
  // Eight keys in a row: some of each node.
  await until(async () => { for (let i = 0; i < 8; i++) await written(); return true }, { timeoutMs: followedMs })
  t.comment(`followed ${Math.round(performance.now() - promotedAt)} ms after the promotion`)
  await revokes()
  await until(() => keys.health().redis === 'up')
})

/** A certificate for this address that is its own authority, and another one under the same name. */
function certificates (t: Test): { readonly right: string, readonly wrong: string, readonly serverArgs: (tlsPort: number) => string[] } {
  const dir = mkdtempSync(join(tmpdir(), 'navis-redis-tls-'))
  t.teardown(() => { rmSync(dir, { recursive: true, force: true }) })
  const made = (name: string): string => {
    const path = join(dir, `${name}.pem`)
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', `${path}.key`, '-out', path], { stdio: 'ignore' })
    return path
  }
  const [right, wrong] = [made('right'), made('wrong')]
  return { right, wrong, serverArgs: (tlsPort) => ['--tls-port', String(tlsPort), '--tls-cert-file', right, '--tls-key-file', `${right}.key`, '--tls-ca-cert-file', right, '--tls-auth-clients', 'no'] }
}

for (const { mode, start } of [
  {
    mode: 'one server',
    start: async (t: Test, serverArgs: (tlsPort: number) => string[]) => {
      const tlsPort = await freePort()
      await startRedis(t, { args: serverArgs(tlsPort) })
      return `rediss://127.0.0.1:${tlsPort}/0`
    }
  },
  {
    mode: 'Sentinels, and the master that they name',
    start: async (t: Test, serverArgs: (tlsPort: number) => string[]) => {
      const [masterPort, sentinelPort] = [await freePort(), await freePort()]
      await startRedis(t, { args: serverArgs(masterPort) })
      const args = serverArgs(sentinelPort)
      const lines = args.flatMap((name, i) => i % 2 === 0 ? [`${name.slice(2)} ${args[i + 1]!}`] : [])
      await startSentinel(t, masterPort, [...lines, 'tls-replication yes'])
      return `rediss+sentinel://127.0.0.1:${sentinelPort}/mymaster/0`
    }
  },
  {
    mode: 'the nodes of a Cluster',
    start: async (t: Test, serverArgs: (tlsPort: number) => string[]) => {
      const tlsPort = await freePort()
      const { port } = await startRedis(t, { args: [...serverArgs(tlsPort), '--cluster-enabled', 'yes', '--tls-cluster', 'yes', '--cluster-announce-ip', '127.0.0.1', '--cluster-port', String(await freePort()), '--databases', '1'] })
      await command(port, 'cluster', 'addslotsrange', '0', '16383')
      await until(async () => String(await command(port, 'cluster', 'info')).includes('cluster_state:ok'))
      return `rediss+cluster://127.0.0.1:${tlsPort}`
    }
  }
]) {
  t.test(`TLS: ${mode} must show a certificate under REDIS_CA_FILE, else nothing is sent`, async (t) => {
    const { right, wrong, serverArgs } = certificates(t)
    const url = await start(t, serverArgs)
    const trusting = await open(t, url, { redisCaFile: right })
    await until(trusting.written)
    await trusting.revokes()
    t.match(trusting.keys.health(), { redis: 'up', redisRefusal: undefined })
    const doubting = await open(t, url, { redisCaFile: wrong })
    await until(() => doubting.lines.some((line) => line.includes('Redis cannot be reached')))
    t.equal(doubting.keys.health().redis, 'down')
    t.equal(doubting.keys.stats().redis!.written, 0)
    await doubting.revokes()
  })
}

t.test('a second error of a connection that ioredis makes by itself ends no process: of those that a Cluster subscribes and asks for its slots with, and of that to a Sentinel', async (t) => {
  const made = (url: string) => {
    const redis = new RedisSource({ url, log: silentLogger }).duplicate({ lazyConnect: true })
    t.teardown(() => { redis.disconnect() })
    return redis
  }
  const lone = () => new Redis({ lazyConnect: true })
  const endsNoProcess = (connection: Redis, what: string) => {
    t.teardown(() => { connection.disconnect() })
    const stream = new Socket()
    Object.assign(connection, { stream })
    t.doesNotThrow(() => stream.emit('error', new Error('an alert behind a refused certificate')), what)
  }
  const cluster = made('redis+cluster://127.0.0.1:1') as unknown as Redis & { subscriber: { subscriber: Redis | null } }
  const subscribing = lone()
  cluster.subscriber.subscriber = subscribing
  t.equal(cluster.subscriber.subscriber, subscribing)
  endsNoProcess(subscribing, 'subscribing')
  const node = lone()
  cluster.emit('+node', node)
  endsNoProcess(node, 'a node')
  endsNoProcess(node.duplicate({ lazyConnect: true }), 'asking for slots')
  const { connector } = made('redis+sentinel://127.0.0.1:1/mymaster/0') as unknown as { connector: { connectToSentinel (endpoint: object, options: object): Redis } }
  endsNoProcess(connector.connectToSentinel({ host: '127.0.0.1', port: 1 }, { lazyConnect: true }), 'a Sentinel')
})

t.test('a Cluster that is closed while it asks for its slots does not ask again: its process can end', async (t) => {
  const { port } = await startRedis(t, { args: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1', '--databases', '1'] })
  await command(port, 'cluster', 'addslotsrange', '0', '16383')
  await until(async () => String(await command(port, 'cluster', 'info')).includes('cluster_state:ok'))
  const cluster = new RedisSource({ url: `redis+cluster://127.0.0.1:${port}`, log: silentLogger }).duplicate({}) as unknown as Cluster
  const isRefreshing = () => (cluster as unknown as { isRefreshing: boolean }).isRefreshing
  await until(() => cluster.status === 'ready')
  while (!isRefreshing()) await nextTurn()
  cluster.disconnect()
  await until(() => cluster.status === 'end' && !isRefreshing())
  let asked = 0
  cluster.refreshSlotsCache = (callback?: () => void) => {
    asked++
    callback?.()
  }
  await sleep(1.5 * (cluster.options.slotsRefreshInterval ?? NaN))
  t.equal(asked, 0)
})
