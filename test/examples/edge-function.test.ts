import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { install, pack, root } from '../package/install.ts'
import { service, setupApp } from '../routes/setup.ts'
import { freePort } from '../support/server-process.ts'
import { until } from '../support/servers.ts'

const run = promisify(execFile)
const deno = join(root, 'node_modules/.bin/deno')

t.test('the edge function, type-checked and run by Deno on the packed package, lets in only keys that may', async (t) => {
  const { app, create, ask } = await setupApp(t)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const { folder } = await install(t, (await pack())['navis-keys'].tarball)
  await cp(join(root, 'examples/edge-function/index.ts'), join(folder, 'esm/index.ts'))
  const env = { PATH: process.env['PATH'], HOME: folder, DENO_DIR: join(folder, 'deno'), DENO_NO_UPDATE_CHECK: '1' }
  const cwd = join(folder, 'esm')
  await t.resolves(run(deno, ['check', '--no-remote', 'index.ts'], { cwd, env }), 'nothing is red in the editor')

  const port = await freePort()
  const { host } = new URL(url)
  const child = spawn(deno, ['run', '--no-prompt', '--no-remote', `--allow-net=127.0.0.1:${port},${host}`, '--allow-env=NAVIS_KEYS_URL,NAVIS_KEYS_TOKEN,PORT', 'index.ts'], {
    cwd, env: { ...env, NAVIS_KEYS_URL: url, NAVIS_KEYS_TOKEN: service, PORT: String(port) }, stdio: ['ignore', 'ignore', 'inherit'], detached: true
  })
  t.teardown(async () => {
    // The program that npm installs starts Deno as a child of its own: the whole group goes.
    try { process.kill(-child.pid!, 'SIGKILL') } catch { /* it has ended */ }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  })
  const called = async (token?: string, method = 'GET') => await fetch(`http://127.0.0.1:${port}/`, { method, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } })
  await until(async () => (await called()).status === 401, { timeoutMs: 60_000, giveUp: () => child.exitCode !== null })

  const { id, token } = await create()
  const accepted = await called(token)
  t.equal(accepted.status, 200)
  t.same(await accepted.json(), { workspace: 'acme', scopes: ['mcp:read'] })
  const poor = await called(token, 'POST')
  t.equal(poor.status, 403)
  t.match(poor.headers.get('www-authenticate'), /error="insufficient_scope".*scope="mcp:write"/)
  await ask('DELETE', `/v1/workspaces/acme/keys/${id}`)
  const refused = await called(token)
  t.equal(refused.status, 401)
  t.match(await refused.json(), { code: 'revoked' })
})
