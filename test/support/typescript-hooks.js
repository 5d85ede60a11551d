import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { isTypeScript, strip } from './strip-types.js'

// Node's own resolving and loading costs about a millisecond of this thread for each file: a relative path with one of these two extensions needs neither.
const direct = /^\.\.?\/.*\.(?:ts|mjs)$/
let packages = {}

export function initialize (data) {
  packages = data.packages
}

export async function resolve (specifier, context, nextResolve) {
  if (Object.hasOwn(packages, specifier)) return { url: packages[specifier], format: 'module', shortCircuit: true }
  if (!direct.test(specifier) || context.parentURL === undefined) return await nextResolve(specifier, context)
  return { url: new URL(specifier, context.parentURL).href, format: 'module', shortCircuit: true }
}

export async function load (url, context, nextLoad) {
  if (isTypeScript(url)) {
    const path = fileURLToPath(url)
    return { format: 'module', shortCircuit: true, source: await strip(readFileSync(path, 'utf8'), path) }
  }
  if (url.startsWith('file:') && url.endsWith('.mjs')) return { format: 'module', shortCircuit: true, source: readFileSync(fileURLToPath(url)) }
  return await nextLoad(url, context)
}
