import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { connect } from '../../src/db/connect.ts'
import { built } from '../support/built.ts'
import { requireProgram } from '../support/programs.ts'
import { freshDatabase, startPostgres, startRedis, until } from '../support/servers.ts'
import { freePort } from '../support/server-process.ts'
import { TokenFormat } from '../../src/core/token.ts'
import { ask, freshFolder, ready, secret, startMain, startMs, type Asked } from './service.ts'

const { token } = new TokenFormat().mint()

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
    t.match(second.stderr, /navis-keys: The data folder .\/data is in use by process \d+\. Stop that process first/)
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
  const child = startMain(t, { env: { PORT: String(port), DATABASE_URL: databaseUrl, MANAGEMENT_TOKENS: `tests=${secret}` } })
  await ready(port)
  t.match(await sql`select count(*)::int as count from navis_keys.window_members where dead_at is null`, [{ count: 1 }])

  const agent = new Agent({ keepAlive: true, maxSockets: 4 })
  t.teardown(() => { agent.destroy() })
  const url = `http://127.0.0.1:${port}`
  const lock = await sql.reserve()
  await lock`begin`
  await lock`lock table navis_keys.keys in access exclusive mode`
  const inFlight = ask(`${url}/v1/workspaces/w/keys`, { method: 'POST', body: '{"name":"late","scope":"mcp:read"}' })
  await until(async () => (await sql`select 1 from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())`).length > 0)

  child.process.kill('SIGTERM')
  await until(async () => (await ask(`${url}/readyz`, { agent })).status === 503)
  const alive = await ask(`${url}/livez`, { agent })
  t.match(alive, { status: 200, headers: { connection: 'close' } }, 'it still answers, and says that the connection ends')
  t.equal((await ask(`${url}/nowhere`, { agent })).headers.connection, 'close', 'whatever the answer')
  await lock`rollback`
  lock.release()
  t.match(await inFlight, { status: 201, headers: { connection: 'close' } }, 'also where the request came before the signal')
  // After the time that it may take it would end with status 1.
  t.equal(await child.ended(), 0, child.stderr)
  t.match(await sql`select count(*)::int as count from navis_keys.window_members where dead_at is null`, [{ count: 0 }], 'it has left the window')
  t.match(child.stdout, /"version":"\d+\.\d+\.\d+","node":"v.*","database":"127\.0\.0\.1:\d+","redis":"none".*"msg":"Navis Keys .* is starting"/)
  t.match(child.stdout, /"signal":"SIGTERM".*is stopping[^]*Navis Keys has stopped"}\n$/)
  t.notMatch(child.stdout, /readyz|livez/, 'probes are not logged')
})

