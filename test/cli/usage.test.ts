import t from 'tap'
import { runCli } from './run-cli.ts'

const create = ['keys', 'create', '--workspace', 'acme', '--name', 'laptop', '--scope', 'mcp:read']

t.test('--version prints the version of the package', async (t) => {
  t.match(await runCli(['--version'], {}), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/, stderr: '' })
})

t.test('what no key can have is a mistake of the command line, not of the database', async (t) => {
  for (const flags of [['--expires', '0000-01-01'], ['--expires', '999999w'], ['--metadata', '__proto__=x'], ['--owner', '..']]) {
    const { code, stdout, stderr } = await runCli([...create, ...flags], { DATABASE_URL: 'postgres://someone@127.0.0.1:1/nowhere' })
    t.equal(code, 2, flags.join(' '))
    t.equal(stdout, '')
    t.notMatch(stderr, /DATABASE_URL/)
  }
})

t.test('a name of metadata that is given twice is refused, as one of both values would be dropped', async (t) => {
  for (const flags of [['--metadata', 'a=1', 'a=2'], ['--metadata', 'a=1', '--metadata', 'a=1']]) {
    t.match(await runCli([...create, ...flags], { DATABASE_URL: 'postgres://someone@127.0.0.1:1/nowhere' }), { code: 2, stdout: '', stderr: /This name was given before/ }, flags.join(' '))
  }
})
