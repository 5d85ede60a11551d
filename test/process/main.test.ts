import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { Agent, request as httpRequest } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { connect } from '../../src/db/connect.ts'
import { Child } from '../support/child.ts'
import { freshDatabase, startPostgres, startRedis, until, type Teardowns } from '../support/servers.ts'
import { freePort } from '../support/server-process.ts'

const secret = 'process-tests-management-secret-0123456789'
const startMs = 60_000

function freshFolder (t: Teardowns): string {
  const folder = mkdtempSync(join(tmpdir(), 'navis-process-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true, maxRetries: 5 }) })
  return folder
}

/** The built service, which `npm test` builds first. */
function startMain (t: Teardowns, { env, cwd }: { env: Readonly<Record<string, string>>, cwd?: string }): Child {
  return new Child(t, { file: 'dist/main.js', env, ...cwd === undefined ? {} : { cwd } })
}

async function ready (port: number): Promise<void> {
  await until(async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok, { timeoutMs: startMs })
}

async function statusOf (url: string, agent?: Agent, init: { method?: string, body?: string } = {}): Promise<number> {
  return await new Promise((resolve, reject) => {
    const request = httpRequest(url, {
      ...agent === undefined ? {} : { agent },
      method: init.method ?? 'GET',
      headers: { authorization: `Bearer ${secret}`, ...init.body === undefined ? {} : { 'content-type': 'application/json' } }
    }, (response) => {
      response.resume()
      response.once('end', () => { resolve(response.statusCode ?? 0) })
    })
    request.once('error', reject)
    request.end(init.body)
  })
}

t.test('started with no settings at all, it prints a command that makes a key when it is pasted', async (t) => {
  const cwd = freshFolder(t)
  const port = await freePort()
  const child = startMain(t, { cwd, env: { PORT: String(port) } })
  const [command] = await child.printed(/^curl .*$/m, { timeoutMs: startMs })
  const key = JSON.parse(execFileSync('bash', ['-c', command], { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })) as { token: string }
  t.match(key.token, /^nops_[0-9A-Za-z]{38}$/)
  const token = readFileSync(join(cwd, 'data/management-token'), 'utf8').trim()
  t.notOk(child.output.includes(token), 'the token itself is not printed')

  await t.test('a second process on its data folder is refused and told why', async (t) => {
    const second = startMain(t, { cwd, env: { PORT: '0' } })
    t.equal(await second.ended(), 1)
    t.match(second.stderr, /navis-keys: The data folder .\/data is in use by process \d+\. Stop that one first/)
  })

  await t.test('Ctrl-C ends it at once, and the folder is whole', async (t) => {
    child.process.kill('SIGINT')
    t.equal(await child.ended(), 0)
    t.same(readdirSync(join(cwd, 'data')).sort(), ['management-token', 'postgres'])
  })

  await t.test('the key is still there after a restart', async (t) => {
    const again = startMain(t, { cwd, env: { PORT: String(port) } })
    await again.printed(/^curl/m, { timeoutMs: startMs })
    await ready(port)
    const answer = await fetch(`http://127.0.0.1:${port}/v1/verify`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ token: key.token })
    })
    t.match(await answer.json(), { valid: true })
  })
})

t.test('on SIGTERM readiness goes first, requests in flight finish, and it ends with status 0', async (t) => {
  const databaseUrl = await freshDatabase(t)
  const { sql, close } = connect({ url: databaseUrl, max: 2 })
  t.teardown(close)
  const port = await freePort()
  const child = startMain(t, { env: { PORT: String(port), DATABASE_URL: databaseUrl, MANAGEMENT_TOKENS: `tests=${secret}`, LOG_LEVEL: 'warn' } })
  await ready(port)
  t.match(await sql`select count(*)::int as count from navis_keys.window_members where dead_at is null`, [{ count: 1 }])

  const agent = new Agent({ keepAlive: true, maxSockets: 4 })
  t.teardown(() => { agent.destroy() })
  const url = `http://127.0.0.1:${port}`
  const lock = await sql.reserve()
  await lock`begin`
  await lock`lock table keys in access exclusive mode`
  const inFlight = statusOf(`${url}/v1/workspaces/w/keys`, undefined, { method: 'POST', body: '{"name":"late","scope":"mcp:read"}' })
  await until(async () => (await sql`select 1 from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())`).length > 0)

  const told = performance.now()
  child.process.kill('SIGTERM')
  await until(async () => await statusOf(`${url}/readyz`, agent) === 503)
  t.equal(await statusOf(`${url}/livez`, agent), 200, 'it still answers')
  await lock`rollback`
  lock.release()
  t.equal(await inFlight, 201)
  t.equal(await child.ended(), 0, child.stderr)
  t.ok(performance.now() - told < 10_000)
  t.match(await sql`select count(*)::int as count from navis_keys.window_members where dead_at is null`, [{ count: 0 }], 'it has left the window')
})

