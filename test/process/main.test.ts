import { execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { Agent, createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import postgres from 'postgres'
import t from 'tap'
import { connect } from '../../src/db/connect.ts'
import { built } from '../support/built.ts'
import { requireProgram } from '../support/programs.ts'
import { freshDatabase, startPostgres, until } from '../support/servers.ts'
import { freePort } from '../support/server-process.ts'
import { TokenFormat } from '../../src/core/token.ts'
import { ask, freshFolder, ready, secret, startMain, startMs, type Asked } from './service.ts'

const { token } = new TokenFormat().mint()
/** The port of no server: a process that ends before it asks for its database needs none. */
const nowhere = 'postgres://postgres@127.0.0.1:1/postgres'
const lineForPeople = /^\S*\[\d{4}-\d\d-\d\d [\d:.]+\].*INFO.*Navis Keys \S+ is starting/m
const jsonLine = /^\{"level":"info",.*"msg":"Navis Keys \S+ is starting"\}\r?$/m

/** The service, until it ends, with a terminal as its standard output and error. */
function runOnTerminal (env: Readonly<Record<string, string>>) {
  return spawnSync(requireProgram('script'), ['-qec', `${process.execPath} ${built('main')}`, '/dev/null'], {
    env: { PATH: process.env['PATH'], TEST_PACKAGES: process.env['TEST_PACKAGES'], MANAGEMENT_TOKENS: `tests=${secret}`, PORT: '0', ...env }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe']
  })
}

t.test('started with no settings at all, it prints a command that makes a key when it is pasted', async (t) => {
  const cwd = freshFolder(t)
  const port = await freePort()
  const child = startMain(t, { cwd, env: { PORT: String(port) } })
  const [command] = await child.printed(/^curl .*$/m, { timeoutMs: startMs })
  const key = JSON.parse(execFileSync('bash', ['-c', command], { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })) as { id: string, workspace_id: string, token: string }
  t.match(key.token, /^nops_[0-9A-Za-z]{38}$/)
  const token = readFileSync(join(cwd, 'data/management-token'), 'utf8').trim()
  const headers = { authorization: `Bearer ${token}` }
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
    const answer = await ask(`http://127.0.0.1:${port}/v1/verify`, { method: 'POST', headers, body: JSON.stringify({ token: key.token }) })
    t.match(JSON.parse(answer.body), { valid: true })
    await again.kill()
  })

  await t.test('a service does not start with the management token as its own, nor with none in the file, and says so in a sentence', async (t) => {
    const same = startMain(t, { cwd, env: { PORT: '0', SERVICE_TOKENS: `svc=${token}` } })
    t.equal(await same.ended(), 1)
    t.match(same.stderr, /^navis-keys: SERVICE_TOKENS contains the management token that is in .*management-token\. Give the service another secret, .*\n$/m)
    writeFileSync(join(cwd, 'data/management-token'), 'short\n')
    const short = startMain(t, { cwd, env: { PORT: '0' } })
    t.equal(await short.ended(), 1)
    t.match(short.stderr, /^navis-keys: .*management-token does not contain a token of 32 characters or more\. Remove the file; .*\n$/m)
    t.notMatch(same.stderr + short.stderr, /^ +at /m)
    writeFileSync(join(cwd, 'data/management-token'), `${token}\n`)
  })

  await t.test('killed and started again on its own database, it waits for nobody', async (t) => {
    startMain(t, { cwd, env: { PORT: String(port) } })
    await ready(port)
    t.equal((await ask(`http://127.0.0.1:${port}/v1/workspaces/${key.workspace_id}/keys/${key.id}`, { method: 'DELETE', headers })).status, 204)
    const { body } = await ask(`http://127.0.0.1:${port}/metrics`)
    t.match(body, /^navis_keys_change_in_force_seconds_count\{path="fast"\} 1$/m)
    t.match(body, /^navis_keys_change_in_force_seconds_count\{path="slow"\} 0$/m)
  })
})

