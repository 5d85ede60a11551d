import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

/*
 * `npm run build:packages` creates the two published packages from the output of `npm run build`: `node packages/build.js [folder]`.
 * A package contains only the modules that its entries import, directly or not, and depends only on the packages that these modules import, in
 * the versions of the root package: no list has to be maintained.
 */
const root = fileURLToPath(new URL('..', import.meta.url))
const ofTheWorkshop = /^drizzle\/(?:.*\.[jt]s|after\.sql|meta\/.*_snapshot\.json)$/
const common = ['version', 'license', 'type']

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

const packages = [
  {
    name: 'navis-keys',
    description: 'API keys for Fastify applications, verified in your own process with immediate revocation, and a client of the service for everything that has fetch',
    keywords: ['api-keys', 'fastify', 'fastify-plugin', 'bearer', 'mcp', 'revocation', 'deno', 'edge'],
    entries: { '.': 'dist/plugins/api-keys', './client': 'dist/client/client' },
    // Only packages of the service need a newer one.
    engines: { node: '>=22' },
    // Optional, because the client does not need it, and an application with the plugin has it anyway.
    peers: { fastify: '^5.0.0' },
    folders: ['drizzle'],
    files: ['CHANGELOG.md', 'LICENSE']
  },
  {
    name: 'navis-keys-service',
    description: 'The API-key service for MCP clients, scripts and internal services: cached verification with immediate revocation',
    keywords: ['api-keys', 'mcp', 'gateway', 'forward-auth', 'introspection'],
    // For an application that serves the pages itself: they must come from the same copy as the plugin.
    entries: { '.': 'dist/plugins/api-keys', './connected-apps': 'dist/pages/connected-apps' },
    engines: manifest.engines,
    bin: { 'navis-keys': 'dist/cli.js', 'navis-keys-service': 'dist/main.js' },
    folders: ['drizzle', 'assets'],
    // The embedded database has one package per platform, which is found by its name at run time.
    optional: manifest.optionalDependencies,
    files: ['CHANGELOG.md', 'SECURITY.md', 'LICENSE']
  }
]

const out = process.argv[2] ?? join(root, 'packages/built')
for (const wanted of packages) build(wanted, join(out, wanted.name))

function build ({ name, description, keywords, entries = {}, engines, bin, peers = {}, optional, folders, files }, folder) {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const code = reachableFrom([...Object.values(entries).map((entry) => `${entry}.js`), ...Object.values(bin ?? {})])
  const types = reachableFrom(Object.values(entries).map((entry) => `${entry}.d.ts`))
  for (const file of [...code.files, ...types.files]) {
    cpSync(join(root, file), join(folder, file))
    // Joined files have no source map.
    if (file.endsWith('.js') && existsSync(join(root, `${file}.map`))) cpSync(join(root, `${file}.map`), join(folder, `${file}.map`))
  }
  for (const path of [...folders, ...files]) cpSync(join(root, path), join(folder, path), { recursive: true, filter: (source) => !ofTheWorkshop.test(relative(root, source)) })
  cpSync(join(root, 'packages', name, 'README.md'), join(folder, 'README.md'))
  const imported = [...new Set([...code.packages, ...types.packages])].filter((one) => !(one in peers)).sort()
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify({
    name,
    description,
    ...Object.fromEntries(common.map((field) => [field, manifest[field]])),
    engines,
    keywords,
    ...(bin === undefined ? {} : { bin }),
    ...exportsOf(entries),
    files: ['dist', ...folders, ...files],
    sideEffects: false,
    dependencies: Object.fromEntries(imported.map((one) => [one, versionOf(one)])),
    ...(optional === undefined ? {} : { optionalDependencies: optional }),
    ...(Object.keys(peers).length === 0 ? {} : { peerDependencies: peers, peerDependenciesMeta: Object.fromEntries(Object.keys(peers).map((one) => [one, { optional: true }])) })
  }, null, 2)}\n`)
}

function exportsOf (entries) {
  if (Object.keys(entries).length === 0) return { exports: { './package.json': './package.json' } }
  const { '.': main, ...others } = entries
  return {
    main: `./${main}.js`,
    types: `./${main}.d.ts`,
    exports: {
      ...Object.fromEntries(Object.entries(entries).map(([path, file]) => [path, { types: `./${file}.d.ts`, default: `./${file}.js` }])),
      './package.json': './package.json'
    },
    // For resolvers that do not support `exports`.
    typesVersions: { '*': Object.fromEntries(Object.entries(others).map(([path, file]) => [path.slice(2), [`./${file}.d.ts`]])) }
  }
}

function versionOf (name) {
  const version = manifest.dependencies[name]
  if (version === undefined) throw new Error(`${name} is imported, and is no dependency of the root.`)
  return version
}

/** The files that can be reached from the entries, as paths from the root, and the names of the packages that they import. */
function reachableFrom (entries) {
  const files = new Set()
  const packages = new Set()
  const visit = (file) => {
    if (files.has(file)) return
    files.add(file)
    for (const { fileName: name } of ts.preProcessFile(readFileSync(join(root, file), 'utf8'), true, true).importedFiles) {
      if (name.startsWith('node:')) continue
      if (name.startsWith('.')) visit(targetOf(file, name))
      else packages.add(name.split('/').slice(0, name.startsWith('@') ? 2 : 1).join('/'))
    }
  }
  for (const entry of entries) visit(entry)
  return { files, packages }
}

function targetOf (file, name) {
  const path = relative(root, join(root, dirname(file), name))
  const target = file.endsWith('.d.ts') ? path.replace(/\.[jt]s$/, '.d.ts') : path
  if (!existsSync(join(root, target))) throw new Error(`${file} imports ${name}, which is not there. Run \`npm run build\` first.`)
  return target
}
