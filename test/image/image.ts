import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { freePort } from '../support/server-process.ts'
import { freshDatabase, freshRedis, until } from '../support/servers.ts'
import { ImageStore } from './build.ts'
import { MemoryGroup, runContainer } from './container.ts'

/*
 * `npm run test:image`: builds the image by the Dockerfile on a base made here and walks a key through it, read-only, as user 1000,
 * within 256 MiB. Minutes long, needs root, and so no part of `npm test`.
 */
t.setTimeout(1_800_000)

const secret = 'image-tests-management-token-0123456789'
const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20)

t.test('the image builds, says what it is, and is at most 200 MB to pull', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'navis-image-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true, maxRetries: 5 }) })
  const store = new ImageStore(folder)
  store.base('localhost/base')
  const revision = execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' }).trim()
  store.build('localhost/navis-keys', { base: 'localhost/base', revision })
  const config = store.config('localhost/navis-keys')
  t.equal(config.User, '1000:1000')
  t.equal(config.Labels['org.opencontainers.image.revision'], revision)
  t.equal(config.Labels['org.opencontainers.image.title'], 'Navis Keys')
  t.same(config.Healthcheck?.Test.slice(0, 2), ['CMD', 'node'])
  const pulled = store.pulledBytes('localhost/navis-keys')
  const basePulled = store.pulledBytes('localhost/base')
  const root = store.mount('localhost/navis-keys')
  t.teardown(() => { store.buildah('umount', '--all') })
  const onDisk = Number(execFileSync('du', ['-sxb', root], { encoding: 'utf8' }).split('\t')[0])
  const own = Number(execFileSync('du', ['-sxb', join(root, 'app')], { encoding: 'utf8' }).split('\t')[0])
  t.comment(`pulled ${(pulled / 1e6).toFixed(1)} MB, ${((pulled - basePulled) / 1e6).toFixed(1)} MB of it on top of the base; unpacked ${(onDisk / 1e6).toFixed(1)} MB, /app ${(own / 1e6).toFixed(1)} MB`)
  t.ok(pulled <= 200e6)
  billOfMaterials(t, root)
  await walk(t, root, config)
  await tryOut(t, root, config, folder)
})

/** Every package that is there is in the SBOM, with its version, and no other. */
function billOfMaterials (t: Pick<typeof import('tap').t, 'same' | 'ok'>, root: string): void {
  const { components } = JSON.parse(readFileSync(join(root, 'app/sbom.cdx.json'), 'utf8')) as { components: Array<{ name: string, version: string }> }
  const installed = execFileSync('find', [join(root, 'app/node_modules'), '-path', '*/node_modules/*/package.json'], { encoding: 'utf8' }).trim().split('\n')
    .filter((path) => /\/node_modules\/(@[^/]+\/)?[^/@]+\/package\.json$/.test(path))
    .map((path) => JSON.parse(readFileSync(path, 'utf8')) as { name: string, version: string })
    .filter(({ version }) => version !== undefined)
    .map(({ name, version }) => `${name}@${version}`)
  t.same([...new Set(components.map(({ name, version }) => `${name}@${version}`))].sort(), [...new Set(installed)].sort())
  t.ok(components.length > 50)
}

function environmentOf ({ Env: lines }: ReturnType<ImageStore['config']>): Record<string, string> {
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
}

