import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Teardowns } from '../support/servers.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Builds the service as it stands into a folder of the run's own and answers the path of its `main.js`: a `dist/` that is out of date would prove nothing. */
export function buildService (t: Teardowns): string {
  const dir = mkdtempSync(join(tmpdir(), 'navis-torture-build-'))
  t.teardown(() => { rmSync(dir, { recursive: true, force: true }) })
  for (const name of ['node_modules', 'drizzle']) symlinkSync(join(root, name), join(dir, name))
  cpSync(join(root, 'package.json'), join(dir, 'package.json'))
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  execFileSync(process.execPath, [compiler, '-p', 'tsconfig.build.json', '--outDir', join(dir, 'dist')], { cwd: root, env: { PATH: process.env['PATH'] }, stdio: ['ignore', 'inherit', 'inherit'] })
  return join(dir, 'dist/main.js')
}
