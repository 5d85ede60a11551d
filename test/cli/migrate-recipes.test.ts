import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { apiKey } from '@better-auth/api-key'
import { betterAuth, type BetterAuthOptions } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'
import { Pool } from 'pg'
import { freshDatabase } from '../support/servers.ts'
import { requireProgram } from '../support/programs.ts'
import { runCli } from './run-cli.ts'

const page = readFileSync(new URL('../../docs/migrate.md', import.meta.url), 'utf8')

/** The block under a heading of the page, as somebody would copy it. */
function recipe (heading: string): string {
  const section = page.slice(page.indexOf(`### ${heading}\n`))
  return /```(?:sql|js)\n([\s\S]*?)```/.exec(section)![1]!
}

async function setup (t: Test, prefix: string) {
  const env = { DATABASE_URL: await freshDatabase(t), TOKEN_PREFIXES_ACCEPTED: prefix }
  const file = (name: string, text: string) => {
    const path = join(t.testdir(), name)
    writeFileSync(path, text)
    return path
  }
  const psql = (url: string, script: string, ...flags: string[]) => execFileSync(requireProgram('psql'), [url, ...flags, '-q', '-v', 'ON_ERROR_STOP=1', '-f', '-'], { input: script, encoding: 'utf8' })
  const load = async (name: string, text: string) => await runCli(['keys', 'import', file(name, text), '--workspace', 'acme', '--json'], env)
  const verify = async (token: string) => JSON.parse((await runCli(['verify', '--json'], env, { input: token })).stdout)
  return { psql, file, load, verify }
}

t.test('keys that better-auth made are taken over and work, but for those that are disabled or have expired', async (t) => {
  const { psql, load, verify } = await setup(t, 'ba_')
  const url = await freshDatabase(t)
  const pool = new Pool({ connectionString: url })
  // A connection that is still closing when its database is dropped is ended by the server.
  pool.on('error', () => {})
  t.teardown(() => pool.end())
  const options = {
    baseURL: 'http://127.0.0.1', secret: randomBytes(32).toString('hex'), database: pool, logger: { disabled: true }, telemetry: { enabled: false }, plugins: [apiKey({ defaultPrefix: 'ba_' })]
  } satisfies BetterAuthOptions
  const auth = betterAuth(options)
  await (await getMigrations(options)).runMigrations()
  const { internalAdapter } = await auth.$context
  const user = await internalAdapter.createUser({ name: 'Ada', email: 'ada@example.com' }, { method: 'admin' })
  const make = async (body: object = {}) => await auth.api.createApiKey({ body: { userId: user.id, ...body } })
  const made = [await make({ name: 'ci' }), await make({ expiresIn: 86_400 * 30 }), await make()]
  const disabled = await make()
  await pool.query('update apikey set enabled = false where id = $1', [disabled.id])
  const lines = psql(url, recipe('better-auth'), '-At')
  t.match(await load('keys.jsonl', lines), { code: 0, stdout: /"imported": 3/ })
  for (const { key, id } of made) t.match(await verify(key), { valid: true, key: { owner_id: user.id, metadata: { better_auth_id: id } } })
  t.match(await verify(made[0]!.key), { key: { name: 'ci', expires_at: null } })
  t.match(await verify(made[1]!.key), { key: { expires_at: /^20/ } })
  t.match(await verify(disabled.key), { valid: false, reason: 'unknown' })
})

t.test('keys in Unkey\'s table are taken over and work, but for those that are disabled, deleted or have expired', async (t) => {
  const { file, load, verify } = await setup(t, 'uk_')
  const token = () => `uk_${randomBytes(16).toString('base64url')}`
  const [named, bare, disabled, deleted, expired] = [token(), token(), token(), token(), token()]
  const row = (token: string, fields: object = {}) => ({
    id: `key_${randomBytes(8).toString('hex')}`, key_auth_id: 'ks_1', hash: createHash('sha256').update(token).digest('base64'), start: token.slice(0, 7), workspace_id: 'ws_1', for_workspace_id: null, name: null, owner_id: null, identity_id: null, meta: null, expires: null, created_at_m: 1_700_000_000_000, updated_at_m: null, deleted_at_m: null, refill_day: null, refill_amount: null, enabled: 1, remaining_requests: null, environment: null, ...fields
  })
  const rows = [row(named!, { name: 'ci', owner_id: 'ada', expires: '2099-01-01T00:00:00.000Z' }), row(bare!), row(disabled!, { enabled: 0 }), row(deleted!, { deleted_at_m: 1_700_000_000_001 }), row(expired!, { expires: '2020-01-01T00:00:00.000Z' })]
  const lines = execFileSync(process.execPath, [file('unkey.mjs', recipe('Unkey'))], { input: JSON.stringify(rows), encoding: 'utf8' })
  t.match(await load('keys.jsonl', lines), { code: 0, stdout: /"imported": 2/ })
  t.match(await verify(named!), { valid: true, key: { name: 'ci', owner_id: 'ada', expires_at: '2099-01-01T00:00:00.000Z', metadata: { unkey_id: rows[0]!.id } } })
  t.match(await verify(bare!), { valid: true, key: { name: bare!.slice(0, 7), owner_id: null } })
  for (const gone of [disabled, deleted, expired]) t.match(await verify(gone!), { valid: false, reason: 'unknown' })
})

t.test('keys of a home-made table are taken over and work, but for those that are revoked or have expired', async (t) => {
  const { psql, load, verify } = await setup(t, 'sk_live_')
  const url = await freshDatabase(t)
  const tokens = Array.from({ length: 4 }, () => `sk_live_${randomBytes(12).toString('hex')}`)
  psql(url, `
    create table api_tokens (id serial primary key, token text not null, label text, user_id text, can_write boolean not null default false, expires_at timestamptz, revoked_at timestamptz);
    insert into api_tokens (token, label, user_id, can_write, expires_at, revoked_at) values
      ('${tokens[0]}', 'the "shop", main', 'auth0|1', true, '2099-01-01', null),
      ('${tokens[1]}', null, null, false, null, null),
      ('${tokens[2]}', 'gone', null, false, null, now()),
      ('${tokens[3]}', 'late', null, false, now() - interval '1 day', null)`)
  t.match(await load('keys.csv', psql(url, recipe('Your own table'))), { code: 0, stdout: /"imported": 2/ })
  t.match(await verify(tokens[0]!), { valid: true, key: { name: 'the "shop", main', owner_id: 'auth0|1', scope: 'mcp:write', expires_at: '2099-01-01T00:00:00.000Z' } })
  t.match(await verify(tokens[1]!), { valid: true, key: { name: 'Key 2', owner_id: null, scope: 'mcp:read' } })
  for (const gone of tokens.slice(2)) t.match(await verify(gone), { valid: false, reason: 'unknown' })
})
