import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { delimiter, dirname, join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import './support/typescript.js'
import { cpuMs } from './support/cpu-ms.js'
import { strip } from './support/strip-types.js'

const { newerNode } = await import('./support/newer-node.ts')
const { TestFile } = await import('./support/test-file.ts')
const { memoryFolder } = await import('./support/memory-folder.ts')
const { youngGeneration } = await import('./support/young-generation.ts')
const { joinPackages, joinService } = await import('./support/joined-packages.ts')
const { children, joinTests } = await import('./support/joined-tests.ts')

/*
 * `npm test` runs everything, `npm test -- test/x.test.ts …` only those files. Prints a line a file, what failed in it,
 * and at the end the slowest files; ends on the line `N passed, N failed`. The exit status is 0 only when nothing failed.
 */
const root = fileURLToPath(new URL('..', import.meta.url))

/** Each of these runs after all others, one at a time: what it measures or breaks is the whole machine. */
const alone = ['test/torture/torture.test.ts']

/**
 * These compute, and neither measure time nor wait for anything: they run beside those that run alone, with the time of the processors that these
 * leave. They start no servers and no groups of processes, which would have a priority of their own.
 */
const besides = [
  'test/package/packed.test.ts', 'test/engine/kept-shapes.test.ts', 'test/deploy/chart.test.ts', 'test/simulation/mutation.test.ts', 'test/core/token-memo.test.ts', 'test/support/joined-packages.test.ts', 'test/package/joined.test.ts', 'test/mcp/protocol/strict-json.test.ts', 'test/simulation/simulation.test.ts', 'test/core/token.test.ts', 'test/tiers/row-mac.test.ts'
]
const lowest = 19

/**
 * Files that take more than 5 s on a quiet machine or start many processes, and groups of others by their names, the longest first: one that is started last
 * would run by itself at the end.
 */
const longest = [
  'test/deploy/alerts.test.ts', 'test/tiers/redis-source.test.ts', 'test/process/node-versions.test.ts', 'test/guarantees/frozen-replica.test.ts', 'test/process/webhooks.test.ts',
  'test/window/many-members.test.ts', 'test/process/main.test.ts', 'test/db/embedded/embedded.test.ts', 'test/pages/browser.test.ts', 'test/window/expiry-waits.test.ts',
  'test/routes', 'test/mcp', 'test/db', 'test/window/lost-commits.test.ts', 'test/window/standby.test.ts', 'test/pages/story.test.ts', 'test/pages/axe.test.ts',
  'test/bench/bench.test.ts', 'test/window/large-fleet.test.ts', 'test/pages/embedded.test.ts', 'test/process/rolling-update.test.ts', 'test/window/failover.test.ts',
  'test/core', 'test/http', 'test/engine', 'test/plugins', 'test/pages/firefox.test.ts', 'test/torture/harness.test.ts', 'test/guarantees/readme.test.ts', 'test/examples/fastify-drizzle.test.ts', 'test/window/other-versions.test.ts',
  'test/cli/commands.test.ts', 'test/reference/reference.test.ts', 'test/guarantees/shared-limits.test.ts', 'test/process/outage.test.ts',
  'test/mcp/clients.test.ts', 'test/window/cancelled-waits.test.ts', 'test/cli/postgres.test.ts',
  'test/db/tls.test.ts', 'test/deploy/pods.test.ts', 'test/window/other-histories.test.ts', 'test/process/production-tree.test.ts',
  'test/process/tracing.test.ts', 'test/engine/distorted-answers.test.ts', 'test/window/acknowledged.test.ts', 'test/mcp/conformance/conformance.test.ts',
  'test/support/test-file.test.ts', 'test/client/client.test.ts',
  'test/pages', 'test/window', 'test/package/service.test.ts', 'test/window/histories.test.ts', 'test/db/outage.test.ts',
  'test/window/pooler.test.ts', 'test/mcp/docs.test.ts'
]

/** Files of one folder that are neither long nor to run by themselves share a process, where there are this many: most of what a small one costs is loading. */
const groupMin = 4

/** Another file is started when this part of all processors' time has been idle for this long. */
const idleEnough = 0.07
const meterMs = 300

/** A file that takes longer is ended. The long forms of some take ten minutes. */
const timeoutMs = process.env['TEST_LONG'] === undefined ? 300_000 : 900_000

/** What is printed again at the end of what failed in a file: where a log is shortened, its middle goes first. */
const linesAgain = 40

const nodeOptions = ['--import', new URL('support/typescript.js', import.meta.url).href]
const wanted = wantedFiles()
const groups = groupsOf(wanted)
const memory = memoryFolder()
process.once('exit', () => { memory?.remove() })
const folders = { TEST_CACHE_DIR: tmpdir(), ...memory && { TMPDIR: memory.path } }
// Some tests drive the built service: one that is out of date would prove nothing.
// The tests run on a Node that package.json claims, where one can be had. A part of them runs on an older one that runs this file (test/process/node-versions.test.ts).
const [servers, { packages, tests }, node = process.execPath] = await Promise.all([startServers(), joinAll(), newerNode(), build()])
const service = await joinService()
const lanes = lanesOf(itemsOf(wanted))
const results = []
const running = new Set()
let interrupted

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    interrupted = signal
    for (const { files } of Object.values(lanes)) files.length = 0
    for (const test of running) test.end(`ended by ${signal}`, signal)
  })
}

