import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { mutants, type Mutant } from './mutants.ts'

/*
 * npm run mutants                     takes each mend out of a copy of the project, runs its test there, and says whether that fails
 * npm run mutants -- --only tls       only those that have this in the name of a file, or in their own
 * Ends with status 1 when a test did not notice.
 */
const { values } = parseArgs({ options: { only: { type: 'string', default: '' } } })
const root = fileURLToPath(new URL('../..', import.meta.url))
const copy = mkdtempSync(join(tmpdir(), 'navis-mutants-'))
process.on('exit', () => { rmSync(copy, { recursive: true, force: true }) })
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => { process.exit(130) })

for (const name of readdirSync(root)) {
  if (name === 'node_modules') symlinkSync(join(root, name), join(copy, name))
  else if (name !== '.git' && name !== '.tap') cpSync(join(root, name), join(copy, name), { recursive: true, verbatimSymlinks: true })
}

/** What the test says without the mend; undefined: it does not notice. */
function noticed ({ file, find, replace, test, fails }: Mutant): string | undefined {
  const path = join(copy, 'src', file)
  const source = readFileSync(path, 'utf8')
  writeFileSync(path, source.replace(find, () => replace))
  try {
    // What does not compile would fail any test.
    if (/startReplica|startMain|new Child/.test(readFileSync(join(copy, test), 'utf8'))) execFileSync('npm', ['run', '--silent', 'build'], { cwd: copy, stdio: ['ignore', 'inherit', 'inherit'] })
    const { stdout } = spawnSync(process.execPath, ['--import', './test/support/typescript.js', test], { cwd: copy, encoding: 'utf8', env: { ...process.env, TAP: '1', TAP_TIMEOUT: '300' }, timeout: 600_000, maxBuffer: 2 ** 28 })
    return stdout.split('\n').find((line) => /^not ok /.test(line) && line.includes(fails))
  } finally {
    writeFileSync(path, source)
  }
}

let missed = 0
for (const mutant of mutants.filter(({ without, file, test }) => [without, file, test].some((text) => text.includes(values.only)))) {
  const start = performance.now()
  const line = noticed(mutant)
  if (line === undefined) missed++
  console.log(`${line === undefined ? 'MISSED ' : 'noticed'} ${mutant.file}, without "${mutant.without}": ${mutant.test} (${((performance.now() - start) / 1000).toFixed(1)} s)`)
}
console.log(`${missed} missed`)
process.exitCode = missed === 0 ? 0 : 1
