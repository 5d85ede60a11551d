import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

let library: string | undefined
let isTried = false

/** The path of the library that keeps a load awake, made with the first call; `undefined` without a C compiler (`cc`): then loads sleep. */
export function awakeLibrary (): string | undefined {
  if (!isTried) library = made()
  isTried = true
  return library
}

function made (): string | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'navis-bench-awake-'))
  process.on('exit', () => { rmSync(dir, { recursive: true, force: true }) })
  const path = join(dir, 'awake.so')
  try {
    execFileSync('cc', ['-O2', '-shared', '-fPIC', '-o', path, fileURLToPath(new URL('awake.c', import.meta.url))], { stdio: 'ignore' })
    return path
  } catch {
    return undefined
  }
}
