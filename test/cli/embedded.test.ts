import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startService } from '../proxies/service.ts'
import { runCli, runCliProcess } from './run-cli.ts'

// Most runs start a Postgres, which takes seconds of a busy machine.
t.setTimeout(240_000)

const create = ['keys', 'create', '--workspace', 'acme', '--name', 'laptop', '--scope', 'mcp:read', '--json']
const list = ['keys', 'list', '--workspace', 'acme', '--status', 'all', '--json']

interface Made {
  readonly id: string
  readonly token: string
}

t.test('a data folder that is not there is not made by asking what is in it', async (t) => {
  const env = { DATA_DIR: join(t.testdir({}), 'elsewhere') }
  for (const args of [list, ['keys', 'revoke', '--workspace', 'acme', '01900000-0000-7000-8000-000000000000']]) {
    t.match(await runCli(args, env), { code: 1, stdout: '', stderr: /DATABASE_URL.*DATA_DIR/ })
    t.notOk(existsSync(env.DATA_DIR))
  }
})

t.test('on the embedded database', async (t) => {
  const env = { DATA_DIR: t.testdir({}) }
  const listed = async () => (JSON.parse((await runCli(list, env)).stdout) as { keys: Array<{ id: string, status: string }> }).keys

  await t.test('it works while no service runs', async (t) => {
    const made = await runCli(create, env)
    t.equal(made.code, 0, made.stderr)
    const { id } = JSON.parse(made.stdout) as Made
    t.match(await runCli(['keys', 'revoke', '--workspace', 'acme', id], env), { code: 0, stdout: '' })
    t.match(await listed(), [{ id, status: 'revoked' }])
  })

  await t.test('of two at once each works or says why not, and no key that was shown is lost', async (t) => {
    const outcomes = await Promise.all([runCliProcess(create, env), runCliProcess(create, env)])
    const made = outcomes.filter(({ code }) => code === 0).map(({ stdout }) => (JSON.parse(stdout) as Made).id)
    t.ok(made.length >= 1)
    for (const { code, stderr } of outcomes) if (code !== 0) t.match(JSON.parse(stderr), { detail: /in use|database/i })
    const ids = (await listed()).map((key) => key.id)
    for (const id of made) t.ok(ids.includes(id))
  })

  await t.test('it works through a service that runs there, which refuses at once what was revoked', async (t) => {
    const service = await startService(t, env)
    const made = await runCli(create, env)
    t.equal(made.code, 0, made.stderr)
    const { id, token } = JSON.parse(made.stdout) as Made
    const ask = async () => (await fetch(`${service.url}/forward-auth`, { headers: { authorization: `Bearer ${token}` } })).status
    t.equal(await ask(), 200)
    const revoked = await runCli(['keys', 'revoke', '--workspace', 'acme', id], env)
    t.equal(await ask(), 401)
    t.equal(revoked.code, 0, revoked.stderr)
    t.equal((await fetch(`${service.url}/readyz`)).status, 200)
  })
})