t.test('to the end of a process that was told to stop, kept connections lose nothing', async (t) => {
  const databaseUrl = await freshDatabase(t)
  const port = await freePort()
  const child = startMain(t, { env: { PORT: String(port), DATABASE_URL: databaseUrl, MANAGEMENT_TOKENS: `tests=${secret}`, LOG_LEVEL: 'warn' } })
  await ready(port)
  const url = `http://127.0.0.1:${port}/v1/workspaces/w/keys`
  const answers: Asked[] = []
  // As a client does that has connected directly: it goes on with its connection until an answer says that it ends.
  const clients = Array.from({ length: 40 }, async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    t.teardown(() => { agent.destroy() })
    for (;;) {
      const answer = await ask(url, { agent })
      answers.push(answer)
      if (answer.headers.connection === 'close') return
    }
  })
  await until(() => answers.length > 200)
  child.process.kill('SIGTERM')
  await Promise.all(clients)
  t.same([...new Set(answers.map(({ status }) => status))], [200])
  t.equal(answers.filter(({ headers }) => headers.connection === 'close').length, 40)
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

t.test('on a terminal the log is for people, elsewhere it is JSON; LOG_FORMAT says otherwise', async (t) => {
  // A database that does not exist: the process says that it starts, and ends.
  const nowhere = Object.assign(new URL(await freshDatabase(t)), { pathname: '/nowhere' }).href
  const run = (onTerminal: boolean, format: Readonly<Record<string, string>> = {}) => {
    const command = [process.execPath, built('main')]
    const [file = '', ...args] = onTerminal ? [requireProgram('script'), '-qec', command.join(' '), '/dev/null'] : command
    const env = { PATH: process.env['PATH'], TEST_PACKAGES: process.env['TEST_PACKAGES'], DATABASE_URL: nowhere, MANAGEMENT_TOKENS: `tests=${secret}`, ...format }
    return spawnSync(file, args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).stdout
  }
  const forPeople = /^\S*\[\d{4}-\d\d-\d\d [\d:.]+\].*INFO.*Navis Keys \S+ is starting/m
  const json = /^\{"level":"info",.*"msg":"Navis Keys \S+ is starting"\}\r?$/m
  const shown = run(true)
  t.match(shown, forPeople)
  t.match(shown, /\x1b\[\d+m/, 'in colours') // eslint-disable-line no-control-regex
  t.match(run(false), json)
  t.match(run(true, { LOG_FORMAT: 'json' }), json)
  t.match(run(false, { LOG_FORMAT: 'pretty' }), forPeople)
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
  child.process.kill('SIGTERM')
  const answer = await revoked
  t.equal(answer.status, 503)
  t.equal(answer.headers.get('retry-after'), '1')
  t.match(await answer.json(), { code: 'unavailable' })
  // After the time that it may take it would end with status 1.
  t.equal(await child.ended(), 0, child.stderr)
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

t.test('it listens at once, and waits for a Postgres that is not there yet for as long as that takes', async (t) => {
  const server = await startPostgres(t)
  await server.stop()
  const [port, metricsPort] = [await freePort(), await freePort()]
  const child = startMain(t, { env: { PORT: String(port), METRICS_PORT: String(metricsPort), DATABASE_URL: server.url, MANAGEMENT_TOKENS: `tests=${secret}` } })
  await child.printed(/"code":"ECONNREFUSED","msg":"Postgres cannot be reached/, { timeoutMs: startMs })
  const [service, operations] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${metricsPort}`]
  t.equal((await ask(`${operations}/livez`)).status, 200)
  const unready = await ask(`${operations}/readyz`)
  t.equal(unready.status, 503)
  t.match(JSON.parse(unready.body), { status: 'not_ready', postgres: 'down', window: { state: 'shut' } })
  t.match(await ask(`${service}/v1/workspaces/w/keys`), { status: 503, headers: { 'retry-after': '1' } })
  t.match(await ask(`${service}/forward-auth`, { headers: { authorization: `Bearer ${token}` } }), { status: 503 }, 'no key is refused that is not known')
  t.equal((await ask(`${service}/openapi.json`)).status, 200)
  for (const path of ['/livez', '/readyz', '/metrics']) t.equal((await ask(service + path)).status, 404, `${path} is on its own port`)
  t.equal((await ask(`${operations}/v1/workspaces/w/keys`)).status, 404)
  t.match((await ask(`${operations}/metrics`)).body, /^navis_keys_window_open 0$/m)

  await server.start()
  await ready(metricsPort)
  t.equal((await ask(`${service}/v1/workspaces/w/keys`)).status, 200)
  t.equal(child.output.match(/Postgres cannot be reached/g)?.length, 1, 'the waiting is told once')

  await t.test('it is ready without Postgres for as long as its window is open, and tells that Postgres is down', async (t) => {
    await server.stop()
    await until(async () => JSON.parse((await ask(`${operations}/readyz`)).body).postgres === 'down')
    t.match(await ask(`${operations}/readyz`), { status: 200, body: /"status":"ready","postgres":"down".*"state":"open"/ })
    await until(async () => (await ask(`${operations}/readyz`)).status === 503)
    t.match((await ask(`${operations}/readyz`)).body, /"state":"shut"/)
    t.equal((await ask(`${operations}/livez`)).status, 200)
  })
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
  t.equal((await ask(`http://127.0.0.1:${port}/v1/workspaces/w/keys`)).status, 200)
})

for (const { when, env, says } of [
  { when: 'DATA_DIR where no folder can be made', env: { DATA_DIR: '/proc/x' }, says: /^navis-keys: DATA_DIR: .* Set DATA_DIR to a folder that this user may write to\.\n$/ },
  { when: 'DATA_DIR that is a file', env: { DATA_DIR: '/etc/hostname' }, says: /^navis-keys: DATA_DIR: .* Set DATA_DIR to a folder that this user may write to\.\n$/ },
  { when: 'HOST that is no address', env: { HOST: '999.1.1.1' }, says: /^navis-keys: HOST is not an address of this machine \(.*\)\. Set HOST to .*\n$/m }
]) {
  t.test(`it ends with one sentence that names the setting: ${when}`, async (t) => {
    const child = startMain(t, { cwd: freshFolder(t), env: { PORT: '0', LOG_LEVEL: 'error', ...env } })
    t.equal(await child.ended(), 1)
    t.match(child.stderr, says)
    t.notMatch(child.stderr, /\n +at /, 'no stack')
  })
}
