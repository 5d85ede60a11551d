import { build, version } from 'esbuild'
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/*
 * Four fifths of the modules that the service loads are those of a few packages, 683 of them TypeBox's. Each one costs the
 * module hooks about a millisecond of processor time in each of the run's hundreds of processes. `npm test` joins them
 * once, and `typescript.js` loads the joined files. What runs in `dist/` loads the packages as they are.
 */
const joined = [
  'typebox', 'typebox/compile', 'typebox/format', 'typebox/value', '@fastify/type-provider-typebox',
  'drizzle-orm', 'drizzle-orm/migrator', 'drizzle-orm/pg-core', 'drizzle-orm/postgres-js',
  '@modelcontextprotocol/client', 'csv-stringify/sync', 'hono/html', 'hono/utils/html', 'jose', 'oauth4webapi', 'openid-client', 'postgres', 'uuid'
]
const root = fileURLToPath(new URL('../..', import.meta.url))
const mapName = 'map.json'

/** Joins the packages unless that has been done for these versions. Returns the path of a JSON file that leads from a package's name to the URL of what to load for it. */
export async function joinPackages (): Promise<string> {
  const installed = readFileSync(join(root, 'node_modules/.package-lock.json'))
  const hash = createHash('sha256').update(JSON.stringify([version, joined])).update(installed).digest('hex')
  const folder = join(root, 'node_modules/.cache/joined-packages', hash)
  if (existsSync(join(folder, mapName))) return join(folder, mapName)
  const draft = `${folder}.${randomUUID()}`
  const names = new Map(joined.map((specifier) => [specifier, specifier.replaceAll('/', '__')]))
  mkdirSync(draft, { recursive: true })
  await build({
    absWorkingDir: root,
    entryPoints: Object.fromEntries([...names].map(([specifier, name]) => [name, specifier])),
    outdir: draft,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    // As the service requires them: these are CommonJS, and must stay the same for all who load them.
    external: ['fastify', 'ioredis', 'pino', '@opentelemetry/*'],
    keepNames: true,
    logLevel: 'warning'
  })
  writeFileSync(join(draft, mapName), JSON.stringify(Object.fromEntries([...names].map(([specifier, name]) => [specifier, pathToFileURL(join(folder, `${name}.mjs`)).href]))))
  try {
    renameSync(draft, folder)
  } catch (error) {
    // Another run was faster.
    rmSync(draft, { recursive: true })
    if (!existsSync(join(folder, mapName))) throw error
  }
  return join(folder, mapName)
}