const nothingLeft = new Promise((resolve) => { lanes.first.onEmpty = resolve })
await Promise.all([
  runLane(lanes.first).then(async () => { await runLane(lanes.last) }),
  nothingLeft.then(async () => { await runLane(lanes.beside) })
])
await servers.stop()
tests.remove()
report()

function wantedFiles () {
  const named = process.argv.slice(2)
  const missing = named.filter((name) => !existsSync(name))
  if (missing.length > 0) throw new Error(`No such test file: ${missing.join(', ')}`)
  return (named.length > 0 ? named : [join(root, 'test')]).flatMap((path) => filesIn(path, '.test.ts')).map((file) => relative(root, file)).sort()
}

function filesIn (path, ending) {
  if (path.endsWith('.ts')) return [path]
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    if (entry.isDirectory() && entry.name !== 'node_modules') return filesIn(join(path, entry.name), ending)
    return entry.name.endsWith(ending) ? [join(path, entry.name)] : []
  })
}

/** By the folder of each: those that run in one process. A file that is named runs by itself. */
function groupsOf (files) {
  if (process.argv.length > 2) return {}
  const byFolder = {}
  for (const file of files) if (![...alone, ...besides, ...longest].includes(file)) (byFolder[file.split('/', 2).join('/')] ??= []).push(file)
  return Object.fromEntries(Object.entries(byFolder).filter(([, { length }]) => length >= groupMin))
}

/** Files, and in place of those that could be joined the names of their groups. */
function itemsOf (files) {
  const joined = Object.keys(groups).filter((name) => tests.fileOf(name) !== undefined)
  const inGroups = new Set(joined.flatMap((name) => groups[name]))
  return [...joined, ...files.filter((file) => !inGroups.has(file))]
}

function lanesOf (files) {
  const last = files.filter((file) => alone.includes(file))
  const beside = last.length > 0 ? besides.filter((file) => files.includes(file)) : []
  const rank = (file) => longest.includes(file) ? longest.indexOf(file) : longest.length
  const first = files.filter((file) => !last.includes(file) && !beside.includes(file)).sort((a, b) => rank(a) - rank(b))
  const longestMs = Math.max(timeoutMs, 600_000)
  return {
    first: { files: first, jobs: 3, jobsMax: 10, timeoutMs },
    last: { files: last, jobs: 1, jobsMax: 1, timeoutMs: longestMs },
    beside: { files: beside, jobs: 2, jobsMax: 2, timeoutMs: longestMs, niceness: lowest }
  }
}

// Most files wait for much of their time: another one is started whenever the processors have had nothing to do.
async function runLane ({ files, jobs, jobsMax, onEmpty, ...options }) {
  const inLane = new Set()
  const idleShare = idleMeter()
  while (files.length > 0 || inLane.size > 0) {
    const idle = idleShare()
    if (files.length > 0 && (inLane.size < jobs || (inLane.size < jobsMax && idle > idleEnough))) {
      const done = runFile(files.shift(), options).finally(() => inLane.delete(done))
      inLane.add(done)
    }
    if (files.length === 0) onEmpty?.()
    if (files.length > 0 && inLane.size < jobs) continue
    await Promise.race([...inLane, setTimeout(meterMs)])
  }
  onEmpty?.()
}

async function runFile (file, options) {
  const test = new TestFile()
  running.add(test)
  const program = tests.fileOf(file)
  const env = { ...process.env, ...servers.env, ...folders, TEST_PACKAGES: packages, TEST_JOINED: tests.folder, TEST_SERVICE: service, ...node === process.execPath ? {} : { TEST_OLDER_NODE: process.execPath, PATH: `${dirname(node)}${delimiter}${process.env.PATH}` } }
  const result = await test.run(file, { cwd: root, env, node, program, nodeOptions: program === undefined ? [...youngGeneration, ...nodeOptions] : youngGeneration, ...options })
  running.delete(test)
  const told = result.fail === 0 ? result : { ...result, lines: await tests.withSources(file, result.lines) }
  results.push(told)
  print(told)
}

