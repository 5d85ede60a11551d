import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startService } from '../proxies/service.ts'
import { freshDatabase, freshRedis } from '../support/servers.ts'
import { runCli, runCliProcess, type Outcome } from './run-cli.ts'

const tokenLine = /^nops_[0-9A-Za-z]{38}\n$/
const create = ['keys', 'create', '--workspace', 'acme', '--name', 'laptop', '--scope', 'mcp:read']

async function setup (t: Test) {
  const env = { DATABASE_URL: await freshDatabase(t) }
  return { env, cli: async (...args: string[]) => await runCli(args, env) }
}

async function createdKey (outcome: Promise<Outcome>): Promise<Record<string, string>> {
  const { code, stdout, stderr } = await outcome
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as Record<string, string>
}

t.test('as a process: create prints only the token to stdout, and everything else to stderr', async (t) => {
  const env = { DATABASE_URL: await freshDatabase(t), REDIS_URL: 'redis://127.0.0.1:1' }
  const { code, stdout, stderr } = await runCliProcess(create, env)
  t.equal(code, 0, stderr)
  t.match(stdout, tokenLine)
  t.match(stderr, /laptop.*acme/)
  t.notOk(stderr.includes(stdout.trim()))
})

t.test('as a process: the exit status tells success, failure and an invalid command line', async (t) => {
  const env = { DATABASE_URL: 'postgres://someone@127.0.0.1:1/nowhere' }
  t.match(await runCliProcess(['--help'], env), { code: 0, stdout: /keys[^]*migrate/, stderr: '' })
  t.match(await runCliProcess(['keys', 'list', '--workspace', 'acme', '--json'], env), { code: 1, stdout: '', stderr: /"code":/ })
  t.match(await runCliProcess(['keys', 'list'], env), { code: 2, stdout: '', stderr: /--workspace/ })
})

t.test('create --json prints one document with the key and its token', async (t) => {
  const { cli } = await setup(t)
  const { code, stdout, stderr } = await cli(...create, '--owner', 'ada@example.com', '--expires', '2099-01-01', '--metadata', 'team=core', 'host=a=b', '--json')
  t.equal(code, 0, stderr)
  t.equal(stderr, '')
  const key = JSON.parse(stdout) as Record<string, unknown>
  t.match(key, {
    workspace_id: 'acme',
    owner_id: 'ada@example.com',
    name: 'laptop',
    scope: 'mcp:read',
    status: 'active',
    expires_at: '2099-01-01T00:00:00.000Z',
    metadata: { team: 'core', host: 'a=b' },
    created_by: 'cli',
    revoked_at: null
  })
  t.match(key['token'], /^nops_[0-9A-Za-z]{38}$/)
})

t.test('list shows what there is, by status and by page, and never a token', async (t) => {
  const { cli } = await setup(t)
  const keys = []
  for (let i = 0; i < 3; i++) keys.push(await createdKey(cli(...create, '--json')))
  const [first, second, third] = keys
  t.equal((await cli('keys', 'revoke', '--workspace', 'acme', first?.['id'] ?? '')).code, 0)
  const shown = await cli('keys', 'list', '--workspace', 'acme')
  t.equal(shown.code, 0, shown.stderr)
  t.match(shown.stdout, /^ID +HINT +NAME +SCOPE +STATUS/)
  t.ok(shown.stdout.includes(second?.['id'] ?? '?') && shown.stdout.includes(third?.['id'] ?? '?'))
  t.notOk(shown.stdout.includes(first?.['id'] ?? '?'), 'revoked ones are shown when asked for')
  const page = JSON.parse((await cli('keys', 'list', '--workspace', 'acme', '--status', 'all', '--limit', '2', '--json')).stdout)
  t.same(page.keys.map(({ id }: { id: string }) => id), [third?.['id'], second?.['id']])
  const rest = await cli('keys', 'list', '--workspace', 'acme', '--status', 'all', '--limit', '2', '--cursor', page.next_cursor, '--json')
  t.match(JSON.parse(rest.stdout), { keys: [{ id: first?.['id'], status: 'revoked', revoked_by: 'cli' }], next_cursor: null })
  for (const { stdout } of [shown, rest]) t.notMatch(stdout, /nops_[0-9A-Za-z]/)
  t.match(await cli('keys', 'list', '--workspace', 'other'), { code: 0, stdout: '', stderr: /no .*keys/i })
})

t.test('revoke returns when a running service with a warm cache refuses the key', async (t) => {
  const databaseUrl = await freshDatabase(t)
  const redisUrl = await freshRedis(t)
  const service = await startService(t, { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl })
  for (const { run, env } of [{ run: runCliProcess, env: { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl } }, { run: runCli, env: { DATABASE_URL: databaseUrl } }]) {
    const key = await createdKey(runCli([...create, '--json'], env))
    const ask = async () => (await fetch(`${service.url}/forward-auth`, { headers: { authorization: `Bearer ${key['token']}` } })).status
    t.equal(await ask(), 200)
    const { code, stdout, stderr } = await run(['keys', 'revoke', '--workspace', 'acme', key['id'] ?? '', '--reason', 'leaked'], env)
    t.equal(await ask(), 401)
    t.equal(code, 0, stderr)
    t.equal(stdout, '')
    t.match(stderr, /in force/)
  }
})

