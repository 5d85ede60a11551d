import { existsSync } from 'node:fs'
import { dirname, relative } from 'node:path'
import t, { type Test } from 'tap'
import { joinPackages } from './joined-packages.ts'
import { joinTests } from './joined-tests.ts'
import { TestFile } from './test-file.ts'

const packages = await joinPackages()

/** Files of one folder of the project, the first one joined and run without a loader. */
async function run (t: Test, files: Readonly<Record<string, string>>) {
  const [name = ''] = Object.keys(files)
  const test = relative('.', `${t.testdir(files)}/${name}`)
  const joined = await joinTests([test], packages)
  t.teardown(() => { joined.remove() })
  const program = joined.fileOf(test)
  const result = await new TestFile().run(test, { cwd: process.cwd(), env: process.env, program, nodeOptions: [], timeoutMs: 60_000 })
  return { ...result, program, joined, lines: (await joined.withSources(test, result.lines)).join('\n') }
}

/** All test files of one folder of the project, as a group. */
async function runGroup (t: Test, files: Readonly<Record<string, string>>) {
  const folder = relative('.', t.testdir(files))
  const group = await joinTests([], packages, { both: Object.keys(files).filter((name) => name.endsWith('.test.ts')).map((name) => `${folder}/${name}`) })
  t.teardown(() => { group.remove() })
  const result = await new TestFile().run('both', { cwd: process.cwd(), env: process.env, program: group.fileOf('both'), nodeOptions: [], timeoutMs: 60_000 })
  return { group, result, lines: (await group.withSources('both', result.lines)).join('\n') }
}

t.test('a joined file passes with what it imports, which finds its files where the sources are', async (t) => {
  const { pass, fail, lines, program, joined } = await run(t, {
    'a.test.ts': "import t from 'tap'\nimport { beside, type Kind } from './beside.ts'\nconst kind: Kind = 'one'\nt.match(beside, 'found')\nt.equal(kind, 'one')\n",
    'beside.ts': "import { readFileSync } from 'node:fs'\nexport type Kind = 'one'\nexport const beside: string = readFileSync(new URL('note.txt', import.meta.url), 'utf8')\n",
    'note.txt': 'found'
  })
  t.strictSame({ pass, fail }, { pass: 2, fail: 0 }, lines)
  t.ok(program !== undefined && existsSync(program))
  joined.remove()
  t.notOk(existsSync(dirname(program!)))
})

t.test('what fails in a joined file is told with its places in the sources', async (t) => {
  const { fail, lines, program } = await run(t, {
    'a.test.ts': "import t from 'tap'\nimport { thrower } from './beside.ts'\n\ninterface Away { readonly what: string }\n\nt.test('throws', async () => { thrower({ what: 'boom' } satisfies Away) })\nt.equal(1, 2)\n",
    'beside.ts': 'type Thrown = { what: string }\n\nexport function thrower (\n  { what }: Thrown\n): void {\n  throw new Error(what)\n}\n'
  })
  t.equal(fail, 2)
  t.match(lines, /beside\.ts:6:9/)
  t.match(lines, /a\.test\.ts:6:/)
  t.match(lines, /a\.test\.ts:7:3/)
  t.notMatch(lines, relative('.', program!))
})

for (const [what, reached] of [['an error that nobody catches', 'setTimeout(() => { throw new Error(message) }, 5)'], ['a rejection that nobody handles', 'setTimeout(() => { Promise.reject(new Error(message)) }, 5)']]) {
  t.test(`${what} fails the innermost test that runs, also beside tests that wait for their turn, and those after it run`, async (t) => {
    const { pass, fail, lines } = await run(t, {
      'a.test.ts': `import t from 'tap'
const wait = async () => { await new Promise((resolve) => setTimeout(resolve, 50)) }
const late = (message: string) => { ${reached} }
t.test('before', async (t) => { await wait(); t.pass('passes') })
t.test('outer', async (t) => {
  t.test('first', async (t) => { await wait(); t.pass('passes') })
  t.test('inner', async () => { late('of the inner one'); await wait() })
  t.test('last', async (t) => { await wait(); t.pass('passes') })
})
t.test('by itself', async () => { late('of the other one'); await wait() })
t.test('after', async (t) => { t.pass('passes') })
`
    })
    t.match(lines, /^failed: outer > inner > of the inner one$/m)
    t.match(lines, /^failed: by itself > of the other one$/m)
    // tap itself gives the one after a test that ended so the name of that test, with hooks and without.
    t.ok(pass >= 3 && fail >= 2, lines)
  })
}

