import { writeFileSync } from 'node:fs'
import { test } from 'tap'
import { silentLogger } from '../../src/core/logger.ts'
import { ReadOnlyTools } from '../../src/mcp/read-only-tools.ts'
import { PolicyFile } from '../../src/mcp/policy-file.ts'
import { until } from '../support/servers.ts'

const file = (tools: object) => JSON.stringify({ upstreams: { crm: { tools } } })

test('a policy that changes is in force without a restart, and one that turns bad leaves the last good one', async (t) => {
  const path = `${t.testdir({ 'policy.json': file({ 'get_*': 'mcp:read' }) })}/policy.json`
  const errors: string[] = []
  const policies = new PolicyFile({ path, upstreams: ['crm'], lookEveryMs: 20, log: { ...silentLogger, error: (fields) => { errors.push(JSON.stringify(fields)) } } })
  t.teardown(() => { policies.close() })
  t.equal(policies.of('crm').scopeOf('get_a'), 'mcp:read')
  t.equal(policies.of('erp').scopeOf('get_a'), undefined)
  writeFileSync(path, file({ 'get_*': 'mcp:write' }))
  await until(() => policies.of('crm').scopeOf('get_a') === 'mcp:write')
  writeFileSync(path, file({ 'get_*': 'everything' }))
  await until(() => errors.length > 0)
  t.match(errors[0], /crm\/tools\/get_\*: .*mcp:read.* belongs here/)
  t.equal(policies.of('crm').scopeOf('get_a'), 'mcp:write')
  writeFileSync(path, file({ 'get_*': 'mcp:read' }))
  await until(() => policies.of('crm').scopeOf('get_a') === 'mcp:read')
})

function catalog (answers: Array<readonly string[] | Error>) {
  const clock = { now: 0, monotonicMs: () => clock.now }
  let asked = 0
  const hints = new ReadOnlyTools({
    upstream: 'crm',
    clock,
    log: silentLogger,
    readHints: async () => {
      const answer = answers[Math.min(asked++, answers.length - 1)] ?? []
      if (answer instanceof Error) throw answer
      return new Set(answer)
    }
  })
  return { hints, clock, asked: () => asked }
}

test('hints are asked for once, and again after a minute without keeping anyone waiting', async (t) => {
  const { hints, clock, asked } = catalog([['get'], ['get', 'look']])
  t.notOk(hints.has('get'), 'unknown before the first answer')
  await Promise.all([hints.settled(['get']), hints.settled(['get'])])
  t.ok(hints.has('get'))
  await hints.settled(['get'])
  t.equal(asked(), 1)
  clock.now = 61_000
  await hints.settled(['get'])
  t.ok(hints.has('get'))
  await until(() => hints.has('look'))
  t.equal(asked(), 2)
})

test('an unknown tool is asked about, but not more often than every five seconds', async (t) => {
  const { hints, clock, asked } = catalog([['get'], ['get', 'new']])
  await hints.settled(['get'])
  clock.now = 1000
  for (let i = 0; i < 10; i++) await hints.settled(['new'])
  t.equal(asked(), 1)
  t.notOk(hints.has('new'))
  clock.now = 5000
  await hints.settled(['new'])
  t.ok(hints.has('new'))
})

test('a tool that no longer only reads loses its hint, and all do when the upstream has not told for ten minutes', async (t) => {
  const { hints, clock } = catalog([['get', 'look'], ['get'], new Error('down')])
  await hints.settled(['get', 'look'])
  clock.now = 61_000
  await hints.settled(['look'])
  await until(() => !hints.has('look'))
  clock.now = 500_000
  await hints.settled(['get'])
  t.ok(hints.has('get'))
  clock.now = 700_000
  await hints.settled(['get'])
  t.notOk(hints.has('get'))
})