t.test('revoke says by which path it came into force, and may be repeated', async (t) => {
  const { cli } = await setup(t)
  const { id = '' } = await createdKey(cli(...create, '--json'))
  for (let round = 0; round < 2; round++) {
    const { code, stdout, stderr } = await cli('keys', 'revoke', '--workspace', 'acme', id, '--json')
    t.equal(code, 0, stderr)
    t.match(JSON.parse(stdout), { id, in_force: true, path: /^(fast|slow)$/ })
  }
})

t.test('a key of another workspace looks exactly like none', async (t) => {
  const { cli } = await setup(t)
  const { id = '' } = await createdKey(cli(...create, '--json'))
  const other = await cli('keys', 'revoke', '--workspace', 'other', id, '--json')
  const none = await cli('keys', 'revoke', '--workspace', 'acme', '01900000-0000-7000-8000-000000000000', '--json')
  t.equal(other.code, 1)
  t.equal(JSON.parse(other.stderr).code, 'not_found')
  t.same(other, none)
})

t.test('a command line that cannot be understood ends with 2 and changes nothing', async (t) => {
  const { cli } = await setup(t)
  const lines = [
    { when: 'no command', args: [] },
    { when: 'unknown command', args: ['keys', 'rotate'] },
    { when: 'unknown option', args: [...create, '--colour', 'red'] },
    { when: 'no workspace', args: ['keys', 'list'] },
    { when: 'a workspace with a space', args: ['keys', 'list', '--workspace', 'a b'] },
    { when: 'no id', args: ['keys', 'revoke', '--workspace', 'acme'] },
    { when: 'an unknown scope', args: ['keys', 'create', '--workspace', 'acme', '--name', 'x', '--scope', 'mcp:admin'] },
    { when: 'an expiry that is none', args: [...create, '--expires', 'soon'] },
    { when: 'metadata without a value', args: [...create, '--metadata', 'team'] },
    { when: 'a page of none', args: ['keys', 'list', '--workspace', 'acme', '--limit', '0'] },
    { when: 'an unknown status', args: ['keys', 'list', '--workspace', 'acme', '--status', 'old'] }
  ]
  for (const { when, args } of lines) {
    const { code, stdout, stderr } = await cli(...args)
    t.equal(code, 2, `${when}: ${stderr}`)
    t.equal(stdout, '', when)
    t.ok(stderr.length > 0, when)
    const asJson = await cli(...args, '--json')
    t.equal(asJson.code, 2, when)
    t.match(JSON.parse(asJson.stderr), { title: String, code: 'invalid_request', detail: String }, when)
  }
  t.same(JSON.parse((await cli('keys', 'list', '--workspace', 'acme', '--status', 'all', '--json')).stdout).keys, [])
})

t.test('what the service refuses, the command line refuses', async (t) => {
  const { cli } = await setup(t)
  const lines = [
    { when: 'an expiry in the past', args: [...create, '--expires', '2001-01-01'] },
    { when: 'an over-long name', args: ['keys', 'create', '--workspace', 'acme', '--name', 'x'.repeat(101), '--scope', 'mcp:read'] },
    { when: 'a token in the name', args: ['keys', 'create', '--workspace', 'acme', '--name', `nops_${'0'.repeat(38)}`, '--scope', 'mcp:read'] },
    { when: 'a cursor that was tampered with', args: ['keys', 'list', '--workspace', 'acme', '--cursor', 'xyz'] }
  ]
  for (const { when, args } of lines) {
    const { code, stdout, stderr } = await cli(...args, '--json')
    t.ok(code === 1 || code === 2, `${when}: ${code}`)
    t.equal(stdout, '', when)
    t.match(JSON.parse(stderr), { code: /^invalid_/ }, when)
  }
})

t.test('migrate makes an empty database ready, and may be repeated', async (t) => {
  const env = { DATABASE_URL: await freshDatabase(t, { migrated: false }) }
  for (let round = 0; round < 2; round++) t.match(await runCli(['migrate'], env), { code: 0, stdout: '' })
  t.match(await runCli(['migrate', '--json'], env), { code: 0, stdout: /"migrated": ?true/ })
  t.match(await runCli(create, env), { code: 0, stdout: tokenLine })
})

t.test('settings come from files too', async (t) => {
  const file = join(t.testdir({}), 'database-url')
  writeFileSync(file, `${await freshDatabase(t)}\n`)
  t.match(await runCli(create, { DATABASE_URL_FILE: file }), { code: 0, stdout: tokenLine })
})

t.test('without Redis that is set, everything works', async (t) => {
  const env = { DATABASE_URL: await freshDatabase(t), REDIS_URL: 'redis://127.0.0.1:1' }
  const { id = '' } = await createdKey(runCli([...create, '--json'], env))
  t.match(await runCli(['keys', 'revoke', '--workspace', 'acme', id], env), { code: 0 })
})

t.test('a database that is away is a failure, told without the password', async (t) => {
  for (const args of [create, ['migrate'], ['keys', 'list', '--workspace', 'acme', '--json']]) {
    const { code, stdout, stderr } = await runCli(args, { DATABASE_URL: 'postgres://someone:s3cr3t-pass@127.0.0.1:1/nowhere' })
    t.equal(code, 1, stderr)
    t.equal(stdout, '')
    t.notMatch(stderr, /s3cr3t-pass/)
    t.match(stderr, /DATABASE_URL/)
  }
})

t.test('--help lists the commands and their options', async (t) => {
  t.match(await runCli(['--help'], {}), { code: 0, stdout: /keys[^]*migrate/, stderr: '' })
  t.match(await runCli(['keys', 'create', '--help'], {}), { code: 0, stdout: /--workspace[^]*--expires[^]*--metadata/, stderr: '' })
})
