import { createHash, randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/*
 * TypeScript to JavaScript by replacing types with spaces: every line and column stays where it is, so that stack traces
 * need no source map. A file's result is kept under the hash of its content; the compiler is loaded for new content only.
 */
const cache = fileURLToPath(new URL('../../node_modules/.cache/strip-types/', import.meta.url))
const compiler = 'ts-blank-space'
let version

/** The JavaScript of a TypeScript source. Rejects syntax that needs a transformation, such as an enum. */
export async function strip (source, name) {
  return cached(source) ?? keep(source, stripWith((await import(compiler)).default, source, name))
}

/** The same, synchronously. Needs Node 22.12 or later, which can `require` an ES module. */
export function stripSync (source, name) {
  return cached(source) ?? keep(source, stripWith(createRequire(import.meta.url)(compiler).default, source, name))
}

export function isTypeScript (url) {
  return url.startsWith('file:') && url.endsWith('.ts') && !url.includes('/node_modules/')
}

function stripWith (blankSpace, source, name) {
  const refused = []
  const stripped = blankSpace(source, (node) => { refused.push(source.slice(node.pos, node.end).trim().split('\n', 1)[0]) })
  if (refused.length > 0) throw new SyntaxError(`${name}: only types that can be erased are allowed: ${refused.join('; ')}`)
  return stripped
}

function cached (source) {
  try {
    return readFileSync(pathOf(source), 'utf8')
  } catch {
    return undefined
  }
}

// Rename it into place: another process must read the whole file or none. A cache that cannot be written costs only time.
function keep (source, stripped) {
  const path = pathOf(source)
  const draft = `${path}.${randomUUID()}`
  try {
    mkdirSync(cache, { recursive: true })
    writeFileSync(draft, stripped)
    renameSync(draft, path)
  } catch { /* read-only or full */ }
  return stripped
}

function pathOf (source) {
  version ??= JSON.parse(readFileSync(new URL(`../../node_modules/${compiler}/package.json`, import.meta.url), 'utf8')).version
  return join(cache, `${createHash('sha256').update(version).update('\0').update(source).digest('hex')}.js`)
}
