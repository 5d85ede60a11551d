import { mkdirSync } from 'node:fs'
import { test, type Test } from 'tap'
import { Child } from '../../support/child.ts'
import { startGateway } from '../../support/gateway.ts'
import { newerNode } from '../../support/newer-node.ts'
import { freePort } from '../../support/server-process.ts'
import { passes, runSuite, withKey, type Scenario, type SuiteOptions } from './suite.ts'

/*
 * Whatever passes against a server directly passes through the gateway too, with a key that writes and, where the policy lets its
 * tools read, with one that reads. `npm run conformance` is the whole: both keys with each revision, more revisions, the stable suite,
 * server-everything, which was not written for it, and a line for each scenario.
 */
const isWhole = process.env['CONFORMANCE'] === 'whole'

interface Run extends Pick<SuiteOptions, 'suite' | 'args'> {
  readonly what: string
  readonly server: string
  /** How many scenarios pass directly: less would prove less. */
  readonly passing: number
  /** The key with which it is run when it is not the whole. Which scopes a policy asks for is the matter of other tests. */
  readonly key?: 'writing' | 'reading'
}

const alpha = '@modelcontextprotocol/conformance'
const [sessions, modern] = ['test/mcp/conformance/sessions-server.ts', 'test/mcp/conformance/modern-server.ts']
const everything = 'node_modules/@modelcontextprotocol/server-everything/dist/index.js'

const runs: readonly Run[] = [
  { what: '2025-11-25', suite: alpha, args: ['--suite', 'all', '--spec-version', '2025-11-25'], server: sessions, passing: 33, key: 'writing' },
  { what: '2026-07-28', suite: alpha, args: ['--requirements', '2026-07-28'], server: modern, passing: 39, key: 'reading' }
]

const wholeRuns: readonly Run[] = [
  { what: '2025-06-18', suite: alpha, args: ['--suite', 'all', '--spec-version', '2025-06-18'], server: sessions, passing: 27 },
  { what: '2025-11-25, by the newest suite that is no alpha', suite: 'conformance-stable', args: ['--suite', 'all'], server: sessions, passing: 31 },
  { what: '2025-11-25, a server that also speaks the newer protocol', suite: alpha, args: ['--suite', 'all', '--spec-version', '2025-11-25'], server: modern, passing: 23 },
  { what: '2025-11-25, server-everything', suite: alpha, args: ['--suite', 'all', '--spec-version', '2025-11-25'], server: everything, passing: 11 }
]

test('what passes the conformance suite directly passes it through the gateway, without an origin list', async (t) => {
  const node = await newerNode()
  if (node === undefined) {
    t.fail('the suite needs Node 22 or later: npm exec --package=node@24 -- node')
    return
  }
  for (const run of isWhole ? [...runs, ...wholeRuns] : runs) {
    await t.test(run.what, async (t) => {
      const urls = await serve(t, run)
      const dir = t.testdir({})
      const results = Object.fromEntries(await Promise.all(Object.entries(urls).map(async ([way, url]) => {
        mkdirSync(`${dir}/${way}`)
        return [way, await runSuite(url, `${dir}/${way}`, { node, ...run })] as const
      })))
      const { direct = new Map<string, Scenario>(), ...through } = results
      t.equal(Object.keys(through).length, isWhole ? 2 : 1)
      t.comment(`${[...direct.values()].filter(passes).length} of ${direct.size} scenarios pass directly`)
      t.ok([...direct.values()].filter(passes).length >= run.passing, 'the server is as good as it was')
      for (const [scenario, checks] of direct) {
        for (const [way, found] of Object.entries(through)) {
          let its = found.get(scenario) ?? []
          // Some scenarios listen for no more than half a second, which a busy machine can miss.
          for (let again = 0; again < 2 && isWorse(its, checks); again++) {
            mkdirSync(`${dir}/${way}-${again}-${scenario}`)
            its = (await runSuite(urls[way] ?? '', `${dir}/${way}-${again}-${scenario}`, { node, ...run, args: onlyOne(run, scenario) })).get(scenario) ?? []
          }
          t.notOk(isWorse(its, checks), `${scenario}, ${way}: ${told(its)}, directly: ${told(checks)}`)
          if (isWhole) t.comment(`${run.what} | ${scenario} | ${told(checks)} | ${way}: ${told(its)}`)
        }
      }
    })
  }
})

async function serve (t: Test, { server, key }: Run): Promise<Record<string, string>> {
  const child = new Child(t, { file: server, args: server === everything ? ['streamableHttp'] : [], env: { PORT: String(await freePort()) } })
  const port = (await child.printed(/listening on .*?(\d{4,5})/i))[1]
  const upstream = `http://127.0.0.1:${port}/mcp`
  const policy = t.testdir({ 'policy.json': '{"upstreams":{"default":{"tools":{"*":"mcp:read"}}}}' })
  const gateway = await startGateway(t, { upstreams: upstream, policyFile: `${policy}/policy.json` })
  const urls: Record<string, string> = { direct: upstream }
  for (const [way, scope] of [['writing', 'mcp:write'], ['reading', 'mcp:read']] as const) {
    if (isWhole || way === key) urls[way] = await withKey(t, gateway.url, (await gateway.mint(scope)).token)
  }
  return urls
}

/** Whether a scenario that passes directly does not pass here, or fewer of its checks do. */
function isWorse (its: Scenario, direct: Scenario): boolean {
  const good = (scenario: Scenario) => scenario.filter(([, status]) => status === 'SUCCESS').length
  return (passes(direct) && !passes(its)) || good(its) < good(direct)
}

function told (scenario: Scenario): string {
  const bad = scenario.filter(([, status]) => status === 'FAILURE' || status === 'WARNING').map(([id, status]) => `${id} ${status}`)
  return `${passes(scenario) ? 'passes' : 'fails'} (${scenario.length})${bad.length === 0 ? '' : `: ${bad.join(', ')}`}`
}

function onlyOne ({ suite, args, what }: Run, scenario: string): string[] {
  const version = suite === alpha ? ['--spec-version', args.at(-1) ?? what] : []
  return ['--scenario', scenario, ...version]
}
