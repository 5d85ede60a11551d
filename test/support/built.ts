import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The path of the built service or of its command line. `npm test` has joined its modules, to start it in half of the time. */
export function built (program: 'main' | 'cli'): string {
  const folder = process.env['TEST_SERVICE']
  if (folder !== undefined) return join(folder, `${program}.mjs`)
  const path = fileURLToPath(new URL(`../../dist/${program}.js`, import.meta.url))
  if (!existsSync(path)) throw new Error(`dist/${program}.js is missing: run \`npm run build\` first.`)
  return path
}
