import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/*
 * `npm test` runs everything, `npm test -- test/x.test.ts …` only those files. Ends on the line `N passed, N failed`;
 * the exit status is 0 only when nothing failed.
 */
const root = fileURLToPath(new URL('..', import.meta.url))

/** Each of these runs alone, after all others: what it measures or breaks is the whole machine. */
const alone = ['test/torture']

const tap = join(root, 'node_modules/.bin/tap')
const loader = ['--import', '@tapjs/typescript/import']

// Some tests drive the built service: one that is out of date would prove nothing.
await build()
const servers = await startServers()
const totals = { pass: 0, fail: 0, skip: 0, todo: 0 }
let failed = false
let interrupted
let running

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    interrupted = signal
    running?.kill(signal)
  })
}

for (const { files, options } of rounds(wantedFiles())) {
  if (interrupted === undefined) await runTap(files, options)
}
await servers.stop()

const away = [totals.skip > 0 && `${totals.skip} skipped`, totals.todo > 0 && `${totals.todo} to do`].filter(Boolean)
if (away.length > 0) console.log(`# ${away.join(', ')}`)
if (interrupted !== undefined) console.log(`# ended by ${interrupted}`)
if ((failed || interrupted !== undefined) && totals.fail === 0) totals.fail = 1
console.log(`${totals.pass} passed, ${totals.fail} failed`)
process.exitCode = totals.fail === 0 ? 0 : 1

function wantedFiles () {
  const named = process.argv.slice(2)
  const missing = named.filter((name) => !existsSync(name))
  if (missing.length > 0) throw new Error(`No such test file: ${missing.join(', ')}`)
  return (named.length > 0 ? named : [join(root, 'test')]).flatMap(testFiles).map((file) => relative(root, file)).sort()
}

function testFiles (path) {
  if (path.endsWith('.ts')) return [path]
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    if (entry.isDirectory() && entry.name !== 'node_modules') return testFiles(join(path, entry.name))
    return entry.name.endsWith('.test.ts') ? [join(path, entry.name)] : []
  })
}

function rounds (files) {
  const isAlone = (file) => alone.some((folder) => file.startsWith(`${folder}/`))
  return [
    { files: files.filter((file) => !isAlone(file)), options: [] },
    { files: files.filter(isAlone), options: ['--jobs=1', '--timeout=600'] }
  ].filter(({ files }) => files.length > 0)
}

async function runTap (files, options) {
  const seen = []
  running = spawn(tap, ['run', ...options, ...files], {
    cwd: root,
    env: { ...process.env, ...servers.env },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  running.stdout.pipe(process.stdout, { end: false })
  const lines = createInterface({ input: running.stdout })
  lines.on('line', (line) => {
    const match = /^# \{ total: .*\}$/.exec(line)
    if (match !== null) seen.push(match[0])
  })
  const [status] = await once(running, 'close')
  running = undefined
  count(seen.at(-1), status)
}

// A run without its last line has crashed, whatever it had counted up to then.
function count (line, status) {
  const number = (name) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(line ?? '')?.[1] ?? 0)
  for (const name of Object.keys(totals)) totals[name] += number(name)
  if (status !== 0 || line === undefined) failed = true
  if (line === undefined) totals.fail++
}

async function startServers () {
  // In a group of its own: Ctrl-C must reach it only through its standard input, after tap has ended.
  const child = spawn(process.execPath, [...loader, join(root, 'test/support/shared-servers.ts')], {
    cwd: root,
    env: { ...process.env, TS_NODE_TRANSPILE_ONLY: '1', TEST_PROGRAMS: process.argv.length > 2 ? '' : 'all' },
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit']
  })
  const ended = once(child, 'close')
  const line = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line').then(([line]) => line),
    ended.then(() => undefined)
  ])
  if (line === undefined) giveUp()
  return {
    env: JSON.parse(line),
    stop: async () => {
      child.stdin.end()
      await ended
    }
  }
}

async function build () {
  const [status] = await once(spawn(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' }), 'close')
  if (status !== 0) giveUp()
}

function giveUp () {
  console.log('0 passed, 1 failed')
  process.exit(1)
}
