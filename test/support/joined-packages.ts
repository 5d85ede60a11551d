import { build, version, type BuildOptions, type Plugin } from 'esbuild'
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/*
 * Four fifths of the modules that the service loads belong to a few packages, 683 of them to TypeBox, and each module costs
 * up to a millisecond of processor time in each of the run's hundreds of processes. `npm test` joins them once, and the built
 * service once for each build (decision 0200).
 */
const joined = [
  'typebox', 'typebox/compile', 'typebox/format', 'typebox/value', '@fastify/type-provider-typebox',
  'drizzle-orm', 'drizzle-orm/migrator', 'drizzle-orm/pg-core', 'drizzle-orm/postgres-js',
  '@modelcontextprotocol/client', 'csv-stringify/sync', 'hono/html', 'hono/utils/html', 'jose', 'oauth4webapi', 'openid-client', 'postgres', 'uuid'
]
/** tap omits files of such a folder from its stack traces. */
const tapName = 'node_modules/@tapjs/tap'
const root = fileURLToPath(new URL('../..', import.meta.url))
const domains = fileURLToPath(new URL('tap-domains.ts', import.meta.url))
// Part of the cache key: another version of this code creates other files.
const own = Buffer.concat([fileURLToPath(import.meta.url), domains].map((file) => readFileSync(file)))
const cache = join(root, 'node_modules/.cache/joined')
const mapName = 'map.json'
// For what CommonJS modules require.
const requireBanner = { js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);" }
const options: BuildOptions = {
  absWorkingDir: root,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  logLevel: 'warning'
}

/** Joins the packages unless that was done for these versions. Returns the path of a JSON file that maps the name of a package to the URL to load. */
export async function joinPackages (): Promise<string> {
  const installed = readFileSync(join(root, 'node_modules/.package-lock.json'))
  const folder = folderOf('packages', version, own, installed)
  const names = new Map(joined.map((specifier) => [specifier, specifier.replaceAll('/', '__')]))
  await once(folder, async (draft) => {
    await build({
      ...options,
      entryPoints: Object.fromEntries([...names].map(([specifier, name]) => [name, specifier])),
      outdir: draft,
      // CommonJS: all importers must get the same instance.
      external: ['fastify', 'ioredis', 'pino', '@opentelemetry/*']
    })
    await build({ ...options, entryPoints: { [tapName]: 'tap' }, outdir: draft, splitting: false, banner: requireBanner, plugins: [withoutHooks] })
    const files = [...names, ['tap', tapName] as const].map(([specifier, name]) => [specifier, pathToFileURL(join(folder, `${name}.mjs`)).href])
    writeFileSync(join(draft, mapName), JSON.stringify(Object.fromEntries(files)))
  })
  return join(folder, mapName)
}

/** Joins the modules of `dist/` with the packages that they use, unless that was done for this build. Returns the folder of `main.mjs` and `cli.mjs`. */
export async function joinService (): Promise<string> {
  const dist = join(root, 'dist')
  const files = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.js')).sort()
  const folder = folderOf('service', version, own, readFileSync(join(root, 'node_modules/.package-lock.json')), ...files.flatMap((file) => [file, readFileSync(join(dist, file))]))
  await once(folder, async (draft) => {
    await build({ ...options, entryPoints: [join(dist, 'main.js'), join(dist, 'cli.js')], outdir: draft, external: ['@opentelemetry/*'], banner: requireBanner, plugins: [asInDist] })
  })
  return folder
}

const withoutHooks: Plugin = {
  name: 'without hooks',
  setup ({ onResolve }) {
    onResolve({ filter: /^(?:async_hooks|async-hook-domain)$/ }, ({ importer }) => importer.includes('/@tapjs/core/') ? { path: domains } : undefined)
  }
}

// Each module resolves the files of the project relative to its place in `dist/`.
const asInDist: Plugin = {
  name: 'as in dist',
  setup ({ onLoad }) {
    onLoad({ filter: /\/dist\/.*\.js$/ }, ({ path }) => {
      if (!path.startsWith(join(root, 'dist/'))) return undefined
      return { contents: readFileSync(path, 'utf8').replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href)) }
    })
  }
}

function folderOf (kind: string, ...content: ReadonlyArray<string | Buffer>): string {
  const hash = createHash('sha256')
  for (const part of content) hash.update(part).update('\0')
  return join(cache, `${kind}-${hash.digest('hex').slice(0, 32)}`)
}

// Renamed into place: another run finds the whole folder or none.
async function once (folder: string, make: (draft: string) => Promise<void>): Promise<void> {
  if (existsSync(folder)) return
  const draft = `${folder}.${randomUUID()}`
  mkdirSync(draft, { recursive: true })
  try {
    await make(draft)
    renameSync(draft, folder)
  } catch (error) {
    rmSync(draft, { recursive: true, force: true })
    if (!existsSync(folder)) throw error
  }
}
