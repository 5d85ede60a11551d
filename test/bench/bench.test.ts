import { readFileSync } from 'node:fs'
import t from 'tap'
import { scenarios } from '../../bench/scenarios.ts'
import { Child } from '../support/child.ts'
import { isLong } from '../support/long.ts'

// Three numbers of keys, or one: each costs three processes, and a second of both processors for each of these.
const shrink = isLong ? '200' : '1000000'

t.test('the page has a place for each scenario, with the figures of a run in it', async (t) => {
  const page = readFileSync(new URL('../../bench/README.md', import.meta.url), 'utf8')
  for (const name of Object.keys(scenarios)) {
    const [, section = ''] = new RegExp(`<!-- ${name} -->\n([^]*)<!-- /${name} -->`).exec(page) ?? []
    t.match(section, /^### /, `${name} has been measured`)
    t.match(section, /\n\d+ x .*Node v.*; \d{4}-\d\d-\d\d; commit [0-9a-f]{7,}; /, `${name} says where, when and of what`)
  }
  t.end()
})

t.test('in small it runs to its end: real processes, real load, a table, and an exit of 0', { timeout: 240_000 }, async (t) => {
  const child = new Child(t, { file: 'bench/run.ts', args: ['--only', 'many-keys', '--shrink', shrink, '--generations', '1', '--rounds', '1', '--seconds', '1', '--warm-up', '0', '--this-node'] })
  t.equal(await child.ended(), 0, child.stderr)
  t.match(child.stdout, /^### .*\n/)
  for (const row of [/^\| bare Fastify.* \| \d[\d,.]* /m, /plugin\*{0,2}.* \| \d[\d,.]* /, /forward-auth.* \| \d[\d,.]* /]) t.match(child.stdout, row)
  t.notMatch(child.stdout, /NaN|undefined/)
})

t.test('so does each scenario', { skip: isLong ? false : 'npm run test:long', timeout: 1_800_000 }, async (t) => {
  for (const name of Object.keys(scenarios)) {
    const child = new Child(t, { file: 'bench/run.ts', args: ['--only', name, '--shrink', '1000', '--generations', '1', '--rounds', '1', '--seconds', '1', '--warm-up', '0', '--this-node'] })
    t.equal(await child.ended(), 0, `${name}: ${child.stderr.slice(-1000)}`)
    t.match(child.stdout, /^### .*\n/, name)
  }
})

t.test('a scenario that there is not is refused with the names of those that there are', async (t) => {
  const child = new Child(t, { file: 'bench/run.ts', args: ['--only', 'everything', '--this-node'] })
  t.equal(await child.ended(), 1)
  t.match(child.stderr, /There is no scenario everything\. There are: .*throughput, cold, /)
})
