import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startService } from '../proxies/service.ts'
import { runCli } from './run-cli.ts'

const create = ['keys', 'create', '--workspace', 'acme', '--name', 'laptop', '--scope', 'mcp:read', '--json']

t.test('on the embedded database, with no service running', async (t) => {
  const env = { DATA_DIR: t.testdir({}) }
  const made = await runCli(create, env)
  t.equal(made.code, 0, made.stderr)
  const { id } = JSON.parse(made.stdout) as { id: string }
  t.match(JSON.parse((await runCli(['keys', 'list', '--workspace', 'acme', '--json'], env)).stdout), { keys: [{ id, status: 'active' }] })
  t.match(await runCli(['keys', 'revoke', '--workspace', 'acme', id], env), { code: 0 })
  t.match(JSON.parse((await runCli(['keys', 'list', '--workspace', 'acme', '--status', 'all', '--json'], env)).stdout), { keys: [{ id, status: 'revoked' }] })
  t.match(await runCli(['migrate'], env), { code: 0 })
})

t.test('on the embedded database of a running service', async (t) => {
  const env = { DATA_DIR: t.testdir({}) }
  const service = await startService(t, env)
  const made = await runCli(create, env)
  t.equal(made.code, 0, made.stderr)
  const { id, token } = JSON.parse(made.stdout) as { id: string, token: string }
  const ask = async () => (await fetch(`${service.url}/forward-auth`, { headers: { authorization: `Bearer ${token}` } })).status
  t.equal(await ask(), 200)
  const revoked = await runCli(['keys', 'revoke', '--workspace', 'acme', id], env)
  t.equal(await ask(), 401)
  t.equal(revoked.code, 0, revoked.stderr)
  t.equal((await fetch(`${service.url}/readyz`)).status, 200)
})

t.test('three at once on one data folder: each works or says that it is taken, and nothing is lost', async (t) => {
  const env = { DATA_DIR: t.testdir({}) }
  t.equal((await runCli(create, env)).code, 0)
  const outcomes = await Promise.all([1, 2, 3].map(async () => await runCli(create, env)))
  const made = outcomes.filter(({ code }) => code === 0).map(({ stdout }) => (JSON.parse(stdout) as { id: string }).id)
  t.ok(made.length >= 1)
  for (const { code, stderr } of outcomes) if (code !== 0) t.match(JSON.parse(stderr), { detail: /in use|database/i })
  const { keys } = JSON.parse((await runCli(['keys', 'list', '--workspace', 'acme', '--json'], env)).stdout) as { keys: Array<{ id: string }> }
  const listed = new Set(keys.map(({ id }) => id))
  for (const id of made) t.ok(listed.has(id))
})

t.test('a data folder that is not there is not made by asking what is in it', async (t) => {
  const env = { DATA_DIR: join(t.testdir({}), 'elsewhere') }
  for (const args of [['keys', 'list', '--workspace', 'acme'], ['keys', 'revoke', '--workspace', 'acme', '01900000-0000-7000-8000-000000000000']]) {
    t.match(await runCli(args, env), { code: 1, stdout: '', stderr: /DATABASE_URL.*DATA_DIR/ })
    t.notOk(existsSync(env.DATA_DIR))
  }
})