async function walk (t: any, root: string, config: ReturnType<ImageStore['config']>): Promise<void> {
  const group = new MemoryGroup(256 * 2 ** 20)
  const port = await freePort()
  const env = {
    ...environmentOf(config),
    PORT: String(port),
    HOST: '127.0.0.1',
    DATABASE_URL: await freshDatabase(t, { migrated: false }),
    REDIS_URL: await freshRedis(t),
    MANAGEMENT_TOKENS: `tests=${secret}`
  }
  const container = { root, env, workingDir: config.WorkingDir, user: config.User }
  const migrated = await once(runContainer({ ...container, command: ['node', 'dist/cli.js', 'migrate'] }), 'exit')
  t.same(migrated, [0, null], 'the migration Job\'s command')
  const service = runContainer({ ...container, command: config.Cmd, group })
  service.stdout?.resume()
  t.teardown(() => { service.kill('SIGKILL') })
  const url = `http://127.0.0.1:${port}`
  const startedAt = performance.now()
  await until(async () => (await fetch(`${url}/readyz`)).ok, { timeoutMs: 120_000, giveUp: () => service.exitCode !== null || service.signalCode !== null })
  t.comment(`ready after ${Math.round(performance.now() - startedAt)} ms`)

  const status = readFileSync(`/proc/${service.pid}/status`, 'utf8')
  t.match(status, /^Uid:\s1000\s1000\s1000\s1000$/m)
  t.match(status, /^NoNewPrivs:\s1$/m)
  t.match(status, /^CapEff:\s0+$/m)
  t.match(readFileSync(`/proc/${service.pid}/mountinfo`, 'utf8'), / \/ ro,/m, 'its root is read-only')

  const ask = async (method: string, path: string, body?: unknown) => await fetch(`${url}${path}`, {
    method,
    headers: { authorization: `Bearer ${secret}`, ...body === undefined ? {} : { 'content-type': 'application/json' } },
    ...body === undefined ? {} : { body: JSON.stringify(body) }
  })
  const made = await ask('POST', '/v1/workspaces/acme/keys', { name: 'of the image', scope: 'mcp:read' })
  t.equal(made.status, 201)
  const { id, token } = await made.json() as { id: string, token: string }
  const verdict = async () => await (await ask('POST', '/v1/verify', { token })).json() as { valid: boolean, reason?: string }
  t.equal((await verdict()).valid, true)
  const verifications = 20_000
  const results = await Promise.all(Array.from({ length: 20 }, async () => {
    let valid = 0
    for (let i = 0; i < verifications / 20; i++) if ((await verdict()).valid) valid++
    return valid
  }))
  t.equal(results.reduce((a, b) => a + b, 0), verifications, 'every verification under load')
  t.equal((await ask('DELETE', `/v1/workspaces/acme/keys/${id}`)).status, 204)
  t.match(await verdict(), { valid: false, reason: 'revoked' })
  t.same(await once(runContainer({ ...container, command: config.Healthcheck?.Test.slice(1) ?? [] }), 'exit'), [0, null], 'healthy by its own word')
  t.comment(`after ${verifications} verifications: ${mebibytes(group.heldBytes)} MiB held, ${mebibytes(group.peakBytes)} MiB at most with page cache, limit 256 MiB`)

  const stoppedAt = performance.now()
  service.kill('SIGTERM')
  t.same(await once(service, 'exit'), [0, null])
  t.comment(`ended ${Math.round(performance.now() - stoppedAt)} ms after SIGTERM`)
  t.equal(group.kills, 0, 'nothing was killed for memory')
  group.remove()
}

/** The embedded database: a volume at /data is all that it writes to. */
async function tryOut (t: any, root: string, config: ReturnType<ImageStore['config']>, folder: string): Promise<void> {
  const data = join(folder, 'data')
  mkdirSync(data)
  chownSync(data, 1000, 1000)
  // Each folder above is this test's own; the image's user has to get through.
  chmodSync(folder, 0o711)
  const group = new MemoryGroup(512 * 2 ** 20)
  const port = await freePort()
  const env = { ...environmentOf(config), PORT: String(port), HOST: '127.0.0.1' }
  const service = runContainer({ root, env, workingDir: config.WorkingDir, user: config.User, command: config.Cmd, group, data })
  service.stdout?.resume()
  t.teardown(() => { service.kill('SIGKILL') })
  const startedAt = performance.now()
  await until(async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok, { timeoutMs: 300_000, giveUp: () => service.exitCode !== null || service.signalCode !== null })
  t.comment(`embedded: ready after ${Math.round(performance.now() - startedAt)} ms, ${mebibytes(group.heldBytes)} MiB held, ${mebibytes(group.peakBytes)} MiB at most with page cache`)
  const token = readFileSync(join(data, 'management-token'), 'utf8').trim()
  const made = await fetch(`http://127.0.0.1:${port}/v1/workspaces/acme/keys`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'of the image', scope: 'mcp:read' })
  })
  t.equal(made.status, 201)
  service.kill('SIGTERM')
  t.same(await once(service, 'exit'), [0, null])
  t.equal(group.kills, 0)
  await until(() => { group.remove(); return true })
}