/** Returns a function that tells which part of all processors' time has been idle since it told it last: 0 until there is enough to go by. */
function idleMeter () {
  const read = () => cpus().reduce((sum, { times }) => ({ idle: sum.idle + times.idle, all: sum.all + Object.values(times).reduce((a, b) => a + b) }), { idle: 0, all: 0 })
  let last = read()
  return () => {
    const now = read()
    if (now.all - last.all < meterMs * cpus().length * 0.9) return 0
    const share = (now.idle - last.idle) / (now.all - last.all)
    last = now
    return share
  }
}

function print ({ file, pass, fail, ms, cpuMs, lines }) {
  console.log(`${fail === 0 ? 'ok    ' : 'FAILED'} ${file}: ${pass} passed${fail === 0 ? '' : `, ${fail} failed`}, ${seconds(ms)}, ${seconds(cpuMs)} CPU`)
  for (const line of lines) console.log(`    ${line}`)
}

function report () {
  const total = (name) => results.reduce((sum, result) => sum + result[name], 0)
  const slowest = [...results].sort((a, b) => b.ms - a.ms).slice(0, 15)
  if (slowest.length > 1) console.log(`# slowest: ${slowest.map(({ file, ms, cpuMs }) => `${file} ${seconds(ms)} (${seconds(cpuMs)} CPU)`).join(', ')}`)
  console.log(`# ${seconds(performance.now())}, with ${seconds(cpuMs())} of processor time`)
  for (const { file, lines } of results.filter(({ fail }) => fail > 0)) {
    console.log(`# failed: ${file}`)
    if (results.length > 1) for (const line of failuresIn(lines)) console.log(`    ${line}`)
  }
  const away = [total('skip') > 0 && `${total('skip')} skipped`, total('todo') > 0 && `${total('todo')} to do`].filter(Boolean)
  if (away.length > 0) console.log(`# ${away.join(', ')}`)
  if (interrupted !== undefined) console.log(`# ended by ${interrupted}`)
  const failed = interrupted !== undefined ? Math.max(1, total('fail')) : total('fail')
  console.log(`${total('pass')} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
}

/** The lines of the failed assertions and of standard error, without those of what is skipped or measured. */
function failuresIn (lines) {
  const failures = []
  let isOfFailure = false
  for (const line of lines) {
    if (!line.startsWith(' ')) isOfFailure = /^(?:failed: |standard error:)/.test(line)
    if (isOfFailure) failures.push(line)
  }
  return failures.length <= linesAgain ? failures : [...failures.slice(0, linesAgain), `and ${failures.length - linesAgain} lines more, above`]
}

function seconds (ms) {
  return ms === undefined ? '?' : `${(ms / 1000).toFixed(1)} s`
}

async function startServers () {
  // In a group of its own: Ctrl-C must reach it only through its standard input, after the tests have ended.
  const child = spawn(process.execPath, [...nodeOptions, join(root, 'test/support/shared-servers.ts')], {
    cwd: root,
    env: { ...process.env, ...folders, TEST_PROGRAMS: process.argv.length > 2 ? '' : 'all' },
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
  const [status] = await once(spawn('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' }), 'close')
  if (status !== 0) giveUp()
  // The compiler leaves what it made of a source that is gone. What the build has joined has no source here.
  for (const file of filesIn(join(root, 'dist'), '.js')) {
    const path = relative(join(root, 'dist'), file)
    if (!path.startsWith('joined') && !existsSync(join(root, 'src', path.replace(/js$/, 'ts')))) rmSync(file)
  }
}

async function joinAll () {
  const packages = await joinPackages()
  const inGroups = new Set(Object.values(groups).flat())
  const tests = await joinTests([...wanted.filter((file) => !inGroups.has(file)), ...children], packages, groups)
  // Once, here: each test file would load the compiler for what has changed since the last run. What is refused fails the files that import it.
  const asTheyAre = ['src', 'test', 'bench'].flatMap((folder) => filesIn(join(root, folder), '.ts')).filter((file) => tests.fileOf(relative(root, file)) === undefined)
  for (const file of asTheyAre) await strip(readFileSync(file, 'utf8'), file).catch(() => {})
  return { packages, tests }
}

function giveUp () {
  console.log('0 passed, 1 failed')
  process.exit(1)
}
