import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** The path of the built service or of its command line. `npm test` has joined its modules, to start it in half of the time. */
export function built (program: 'main' | 'cli'): string {
  const folder = process.env['TEST_SERVICE']
  if (folder !== undefined) return join(folder, `${program}.mjs`)
  const path = join(root, `dist/${program}.js`)
  if (!existsSync(path)) throw new Error(`dist/${program}.js is missing: run \`npm run build\` first.`)
  return path
}

/** For the environment of a process of the joined service: where Node from 22 on keeps what it has compiled, for those that start after one that has ended in order. */
export function compiledCode (): { NODE_COMPILE_CACHE?: string } {
  const folder = process.env['TEST_SERVICE']
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: join(folder, 'compiled') }
}

/** The arguments with which Node runs a file of the project. `npm test` has joined some TypeScript files with what they import; others need the loader. */
export function argumentsFor (file: string): string[] {
  if (!file.endsWith('.ts')) return [join(root, file)]
  const joined = join(process.env['TEST_JOINED'] ?? '', file.replace(/\.ts$/, '.mjs'))
  if (process.env['TEST_JOINED'] !== undefined && existsSync(joined)) return [joined]
  return ['--import', new URL('typescript.js', import.meta.url).href, join(root, file)]
}