t.test('an error that nobody catches and that belongs to no test fails the file', async (t) => {
  const { fail, lines } = await run(t, { 'a.test.ts': "import t from 'tap'\nt.pass('passes')\nsetTimeout(() => { throw new Error('of nobody') }, 5)\nawait new Promise((resolve) => setTimeout(resolve, 50))\n" })
  t.ok(fail > 0)
  t.match(lines, /of nobody/)
})

t.test('a file that cannot be joined is left as it is, to say itself what is wrong', async (t) => {
  const test = relative('.', `${t.testdir({ 'a.test.ts': "import './nothing.ts'\n" })}/a.test.ts`)
  const joined = await joinTests([test], packages)
  t.teardown(() => { joined.remove() })
  t.equal(joined.fileOf(test), undefined)
})

t.test('a file that changes sources at run time is left as it is', async (t) => {
  const joined = await joinTests(['test/core/token-memo.test.ts', 'test/core/token.test.ts'], packages)
  t.teardown(() => { joined.remove() })
  t.equal(joined.fileOf('test/core/token-memo.test.ts'), undefined)
  t.type(joined.fileOf('test/core/token.test.ts'), 'string')
})

t.test('the files of a group run in one process, one after another, each with what it leaves to the end of a file', async (t) => {
  const { group, result, lines } = await runGroup(t, {
    'a.test.ts': "import t from 'tap'\nimport { seen } from './beside.ts'\nt.teardown(() => { seen.push('a ended') })\nt.test('waits', async (t) => { await new Promise((resolve) => setTimeout(resolve, 50)); t.ok(seen.push('a')) })\n",
    'b.test.ts': "import { test, testdir } from 'tap'\nimport { seen } from './beside.ts'\ntest('comes after', async (t) => { t.strictSame(seen, ['a', 'a ended']); t.type(testdir, 'function') })\n",
    'beside.ts': 'export const seen: string[] = []\n'
  })
  t.strictSame([result.pass, result.fail], [3, 0], lines)
  t.equal(group.fileOf('nothing'), undefined)
})

t.test('what fails in a group is told with its file and its places in the sources, and the files after it run', async (t) => {
  const { result, lines } = await runGroup(t, {
    'a.test.ts': "import t from 'tap'\nimport { thrower } from './beside.ts'\n\ninterface Away { readonly what: string }\n\nt.test('throws', async () => { thrower({ what: 'boom' } satisfies Away) })\n",
    'b.test.ts': "import t from 'tap'\nimport { thrower } from './beside.ts'\nt.type(thrower, 'function')\n\nt.equal(1, 2)\n",
    'beside.ts': 'type Thrown = { what: string }\n\nexport function thrower (\n  { what }: Thrown\n): void {\n  throw new Error(what)\n}\n'
  })
  t.strictSame([result.pass, result.fail], [1, 2])
  t.match(lines, /failed: \S+a\.test\.ts > throws > boom/)
  t.match(lines, /beside\.ts:6:9/)
  t.match(lines, /a\.test\.ts:6:/)
  t.match(lines, /b\.test\.ts:5:3/)
})

t.test('of a group with a file that cannot be joined, each file runs by itself', async (t) => {
  const folder = relative('.', t.testdir({ 'a.test.ts': "import './nothing.ts'\n", 'b.test.ts': "import t from 'tap'\nt.pass()\n" }))
  const joined = await joinTests([], packages, { both: [`${folder}/a.test.ts`, `${folder}/b.test.ts`] })
  t.teardown(() => { joined.remove() })
  t.equal(joined.fileOf('both'), undefined)
})
