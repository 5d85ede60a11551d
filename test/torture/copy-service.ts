import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Teardowns } from '../support/servers.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Copies the built service into a folder of the run's own, which no other build changes, and answers the path of its `main.js`. `npm test` and `npm run torture` build first. */
export function copyService (t: Teardowns): string {
  const dir = mkdtempSync(join(tmpdir(), 'navis-torture-build-'))
  t.teardown(() => { rmSync(dir, { recursive: true, force: true }) })
  for (const name of ['node_modules', 'drizzle', 'assets']) symlinkSync(join(root, name), join(dir, name))
  cpSync(join(root, 'package.json'), join(dir, 'package.json'))
  cpSync(join(root, 'dist'), join(dir, 'dist'), { recursive: true })
  return join(dir, 'dist/main.js')
}
