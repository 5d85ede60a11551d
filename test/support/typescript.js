import { readFileSync } from 'node:fs'
import * as nodeModule from 'node:module'
import { fileURLToPath } from 'node:url'
import { isTypeScript, stripSync } from './strip-types.js'

/*
 * `node --import ./test/support/typescript.js file.ts` runs TypeScript in every Node that the service supports.
 * `registerHooks` works in the thread of the program; before Node 22.15 the hooks need a thread of their own.
 */
if (typeof nodeModule.registerHooks === 'function') {
  nodeModule.registerHooks({
    load (url, context, nextLoad) {
      if (!isTypeScript(url)) return nextLoad(url, context)
      const path = fileURLToPath(url)
      return { format: 'module', shortCircuit: true, source: stripSync(readFileSync(path, 'utf8'), path) }
    }
  })
} else {
  nodeModule.register('./typescript-hooks.js', import.meta.url)
}