t.test('under load no request is lost to SIGTERM before readiness has gone', async (t) => {
  const databaseUrl = await freshDatabase(t)
  const port = await freePort()
  const child = startMain(t, { env: { PORT: String(port), DATABASE_URL: databaseUrl, MANAGEMENT_TOKENS: `tests=${secret}`, LOG_LEVEL: 'warn' } })
  await ready(port)
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => { agent.destroy() })
  const url = `http://127.0.0.1:${port}/v1/workspaces/w/keys`
  const statuses: number[] = []
  const unready = new AbortController()
  const load = Array.from({ length: 8 }, async () => {
    while (!unready.signal.aborted) statuses.push(await statusOf(url, agent))
  })
  await until(() => statuses.length > 50)
  child.process.kill('SIGTERM')
  await until(async () => await statusOf(`http://127.0.0.1:${port}/readyz`) === 503)
  unready.abort()
  await Promise.all(load)
  t.same([...new Set(statuses)], [200])
  t.equal(await child.ended(), 0)
})

t.test('a port in use is told with what to do', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => { server.close() })
  await until(() => server.listening)
  const { port } = server.address() as AddressInfo
  const child = startMain(t, { env: { PORT: String(port), DATABASE_URL: await freshDatabase(t), MANAGEMENT_TOKENS: `tests=${secret}` } })
  t.equal(await child.ended(), 1)
  t.match(child.stderr, new RegExp(`navis-keys: Port ${port} is in use by another process.*PORT`))
})

t.test('settings that are wrong are all told at once, without their values', async (t) => {
  const child = startMain(t, { env: { PORT: 'hush-hush', DATABASE_URL: 'postgres://u:hush-hush@h/d', LOG_LEVEL: 'hush-hush' } })
  t.equal(await child.ended(), 1)
  t.match(child.stderr, /PORT must be .*\nLOG_LEVEL must be /)
  t.notMatch(child.output, /hush/)
})

t.test('a revocation that waits for longer than the process may is answered 503, to be repeated', async (t) => {
  const databaseUrl = await freshDatabase(t)
  const port = await freePort()
  const child = startMain(t, { env: { PORT: String(port), DATABASE_URL: databaseUrl, MANAGEMENT_TOKENS: `tests=${secret}`, LOG_LEVEL: 'warn', ACKS: 'off' } })
  await ready(port)
  const headers = { authorization: `Bearer ${secret}` }
  const url = `http://127.0.0.1:${port}/v1/workspaces/w/keys`
  const made = await fetch(url, { method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body: '{"name":"n","scope":"mcp:read"}' })
  const { id } = await made.json() as { id: string }
  const revoked = fetch(`${url}/${id}`, { method: 'DELETE', headers })
  const { sql, close } = connect({ url: databaseUrl, max: 1 })
  t.teardown(close)
  await until(async () => (await sql`select 1 from navis_keys.revocation_log`).length > 0)
  const told = performance.now()
  child.process.kill('SIGTERM')
  const answer = await revoked
  t.equal(answer.status, 503)
  t.equal(answer.headers.get('retry-after'), '1')
  t.match(await answer.json(), { code: 'unavailable' })
  t.equal(await child.ended(), 0, child.stderr)
  t.ok(performance.now() - told < 10_000)
  t.equal(child.stderr, '')
})

