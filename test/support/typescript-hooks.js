import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { isTypeScript, strip } from './strip-types.js'

/*
 * More than half of the service's modules are TypeBox's `.mjs` files. Node's own resolving and loading in this thread
 * costs half a second for them: a relative path with one of these two extensions needs neither.
 */
const direct = /^\.\.?\/.*\.(?:ts|mjs)$/

export async function resolve (specifier, context, nextResolve) {
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
