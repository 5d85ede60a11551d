import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { freshDatabase, freshRedis } from '../support/servers.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))

t.test('a stranger\'s application type-checks and runs on the packed package alone', async (t) => {
  const folder = await packedInto(t)
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'stranger', type: 'module' }))
  await writeFile(join(folder, 'app.ts'), strangersApp)
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({
    compilerOptions: { module: 'nodenext', target: 'es2023', strict: true, skipLibCheck: true, exactOptionalPropertyTypes: true, outDir: 'out', rootDir: '.', types: ['node'] }, include: ['app.ts']
  }))
  await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder]).catch((error: { stdout: string }) => { t.fail(error.stdout) })
  const { stdout } = await run(process.execPath, [join(folder, 'out/app.js')], {
    env: { ...process.env, DATABASE_URL: await freshDatabase(t), REDIS_URL: await freshRedis(t), NODE_OPTIONS: '' }
  })
  t.match(stdout, '200 w1\n403 insufficient_scope\n401 revoked\n')
})

const strangersApp = `
import Fastify from 'fastify'
import apiKeys, { type ApiKey } from 'navis-keys'

const app = Fastify()
await app.register(apiKeys, { databaseUrl: process.env['DATABASE_URL'], redisUrl: process.env['REDIS_URL'] })
app.get('/things', { onRequest: app.requireScope('mcp:read') }, async (request) => {
  const key: ApiKey = request.apiKey
  return key.workspaceId
})
app.get<{ Params: { id: string } }>('/things/:id', { onRequest: [app.requireScope('mcp:write')] }, async (request) => request.apiKey.workspaceId + request.params.id)
const url = await app.listen({ port: 0, host: '127.0.0.1' })
const { key, token } = await app.apiKeys.service.create({ workspaceId: 'w1', actor: 'stranger', name: 'n', scope: 'mcp:read' })
const headers = { authorization: 'Bearer ' + token }
const first = await fetch(url + '/things', { headers })
console.log(first.status, await first.text())
const second = await fetch(url + '/things/1', { headers })
console.log(second.status, (await second.json() as { code: string }).code)
await app.apiKeys.service.revoke({ workspaceId: 'w1', keyId: key.id, actor: 'stranger' })
const third = await fetch(url + '/things', { headers })
console.log(third.status, (await third.json() as { code: string }).code)
await app.close()
`

/** Packs what the run has built, and unpacks it as installed in a folder of its own. */
async function packedInto (t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'navis-stranger-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const source = join(folder, 'source')
  await mkdir(source)
  for (const name of ['package.json', 'dist', 'assets', 'drizzle', 'README.md', 'LICENSE']) {
    await cp(join(root, name), join(source, name), { recursive: true })
  }
  await run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder], { cwd: source })
  const installed = join(folder, 'node_modules/navis-keys')
  await mkdir(installed, { recursive: true })
  await run('tar', ['-xzf', join(folder, 'navis-keys-0.1.0.tgz'), '-C', installed, '--strip-components=1'])
  await rm(source, { recursive: true })
  for (const name of ['fastify', '@types']) await symlink(join(root, 'node_modules', name), join(folder, 'node_modules', name))
  // What npm would install for the package; a registry is not needed for the proof.
  await symlink(join(root, 'node_modules'), join(installed, 'node_modules'))
  return folder
}
