import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { TestFile } from './test-file.ts'
import { until } from './until.ts'

const { strip } = await import(new URL('strip-types.js', import.meta.url).href) as { strip (source: string, name: string): Promise<string> }
const nodeOptions = ['--import', new URL('typescript.js', import.meta.url).href]

const files = [
  {
    when: 'an assertion and a subtest fail',
    source: 't.test(\'outer\', async (t) => { await t.test(\'inner\', async (t) => { t.ok(true); t.equal(1, 2, \'one is two\') }) })',
    counted: { pass: 1, fail: 1 },
    says: /^failed: outer > inner > one is two$[^]*t\.equal\(1, 2, 'one is two'\)[^]*\n +-+\^\n[^]*file\.test\.ts:2:/m
  },
  { when: 'a test throws', source: 't.test(\'throws\', async () => { throw new Error(\'boom\') })', counted: { pass: 0, fail: 1 }, says: /^failed: throws > boom$/m },
  { when: 'a test never ends', source: 't.test(\'never\', async () => { await new Promise(() => {}) }); setTimeout(() => { process.exit(0) }, 50)', counted: { fail: 1 }, says: /test unfinished/ },
  { when: 'a subtest keeps no plan', source: 't.test(\'planned\', async (t) => { t.plan(2); t.ok(true) })', counted: { pass: 1, fail: 1 }, says: /plan\(2\)/ },
  { when: 'an error reaches nobody', source: 't.test(\'late\', async () => { setTimeout(() => { throw new Error(\'uncaught\') }, 1); await new Promise((resolve) => setTimeout(resolve, 500)) })', says: /uncaught/ },
  { when: 'the details of a failure hold a function', source: 't.fail(\'refused\', { check: () => 1 })', counted: { pass: 0, fail: 1 }, says: /^failed: refused$[^]*check: /m },
  { when: 'it cannot be loaded', source: 'import \'./nothing.ts\'', counted: { pass: 0, fail: 1 }, says: /nothing\.ts/ },
  { when: 'its types cannot be erased', source: 'enum Kind { one }\nt.ok(Kind.one === 0)', counted: { pass: 0, fail: 1 }, says: /only types that can be erased are allowed: enum Kind/ },
  { when: 'it is killed', source: 't.ok(true); process.kill(process.pid, \'SIGKILL\')', says: /^failed: was ended by SIGKILL$/m },
  { when: 'all pass but the status is not 0', source: 't.ok(true); process.exitCode = 3', counted: { pass: 1, fail: 1 }, says: /^failed: ended with status 3$/m }
]

for (const { when, source, counted = {}, says } of files) {
  t.test(`a test file fails when ${when}`, async (t) => {
    const { fail, lines, ...totals } = await run(t, source)
    t.ok(fail > 0)
    t.match({ fail, ...totals }, counted)
    t.match(lines.join('\n'), says)
  })
}

t.test('what passes, is skipped or is left to do fails nothing, and the reason of a skip is told', async (t) => {
  const result = await run(t, 't.ok(true); t.test(\'away\', { skip: \'no nginx\' }, async () => {}); t.test(\'later\', { todo: true }, async () => {}); t.comment(\'measured: 3\')')
  t.match(result, { pass: 1, fail: 0, skip: 1, todo: 1 })
  t.match(result.lines.join('\n'), /^skipped: away: no nginx$[^]*^# measured: 3$/m)
})

t.test('the processor time of a file is counted with that of the processes that it has waited for', async (t) => {
  const busy = (ms: number) => `const until = process.cpuUsage().user + ${ms * 1000}; while (process.cpuUsage().user < until) for (let i = 0; i < 1e7; i++);`
  const { cpuMs } = await run(t, `import { spawnSync } from 'node:child_process'\nspawnSync(process.execPath, ['-e', ${JSON.stringify(busy(400))}])\n${busy(200)}\nt.ok(true)`)
  t.ok(cpuMs !== undefined && cpuMs >= 600, String(cpuMs))
})

t.test('a file that is to give way does so, with the processes that it starts', async (t) => {
  const source = `import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
t.equal(getPriority(), 19)
t.equal(execFileSync(process.execPath, ['-p', 'os.getPriority()'], { encoding: 'utf8' }).trim(), '19')
if (existsSync('/proc/self/autogroup')) t.match(readFileSync('/proc/self/autogroup', 'utf8'), /(^| nice 19)$/m)`
  t.match(await run(t, source, { niceness: 19 }), { fail: 0 })
})

t.test('a file that holds its event loop past its limit fails and is ended', async (t) => {
  const result = await run(t, 't.ok(true); for (;;) {}', { timeoutMs: 500, graceMs: 500 })
  t.ok(result.fail > 0)
  t.match(result.lines.join('\n'), /took longer than 0.5 s/)
})

t.test('an interrupted file ends together with the processes that it started', async (t) => {
  const folder = t.testdir({})
  const test = new TestFile()
  const result = run(t, `
    import { spawn } from 'node:child_process'
    import { writeFileSync } from 'node:fs'
    const child = spawn(process.execPath, ['-e', 'process.on("SIGINT", () => {}); setInterval(() => {}, 1000); process.stdout.write("ready")'], { stdio: ['ignore', 'pipe', 'inherit'] })
    child.stdout.once('data', () => { writeFileSync(${JSON.stringify(join(folder, 'pid'))}, String(child.pid)) })
    t.test('waits', async () => { await new Promise((resolve) => setTimeout(resolve, 60_000)) })`, { test, graceMs: 500 })
  await until(() => existsSync(join(folder, 'pid')))
  test.end('interrupted', 'SIGINT')
  t.match((await result).lines.join('\n'), /^failed: interrupted$/m)
  const pid = readFileSync(join(folder, 'pid'), 'utf8')
  await until(() => !existsSync(`/proc/${pid}`) || /^State:\sZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')))
})

async function run (t: Test, source: string, { test = new TestFile(), timeoutMs = 60_000, graceMs = 1_000, niceness = 0 } = {}) {
  const file = join(t.testdir({}), 'file.test.ts')
  const text = `import t from 'tap'\n${source}\n`
  writeFileSync(file, text)
  // Here, where the compiler is loaded once: what is refused is refused there too.
  await strip(text, file).catch(() => {})
  return await test.run(file, { cwd: t.testdirName, env: process.env, nodeOptions, timeoutMs, graceMs, niceness })
}
