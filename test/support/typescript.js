import { readFileSync } from 'node:fs'
import * as nodeModule from 'node:module'
import { fileURLToPath } from 'node:url'
import { isTypeScript, stripSync } from './strip-types.js'

/*
 * `node --import ./test/support/typescript.js file.ts` runs TypeScript in every Node that the service supports.
 * `registerHooks` works in the thread of the program; before Node 22.15 the hooks need a thread of their own.
 * TEST_PACKAGES: the file that `joinPackages` has written.
 */
const map = process.env['TEST_PACKAGES']
const packages = map === undefined ? {} : JSON.parse(readFileSync(map, 'utf8'))

if (typeof nodeModule.registerHooks === 'function') {
  nodeModule.registerHooks({
    resolve (specifier, context, nextResolve) {
      return Object.hasOwn(packages, specifier) ? { url: packages[specifier], format: 'module', shortCircuit: true } : nextResolve(specifier, context)
    },
    load (url, context, nextLoad) {
      if (!isTypeScript(url)) return nextLoad(url, context)
      const path = fileURLToPath(url)
      return { format: 'module', shortCircuit: true, source: stripSync(readFileSync(path, 'utf8'), path) }
    }
  })
} else {
  nodeModule.register('./typescript-hooks.js', { parentURL: import.meta.url, data: { packages } })
}
