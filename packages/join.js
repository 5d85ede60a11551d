import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, posix, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, version } from 'esbuild'

/*
 * The last step of `npm run build`. TypeBox has 683 modules and Drizzle 107, and loading them took more than half of the time in which the service starts
 * (docs/decisions/0216, 0354). This step joins them in `dist/joined/` and makes the files of `dist/` load these. A file that was not rewritten, because only
 * the compiler was run, loads the original package, with the same behaviour.
 */
const packages = [
  { name: 'typebox', entries: ['typebox', 'typebox/compile', 'typebox/value'] },
  // Published without the text of its licence, which is Apache 2.0.
  { name: 'drizzle-orm', entries: ['drizzle-orm', 'drizzle-orm/migrator', 'drizzle-orm/pg-core', 'drizzle-orm/postgres-js'], external: ['postgres'], licenceFrom: '@opentelemetry/api' }
]
const joined = packages.flatMap(({ entries }) => entries)
const root = fileURLToPath(new URL('..', import.meta.url))
const dist = join(root, 'dist')
const folder = join(dist, 'joined')
const fileOf = (name) => name.replaceAll('/', '-')

await joinPackages()
for (const file of javascriptIn(dist)) rewrite(file)

async function joinPackages () {
  const made = JSON.stringify([version, packages, packages.map(({ name }) => manifestOf(name).version), 'no maps'])
  const stamp = join(folder, '.versions.json')
  const before = existsSync(stamp) ? readFileSync(stamp, 'utf8') : undefined
  if (before === made) return
  // The compiler writes only what has changed, and would leave imports of what is not joined any longer.
  if (before !== undefined) execFileSync(process.execPath, [join(root, 'node_modules/typescript-native/bin/tsc'), '-b', join(root, 'tsconfig.build.json'), '--force'], { stdio: 'inherit' })
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const { name, entries, external = [], licenceFrom = name } of packages) {
    await build({
      absWorkingDir: root,
      entryPoints: Object.fromEntries(entries.map((entry) => [fileOf(entry), entry])),
      outdir: folder,
      bundle: true,
      splitting: true,
      external,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      banner: { js: licenceOf(name, licenceFrom) },
      keepNames: true,
      logLevel: 'warning'
    })
  }
  writeFileSync(stamp, made)
}

function rewrite (file) {
  const text = readFileSync(file, 'utf8')
  const changed = text.replaceAll(/(\bfrom |\bimport\()'([^'.][^']*)'/g, (whole, before, name) => joined.includes(name) ? `${before}'${pathFrom(file, name)}'` : whole)
  if (changed !== text) writeFileSync(file, changed)
}

function pathFrom (file, name) {
  const path = relative(dirname(file), join(folder, `${fileOf(name)}.js`)).split(sep).join(posix.sep)
  return path.startsWith('.') ? path : `./${path}`
}

function javascriptIn (parent) {
  return readdirSync(parent, { withFileTypes: true }).flatMap((entry) => {
    const path = join(parent, entry.name)
    if (entry.isDirectory()) return path === folder ? [] : javascriptIn(path)
    return entry.name.endsWith('.js') ? [path] : []
  })
}

/** The licence of a package, to be included with its code. `from`: the package with its text. */
function licenceOf (name, from) {
  const { version, license } = manifestOf(name)
  if (license !== manifestOf(from).license) throw new Error(`${name} is under ${license}, and ${from} under another licence.`)
  const parent = join(root, 'node_modules', from)
  const file = readdirSync(parent).find((entry) => /^licen[cs]e/i.test(entry))
  if (file === undefined) throw new Error(`${from} has no licence with it.`)
  return `/*! ${name} ${version}, ${license}\n\n${readFileSync(join(parent, file), 'utf8').trim()}\n*/`
}

function manifestOf (name) {
  return JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8'))
}
