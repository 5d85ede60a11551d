import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { argumentsFor } from '../support/built.ts'
import { Child } from '../support/child.ts'
import { isLong } from '../support/long.ts'
import { nodeOf } from '../support/newer-node.ts'
import { freePort } from '../support/server-process.ts'
import { freshDatabase, freshRedis, until } from '../support/servers.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const secret = 'node-versions-management-secret-0123456789'

const part = 'test/process/part.ts'
/** The version of the image; the others run the same tests in the long form. */
const majorOfImage = 24
/** Set where `npm test` was started with a Node that is older than what package.json claims, and all other tests run on a newer one. */
const olderNode = process.env['TEST_OLDER_NODE']

interface Version {
  readonly name: string
  readonly node: () => Promise<string | undefined>
  /** Whether `npm test` runs a part of the tests on it, which is needless on the one that runs them all. */
  readonly runsPart: boolean
}

const versions: readonly Version[] = [
  ...[22, 24, 26].map((major) => ({ name: String(major), node: async () => await nodeOf(major), runsPart: major === majorOfImage && !process.version.startsWith(`v${major}.`) })),
  ...olderNode === undefined ? [] : [{ name: 'older than 22, which ran npm test', node: async () => olderNode, runsPart: true }]
]

for (const { name, node: find, runsPart } of versions) {
  t.test(`on Node ${name}`, async (t) => {
    const node = await find()
    if (node === undefined) {
      t.pass(`Node ${name}`, { skip: `it cannot be had: npm exec --package=node@${name} -- node` })
      return
    }

    await t.test('a part of the tests', { skip: runsPart || isLong ? false : 'in npm test only on the version of the image, where not all tests run on it: npm run test:long' }, async (t) => {
      const { stdout } = await run(node, argumentsFor(part), { cwd: root, env: { ...process.env, TAP: '1', TAP_TIMEOUT: '120' }, maxBuffer: 2 ** 26 })
        .catch(({ stdout, stderr }: { stdout: string, stderr: string }) => { throw new Error(`${stdout.slice(-4000)}\n${stderr}`) })
      t.match(stdout, /^1\.\.[1-9]\d/m)
      for (const name of ['with any one character changed', 'overtakes a lookup', 'behind a scope knows the key']) t.match(stdout, name, 'one test of each file')
    })

    await t.test('the service starts, verifies a key and ends on SIGTERM with status 0', async (t) => {
      const port = await freePort()
      const service = new Child(t, {
        node,
        file: 'dist/main.js',
        env: { PORT: String(port), DATABASE_URL: await freshDatabase(t, { migrated: false }), REDIS_URL: await freshRedis(t), MANAGEMENT_TOKENS: `tests=${secret}`, LOG_LEVEL: 'warn' }
      })
      await until(async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok, { timeoutMs: 60_000 })
      const post = async (path: string, body: object) => await (await fetch(`http://127.0.0.1:${port}${path}`, {
        method: 'POST', headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }, body: JSON.stringify(body)
      })).json() as Record<string, unknown>
      const { token } = await post('/v1/workspaces/w/keys', { name: 'n', scope: 'mcp:read' })
      t.match(await post('/v1/verify', { token }), { valid: true })
      service.process.kill('SIGTERM')
      t.equal(await service.ended(), 0, service.stderr)
      t.equal(service.stderr, '', 'Node warns about nothing')
    })
  })
}
