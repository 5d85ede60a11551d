import { readFileSync } from 'node:fs'
import t from 'tap'
import { scenarios } from '../../bench/scenarios.ts'
import { Child } from '../support/child.ts'
import { isLong } from '../support/long.ts'

t.test('the page has a place for each scenario, with the figures of a run in it', async (t) => {
  const page = readFileSync(new URL('../../bench/README.md', import.meta.url), 'utf8')
  for (const name of Object.keys(scenarios)) {
    const [, section = ''] = new RegExp(`<!-- ${name} -->\n([^]*)<!-- /${name} -->`).exec(page) ?? []
    t.match(section, /^### /, `${name} has been measured`)
    t.match(section, /\n\d+ x .*Node v.*; \d{4}-\d\d-\d\d; commit [0-9a-f]{7,}; /, `${name} says where, when and of what`)
  }
  t.end()
})

t.test('in small it runs to its end: a real process, real requests, a table, and an exit of 0', { timeout: 240_000 }, async (t) => {
  // The one that needs the least of the processors. Those that load them run in the long form.
  const child = new Child(t, { file: 'bench/run.ts', args: ['--only', 'list-sizes', '--shrink', '1000000', '--generations', '1', '--rounds', '1', '--seconds', '1', '--warm-up', '0', '--this-node'] })
  t.equal(await child.ended(), 0, child.stderr)
  t.match(child.stdout, /^### .*\n/)
  t.match(child.stdout, /^\| keys in the workspace \| active: p50, ms /m)
  t.equal(child.stdout.match(/^\| 50( \| [\d.,]+){8} \|$/gm)?.length, 5, 'five sizes, each 50 keys in small')
  t.notMatch(child.stdout, /NaN|undefined/)
})

t.test('so does one that loads both processors', { skip: isLong ? false : 'npm run test:long', timeout: 240_000 }, async (t) => {
  const child = new Child(t, { file: 'bench/run.ts', args: ['--only', 'many-keys', '--shrink', '200', '--generations', '1', '--rounds', '1', '--seconds', '1', '--warm-up', '0', '--this-node'] })
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
