import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, posix, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, version } from 'esbuild'

/*
 * The last step of `npm run build`. TypeBox has 683 modules, and loading them took a quarter of the time in which the service starts
 * (docs/decisions/0216). This step joins them in `dist/joined/` and makes the files of `dist/` load these. A file that was not rewritten, because only
 * the compiler was run, loads the original package, with the same behaviour.
 */
const joined = ['typebox', 'typebox/compile', 'typebox/value']
const root = fileURLToPath(new URL('..', import.meta.url))
const dist = join(root, 'dist')
const folder = join(dist, 'joined')
const fileOf = (name) => name.replaceAll('/', '-')

await joinPackages()
for (const file of javascriptIn(dist)) rewrite(file)

async function joinPackages () {
  const made = JSON.stringify([version, joined, manifestOf('typebox').version, 'no maps'])
  const stamp = join(folder, '.versions.json')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === made) return
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  await build({
    absWorkingDir: root,
    entryPoints: Object.fromEntries(joined.map((name) => [fileOf(name), name])),
    outdir: folder,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    banner: { js: licenceOf('typebox') },
    keepNames: true,
    logLevel: 'warning'
  })
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

/** The licence of a package, to be included with its code. */
function licenceOf (name) {
  const parent = join(root, 'node_modules', name)
  const file = readdirSync(parent).find((entry) => /^licen[cs]e/i.test(entry))
  if (file === undefined) throw new Error(`${name} has no licence with it.`)
  return `/*! ${name} ${manifestOf(name).version}\n\n${readFileSync(join(parent, file), 'utf8').trim()}\n*/`
}

function manifestOf (name) {
  return JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8'))
}