t.test('killed and started again on its own database, it waits for nobody', async (t) => {
  const cwd = freshFolder(t)
  const port = await freePort()
  const env = { PORT: String(port), MANAGEMENT_TOKENS: `tests=${secret}`, LOG_LEVEL: 'warn' }
  const killed = startMain(t, { cwd, env })
  await ready(port)
  const headers = { authorization: `Bearer ${secret}` }
  const url = `http://127.0.0.1:${port}/v1/workspaces/w/keys`
  const made = await fetch(url, { method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body: '{"name":"n","scope":"mcp:read"}' })
  const { id } = await made.json() as { id: string }
  await killed.kill()
  startMain(t, { cwd, env })
  await ready(port)
  t.equal((await fetch(`${url}/${id}`, { method: 'DELETE', headers })).status, 204)
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  t.match(metrics, /^navis_keys_change_in_force_seconds_count\{path="fast"\} 1$/m)
  t.match(metrics, /^navis_keys_change_in_force_seconds_count\{path="slow"\} 0$/m)
})

t.test('it waits for a Postgres that is not there yet', async (t) => {
  const server = await startPostgres(t)
  await server.stop()
  const port = await freePort()
  const child = startMain(t, { env: { PORT: String(port), DATABASE_URL: server.url, MANAGEMENT_TOKENS: `tests=${secret}` } })
  await child.printed(/"code":"ECONNREFUSED","msg":"Postgres cannot be reached/, { timeoutMs: startMs })
  await server.start()
  await ready(port)
  child.process.kill('SIGTERM')
  t.equal(await child.ended(), 0)
})

t.test('SIGTERM while it waits for Postgres ends it with status 0', async (t) => {
  const server = await startPostgres(t)
  await server.stop()
  const child = startMain(t, { env: { DATABASE_URL: server.url, MANAGEMENT_TOKENS: `tests=${secret}` } })
  await child.printed(/Postgres cannot be reached/, { timeoutMs: startMs })
  child.process.kill('SIGTERM')
  t.equal(await child.ended(), 0)
})

t.test('what waiting for does not mend ends it at once, without a credential', async (t) => {
  const server = await startPostgres(t)
  const { sql, close } = connect({ url: server.url, max: 1 })
  t.teardown(close)
  await sql`create role guarded login password 'right'`
  const rows = [
    { url: `postgres://guarded:hush-hush@127.0.0.1:${server.port}/postgres`, message: /Postgres refuses the user or the password in DATABASE_URL/ },
    { url: `postgres://postgres:hush-hush@127.0.0.1:${server.port}/nowhere`, message: /The database that DATABASE_URL names does not exist/ }
  ]
  for (const { url, message } of rows) {
    const child = startMain(t, { env: { DATABASE_URL: url, MANAGEMENT_TOKENS: `tests=${secret}` } })
    t.equal(await child.ended(), 1)
    t.match(child.stderr, message)
    t.notMatch(child.output, /hush/)
  }
})

t.test('it starts and serves while Redis is away', async (t) => {
  const redis = await startRedis(t)
  await redis.stop()
  const port = await freePort()
  startMain(t, { env: { PORT: String(port), DATABASE_URL: await freshDatabase(t), REDIS_URL: redis.url, MANAGEMENT_TOKENS: `tests=${secret}`, LOG_LEVEL: 'warn' } })
  await ready(port)
  t.equal(await statusOf(`http://127.0.0.1:${port}/v1/workspaces/w/keys`), 200)
})

for (const { when, env, says } of [
  { when: 'DATA_DIR where no folder can be made', env: { DATA_DIR: '/proc/x' }, says: /^navis-keys: DATA_DIR: .* Set DATA_DIR to a folder that this user may write to\.\n$/ },
  { when: 'DATA_DIR that is a file', env: { DATA_DIR: '/etc/hostname' }, says: /^navis-keys: DATA_DIR: .* Set DATA_DIR to a folder that this user may write to\.\n$/ },
  { when: 'HOST that is no address', env: { HOST: '999.1.1.1' }, says: /^navis-keys: HOST is no address of this machine \(.*\)\. Set HOST to .*\n$/m }
]) {
  t.test(`it ends with one sentence that names the setting: ${when}`, async (t) => {
    const child = startMain(t, { cwd: freshFolder(t), env: { PORT: '0', LOG_LEVEL: 'error', ...env } })
    t.equal(await child.ended(), 1)
    t.match(child.stderr, says)
    t.notMatch(child.stderr, /\n +at /, 'no stack')
  })
}