t.test('on SIGTERM readiness goes first, requests in flight finish, kept connections lose nothing, and it ends with status 0', async (t) => {
  const databaseUrl = await freshDatabase(t)
  const { sql, close } = connect({ url: databaseUrl, max: 2 })
  t.teardown(close)
  const port = await freePort()
  // Without acknowledgements: the revocation then waits for longer than the process may.
  const calls: string[] = []
  // An MCP server that does what it is asked for, and takes longer than the process may.
  const upstream = createHttpServer((request) => { request.on('data', (piece) => { calls.push(String(piece)) }) }).listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  t.teardown(() => { upstream.closeAllConnections(); upstream.close() })
  const child = startMain(t, { env: { PORT: String(port), DATABASE_URL: databaseUrl, MANAGEMENT_TOKENS: `tests=${secret}`, ACKS: 'off', TRUST_WINDOW_MS: '60000', MCP_UPSTREAM_URL: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}` } })
  await ready(port)
  t.match(await sql`select count(*)::int as count from navis_keys.window_members where dead_at is null`, [{ count: 1 }])

  const url = `http://127.0.0.1:${port}`
  const keys = `${url}/v1/workspaces/w/keys`
  const agent = new Agent({ keepAlive: true, maxSockets: 4 })
  t.teardown(() => { agent.destroy() })
  const { id } = JSON.parse((await ask(keys, { method: 'POST', body: '{"name":"n","scope":"mcp:read"}' })).body) as { id: string }
  const writer = JSON.parse((await ask(keys, { method: 'POST', body: '{"name":"w","scope":"mcp:write"}' })).body) as { token: string }
  const called = ask(`${url}/mcp`, { method: 'POST', body: '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"set"}}', headers: { authorization: `Bearer ${writer.token}`, accept: 'application/json, text/event-stream' } })
  await until(() => calls.some((text) => text.includes('tools/call')))
  const answers: Asked[] = []
  // As a client does that has connected directly: it goes on with its connection until an answer says that it ends.
  const clients = Array.from({ length: 40 }, async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    t.teardown(() => { agent.destroy() })
    for (;;) {
      const answer = await ask(keys, { agent })
      answers.push(answer)
      if (answer.headers.connection === 'close') return
    }
  })
  await until(() => answers.length > 200)
  const revoked = ask(`${keys}/${id}`, { method: 'DELETE' })
  await until(async () => (await sql`select 1 from navis_keys.revocation_log`).length > 0)
  const lock = await sql.reserve()
  await lock`begin`
  // Reads go on, changes wait.
  await lock`lock table navis_keys.keys in share mode`
  const inFlight = ask(keys, { method: 'POST', body: '{"name":"late","scope":"mcp:read"}' })
  await until(async () => (await sql`select 1 from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())`).length > 0)

  child.process.kill('SIGTERM')
  await until(async () => (await ask(`${url}/readyz`, { agent })).status === 503)
  const alive = await ask(`${url}/livez`, { agent })
  t.match(alive, { status: 200, headers: { connection: 'close' } }, 'it still answers, and says that the connection ends')
  t.equal((await ask(`${url}/nowhere`, { agent })).headers.connection, 'close', 'whatever the answer')
  await lock`rollback`
  lock.release()
  t.match(await inFlight, { status: 201, headers: { connection: 'close' } }, 'also where the request came before the signal')
  await Promise.all(clients)
  t.same([...new Set(answers.map(({ status }) => status))], [200])
  t.equal(answers.filter(({ headers }) => headers.connection === 'close').length, 40)
  t.match(await revoked, { status: 503, headers: { 'retry-after': '1' }, body: /"code":"unavailable"/ }, 'a revocation that waits for longer than the process may is to be repeated')
  t.match(await called, { status: 503, body: /^\{"jsonrpc":"2\.0","id":7,"error":.*"code":"stopping"/ }, 'a call that the server has is not told to be repeated')
  // After the time that it may take it would end with status 1.
  t.equal(await child.ended(), 0, child.stderr)
  t.equal(child.stderr, '')
  t.match(await sql`select count(*)::int as count from navis_keys.window_members where dead_at is null`, [{ count: 0 }], 'it has left the window')
  t.match(child.stdout, /"version":"\d+\.\d+\.\d+","node":"v.*","database":"127\.0\.0\.1:\d+","redis":"none".*"msg":"Navis Keys .* is starting"/)
  t.match(child.stdout, jsonLine, 'where no terminal is, the log is JSON')
  t.match(child.stdout, /"signal":"SIGTERM".*is stopping[^]*Navis Keys has stopped"}\n$/)
  t.notMatch(child.stdout, /readyz|livez/, 'probes are not logged')
})

t.test('a port in use is told with what to do', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => { server.close() })
  await until(() => server.listening)
  const { port } = server.address() as AddressInfo
  const child = startMain(t, { env: { PORT: String(port), DATABASE_URL: nowhere, MANAGEMENT_TOKENS: `tests=${secret}`, LOG_FORMAT: 'pretty' } })
  t.equal(await child.ended(), 1)
  t.match(child.stdout, lineForPeople, 'LOG_FORMAT says that the log is for people')
  t.match(child.stderr, new RegExp(`navis-keys: Port ${port} is in use by another process.*PORT`))
})

t.test('settings that are wrong are all told at once, without their values', async (t) => {
  const child = startMain(t, { env: { PORT: 'hush-hush', DATABASE_URL: 'postgres://u:hush-hush@h/d', LOG_LEVEL: 'hush-hush' } })
  t.equal(await child.ended(), 1)
  t.match(child.stderr, /PORT must be .*\nLOG_LEVEL must be /)
  t.notMatch(child.output, /hush/)
})

t.test('it listens at once, waits for a Postgres that is not there yet for as long as that takes, and serves while Redis is away', async (t) => {
  const server = await startPostgres(t)
  await server.stop()
  const [port, metricsPort] = [await freePort(), await freePort()]
  const child = startMain(t, { env: { PORT: String(port), METRICS_PORT: String(metricsPort), DATABASE_URL: server.url, REDIS_URL: `redis://127.0.0.1:${await freePort()}/0`, MANAGEMENT_TOKENS: `tests=${secret}` } })
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
  t.match(JSON.parse((await ask(`${operations}/readyz`)).body), { status: 'ready', postgres: 'up', redis: 'down' })

  await t.test('what waiting for does not mend ends it at once, without a credential; on a terminal the log is for people, unless LOG_FORMAT says otherwise', async (t) => {
    const { sql, close } = connect({ url: server.url, max: 1 })
    t.teardown(close)
    await sql`create role guarded login password 'right'`
    const guarded = runOnTerminal({ DATABASE_URL: `postgres://guarded:hush-hush@127.0.0.1:${server.port}/postgres`, LOG_FORMAT: 'json' })
    const missing = runOnTerminal({ DATABASE_URL: `postgres://postgres:hush-hush@127.0.0.1:${server.port}/nowhere` })
    t.match(guarded.stdout, /Postgres refuses the user or the password in DATABASE_URL/)
    t.match(guarded.stdout, jsonLine)
    t.match(missing.stdout, /The database that DATABASE_URL .*names does not exist/)
    t.match(missing.stdout, lineForPeople)
    t.match(missing.stdout, /\x1b\[\d+m/, 'in colours') // eslint-disable-line no-control-regex
    for (const { status, stdout } of [guarded, missing]) {
      t.equal(status, 1)
      t.notMatch(stdout, /hush/)
    }
  })

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
  const child = startMain(t, { env: { PORT: '0', DATABASE_URL: `postgres://postgres@127.0.0.1:${await freePort()}/postgres`, MANAGEMENT_TOKENS: `tests=${secret}` } })
  await child.printed(/Postgres cannot be reached/, { timeoutMs: startMs })
  child.process.kill('SIGTERM')
  t.equal(await child.ended(), 0)
})

t.test('what Postgres refuses at the start is told in its own words, in one sentence', async (t) => {
  const url = await freshDatabase(t, { migrated: false })
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  await sql.unsafe('create schema navis_keys; create table navis_keys.keys (theirs int)').simple()
  await sql.end()
  const child = startMain(t, { env: { PORT: '0', LOG_LEVEL: 'error', DATABASE_URL: url, MANAGEMENT_TOKENS: `tests=${secret}` } })
  t.equal(await child.ended(), 1)
  t.match(child.stderr, /^navis-keys: Postgres refused a statement of the start: relation "keys" already exists \(SQLSTATE 42P07\)\.\n$/)
})

for (const { when, env, says } of [
  { when: 'DATA_DIR where no folder can be made', env: { DATA_DIR: '/proc/x' }, says: /^navis-keys: DATA_DIR: .* Set DATA_DIR to a folder that this user may write to\.\n$/ },
  { when: 'HOST that is no address', env: { HOST: '999.1.1.1', DATABASE_URL: nowhere, MANAGEMENT_TOKENS: `tests=${secret}` }, says: /^navis-keys: HOST is not an address of this machine \(.*\)\. Set HOST to .*\n$/m }
]) {
  t.test(`it ends with one sentence that names the setting: ${when}`, async (t) => {
    const child = startMain(t, { cwd: freshFolder(t), env: { PORT: '0', LOG_LEVEL: 'error', ...env } })
    t.equal(await child.ended(), 1)
    t.match(child.stderr, says)
    t.notMatch(child.stderr, /\n +at /, 'no stack')
  })
}
