import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { blocksOf, Sandbox, whyNoSandbox } from '../support/sandbox.ts'
import { startPostgres, startRedis, until } from '../support/servers.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const blocks = blocksOf(join(root, 'README.md')).filter(({ language }) => language === 'sh')
const [start, use, gateway, stores] = blocks.map(({ text }) => text) as [string, string, string, string]

t.test('each block of commands in the README is run below, or by .ci/run, as it stands', async (t) => {
  t.same(blocks.map(({ heading }) => heading), ['Start', 'Start', 'Put it in front of something', 'On your own Postgres and Redis'])
  const [first, ...rest] = start.trimEnd().split('\n')
  t.equal(first, 'npm ci')
  t.same(rest, ['npm start'])
  const [step] = (await readFile(join(root, '.ci/run'), 'utf8')).split('\n').filter((line) => /^step \w/.test(line))
  t.equal(step, `step ${first}`, 'the first step of each run of CI, in a fresh clone')
})

/** The folder of the project, without data: what `npm ci` has left. */
async function clone (t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'navis-readme-'))
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  for (const name of ['package.json', 'dist', 'node_modules', 'drizzle', 'assets']) await symlink(join(root, name), join(folder, name))
  return folder
}

async function isReady (sandbox: Sandbox, out: string): Promise<void> {
  await until(async () => (await sandbox.run('curl -s -o /dev/null -w "%{http_code}" http://127.0.0.1:8080/readyz')).stdout === '200', { timeoutMs: 120_000 })
    .catch(async (error: unknown) => { throw new Error(await readFile(`${out}.err`, 'utf8'), { cause: error }) })
}

t.test('the service starts, and a key is made, used and revoked', { skip: whyNoSandbox }, async (t) => {
  const sandbox = await Sandbox.start(t, { cwd: await clone(t) })
  const out = sandbox.begin('npm start')
  await isReady(sandbox, out)
  const { stdout, stderr } = await sandbox.run(use)
  t.match(stdout, /"token":"nops_[0-9A-Za-z]{38}"[^]*HTTP\/1.1 200 OK[^]*x-auth-key-id: [^]*HTTP\/1.1 204 [^]*HTTP\/1.1 401 [^]*"code":"revoked"/, stderr)
  t.match(await readFile(`${out}.err`, 'utf8'), /management token is in .*\n[^]*\/settings/, 'what the README says that it prints')
})

t.test('on a Postgres and a Redis of one\'s own, with the token that was made for it', { skip: whyNoSandbox }, async (t) => {
  const server = await startPostgres(t)
  const sql = postgres(server.url, { max: 1, onnotice: () => {} })
  await sql`create role "user" login`
  await sql`create database navis owner "user"`
  await sql.end()
  const folder = await clone(t)
  const socket = join(folder, 'redis.sock')
  await startRedis(t, { args: ['--unixsocket', socket] })
  const sandbox = await Sandbox.start(t, { cwd: folder, links: { 5432: join(server.dir, `.s.PGSQL.${server.port}`), 6379: socket } })
  const [exports] = stores.split('MANAGEMENT_TOKENS=')
  const out = sandbox.begin(stores)
  await isReady(sandbox, out)
  t.match((await sandbox.run('curl -s http://127.0.0.1:8080/readyz')).stdout, /"postgres":"up"[^]*"redis":"up"/)
  const management = (await readFile(`${out}.out`, 'utf8')).split('\n')[0]!
  t.match(exports, /openssl rand -hex 32/)
  t.match(management, /^[0-9a-f]{64}$/)
  const { stdout, stderr } = await sandbox.run(`export MANAGEMENT=${management}\n${use}`)
  t.match(stdout, /HTTP\/1.1 200 OK[^]*HTTP\/1.1 204 [^]*HTTP\/1.1 401 /, stderr)
})

t.test('the gateway in front of an MCP server, for a key', { skip: whyNoSandbox }, async (t) => {
  const sandbox = await Sandbox.start(t, { cwd: await clone(t) })
  sandbox.begin(`PORT=3001 node ${join(root, 'node_modules/@modelcontextprotocol/server-everything/dist/index.js')} streamableHttp`)
  await isReady(sandbox, sandbox.begin(gateway))
  const made = await sandbox.run('curl -s http://127.0.0.1:8080/v1/workspaces/acme/keys -H "Authorization: Bearer $(cat data/management-token)" -H "Content-Type: application/json" -d \'{"name":"n","scope":"mcp:read"}\'')
  const { token } = JSON.parse(made.stdout) as { token: string }
  const [curl] = blocksOf(join(root, 'docs/gateway.md')).filter(({ text }) => text.startsWith('curl')).map(({ text }) => text)
  await until(async () => /"serverInfo"/.test((await sandbox.run(`export NAVIS_KEY=${token}\n${curl}`)).stdout), { timeoutMs: 60_000 })
  t.pass('the server behind it answers')
})
