import { writeFileSync } from 'node:fs'
import { test } from 'tap'
import { silentLogger } from '../../src/core/logger.ts'
import { PolicyFile } from '../../src/mcp/policy-file.ts'
import { listReadOnlyTools, ReadOnlyTools } from '../../src/mcp/read-only-tools.ts'
import { recordingUpstream } from '../support/recording-upstream.ts'
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
  t.match(errors[0], /crm\/tools\/get_\*: must be .*mcp:read/)
  t.equal(policies.of('crm').scopeOf('get_a'), 'mcp:write')
  writeFileSync(path, file({ 'get_*': 'mcp:read' }))
  await until(() => policies.of('crm').scopeOf('get_a') === 'mcp:read')
})

function readOnlyTools (answers: Array<readonly string[] | Error>) {
  const clock = { now: 0, monotonicMs: () => clock.now }
  let asked = 0
  const tools = new ReadOnlyTools({
    upstream: 'crm',
    clock,
    log: silentLogger,
    ask: async () => {
      const answer = answers[Math.min(asked++, answers.length - 1)] ?? []
      if (answer instanceof Error) throw answer
      return new Set(answer)
    }
  })
  return { tools, clock, asked: () => asked }
}

test('an upstream is asked once for its read-only tools, and again before the minute is over without keeping anyone waiting', async (t) => {
  const { tools, clock, asked } = readOnlyTools([['get'], ['get', 'look']])
  t.notOk(tools.known.has('get'), 'unknown before the first answer')
  await Promise.all([tools.settled(['get']), tools.settled(['get'])])
  t.ok(tools.known.has('get'))
  await tools.settled(['get'])
  t.equal(asked(), 1)
  clock.now = 45_000
  const settled = tools.settled(['get'])
  t.ok(tools.known.has('get'))
  await settled
  await until(() => tools.known.has('look'))
  t.equal(asked(), 2)
})

test('an unknown tool is asked about, but not more often than every five seconds', async (t) => {
  const { tools, clock, asked } = readOnlyTools([['get'], ['get', 'new']])
  await tools.settled(['get'])
  clock.now = 1000
  for (let i = 0; i < 10; i++) await tools.settled(['new'])
  t.equal(asked(), 1)
  t.notOk(tools.known.has('new'))
  clock.now = 5000
  await tools.settled(['new'])
  t.ok(tools.known.has('new'))
})

test('after a minute without a question, a tool that has stopped to be read-only does not pass once more', async (t) => {
  const { tools, clock } = readOnlyTools([['get', 'look'], ['get']])
  await tools.settled(['look'])
  clock.now = 75_000
  t.notOk(tools.known.has('look'), 'what is older than a minute decides nothing')
  await tools.settled(['look'])
  t.notOk(tools.known.has('look'))
  t.ok(tools.known.has('get'))
})

test('while an upstream does not say which of its tools only read, after a minute all of them write; then it says so again', async (t) => {
  const { tools, clock } = readOnlyTools([['get'], new Error('down'), ['get']])
  await tools.settled(['get'])
  clock.now = 61_000
  await tools.settled(['get'])
  t.notOk(tools.known.has('get'))
  clock.now = 67_000
  await tools.settled(['get'])
  t.ok(tools.known.has('get'))
})

test('a list of tools that never ends, or is too long, is given up, and no tool of it is read-only', async (t) => {
  const list = (count: number, more = {}) => ({ ...more, tools: Array.from({ length: count }, (_, i) => ({ name: `get_${i}`, description: 'x'.repeat(100), inputSchema: { type: 'object' }, annotations: { readOnlyHint: true } })) })
  let page = 0
  const results: Readonly<Record<string, () => object>> = { short: () => list(10), long: () => list(40_000), endless: () => list(1000, { nextCursor: `page ${++page}` }) }
  const upstream = await recordingUpstream(t, ({ method, url, body }, response) => {
    if (method !== 'POST') return response.writeHead(405).end()
    const { id, method: asked } = JSON.parse(body) as { id: number, method: string }
    if (id === undefined) return response.writeHead(202).end()
    const result = asked === 'initialize' ? { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 'x', version: '1' } } : asked === 'tools/list' ? results[url.slice(1)]?.() : undefined
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ jsonrpc: '2.0', id, ...result === undefined ? { error: { code: -32601, message: 'Method not found' } } : { result } }))
  })
  const ask = async (name: string) => await listReadOnlyTools({ url: new URL(`/${name}`, upstream.url), headers: {}, signal: AbortSignal.timeout(20_000) })
  t.equal((await ask('short')).size, 10)
  await t.rejects(ask('long'))
  await t.rejects(ask('endless'))
  t.ok(page > 1 && page < 100, `all pages together count: ${page}`)
})

test('an upstream that never ends a session delays no answer about its tools, and its session is given up', async (t) => {
  const state = { given: 0, deleted: 0 }
  const upstream = await recordingUpstream(t, ({ method, body }, response) => {
    if (method === 'DELETE') {
      state.deleted++
      response.once('close', () => { state.given++ })
      return
    }
    if (method !== 'POST') return response.writeHead(405).end()
    const { id, method: asked } = JSON.parse(body) as { id: number, method: string }
    if (id === undefined) return response.writeHead(202).end()
    const results: Readonly<Record<string, object>> = {
      initialize: { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 'x', version: '1' } },
      'tools/list': { tools: [{ name: 'get', inputSchema: { type: 'object' }, annotations: { readOnlyHint: true } }] }
    }
    const result = results[asked]
    response.setHeader('mcp-session-id', 's').setHeader('content-type', 'application/json').end(JSON.stringify({ jsonrpc: '2.0', id, ...result === undefined ? { error: { code: -32601, message: 'Method not found' } } : { result } }))
  })
  const asking = new AbortController()
  t.strictSame([...await listReadOnlyTools({ url: new URL(upstream.url), headers: {}, signal: asking.signal })], ['get'])
  await until(() => state.deleted === 1)
  t.equal(state.given, 0)
  asking.abort()
  await until(() => state.given === 1)
})
