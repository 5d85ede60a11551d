import { test } from 'tap'
import { messageOutline, readMessages } from '../../../src/mcp/protocol/message.ts'
import { readStrictJson } from '../../../src/mcp/protocol/strict-json.ts'
import { knownMethod } from '../../../src/mcp/protocol/methods.ts'
import { readPolicies, silentPolicy, type UpstreamPolicy } from '../../../src/mcp/protocol/policy.ts'
import { neededScope, toolScope } from '../../../src/mcp/protocol/tool-scope.ts'

const policy = (upstream: unknown): UpstreamPolicy =>
  readPolicies(Buffer.from(JSON.stringify({ upstreams: { crm: upstream } })), ['crm']).get('crm') ?? silentPolicy
const none = new Set<string>()
const scopeOf = (messages: unknown, ownSession = false) => neededScope(readMessages(readStrictJson(Buffer.from(JSON.stringify(messages)), messageOutline)).messages, {
  scopeOfTool: (tool) => tool === 'get' ? 'mcp:read' : 'mcp:write', ownSession
})
const rpc = (method: string, params = {}) => ({ jsonrpc: '2.0', id: 1, method, params })

test('the methods that read are these, in these letters; any other writes', async (t) => {
  const reading = ['initialize', 'ping', 'server/discover', 'tools/list', 'resources/list', 'resources/templates/list', 'resources/subscribe',
    'resources/unsubscribe', 'prompts/list', 'completion/complete', 'logging/setLevel', 'subscriptions/listen', 'tasks/list', 'tasks/result']
  for (const method of reading) t.equal(scopeOf(rpc(method)), 'mcp:read', method)
  t.equal(scopeOf(rpc('resources/read', { uri: 'a:b' })), 'mcp:read')
  t.equal(scopeOf(rpc('prompts/get', { name: 'p' })), 'mcp:read')
  t.equal(scopeOf(rpc('tasks/get', { taskId: 'p' })), 'mcp:read')
  for (const method of ['Tools/list', 'tools/list ', 'tools/call2', 'TOOLS/CALL', 'acme/do', '', 'tools\\/list', 'notifications/other', 'toString']) {
    t.equal(scopeOf(rpc(method)), 'mcp:write', method)
    t.equal(knownMethod(method), 'other')
  }
  for (const method of ['tasks/cancel', 'tasks/update']) t.equal(scopeOf(rpc(method, { taskId: 'p' })), 'mcp:write')
})

test('a call needs what its tool needs, as a request and as a notification', async (t) => {
  t.equal(scopeOf(rpc('tools/call', { name: 'get' })), 'mcp:read')
  t.equal(scopeOf(rpc('tools/call', { name: 'set' })), 'mcp:write')
  t.equal(scopeOf({ jsonrpc: '2.0', method: 'tools/call', params: { name: 'set' } }), 'mcp:write')
})

test('one writing call makes its whole batch write', async (t) => {
  t.equal(scopeOf([rpc('ping'), rpc('tools/call', { name: 'get' })]), 'mcp:read')
  t.equal(scopeOf([rpc('ping'), rpc('tools/call', { name: 'set' }), rpc('ping')]), 'mcp:write')
})

test('an answer reads in the session of its own key and writes anywhere else', async (t) => {
  t.equal(scopeOf({ jsonrpc: '2.0', id: 1, result: {} }, true), 'mcp:read')
  t.equal(scopeOf({ jsonrpc: '2.0', id: 1, result: {} }, false), 'mcp:write')
})

test('the policy comes first, then a trusted hint; unknown means write', async (t) => {
  const hints = new Set(['look', 'look_twice'])
  const trusted = policy({ trust_read_only_hints: true, tools: { 'get_*': 'mcp:read', get_secret: 'mcp:write', look_twice: 'mcp:write' } })
  t.equal(toolScope('get_note', trusted, none), 'mcp:read')
  t.equal(toolScope('get_secret', trusted, none), 'mcp:write')
  t.equal(toolScope('look', trusted, hints), 'mcp:read')
  t.equal(toolScope('look_twice', trusted, hints), 'mcp:write')
  t.equal(toolScope('delete', trusted, hints), 'mcp:write')
  t.equal(toolScope('look', policy({}), hints), 'mcp:write')
  t.equal(toolScope('look', silentPolicy, hints), 'mcp:write')
})

test('an exact name wins over patterns, and among patterns the stricter, in any order', async (t) => {
  for (const tools of [{ '*': 'mcp:read', '*_delete': 'mcp:write' }, { '*_delete': 'mcp:write', '*': 'mcp:read' }]) {
    t.equal(policy({ tools }).scopeOf('note_delete'), 'mcp:write')
    t.equal(policy({ tools }).scopeOf('note'), 'mcp:read')
    t.equal(policy({ tools: { ...tools, soft_delete: 'mcp:read' } }).scopeOf('soft_delete'), 'mcp:read')
  }
})

test('a pattern reaches only names as MCP recommends them', async (t) => {
  const all = policy({ tools: { '*': 'mcp:read', 'odd name': 'mcp:read' } })
  for (const name of ['', 'a b', 'a\u0000', 'a/../b', 'a\n', 'é', ' a', 'a'.repeat(129), 'a;b']) t.equal(all.scopeOf(name), undefined, JSON.stringify(name))
  t.equal(all.scopeOf('a'.repeat(128)), 'mcp:read')
  t.equal(all.scopeOf('odd name'), 'mcp:read')
  t.equal(policy({ tools: { 'get.*': 'mcp:read' } }).scopeOf('getXnote'), undefined)
})

const refusedFiles: readonly { when: string, file: unknown, says: RegExp }[] = [
  { when: 'it is no JSON', file: 'upstreams:\n  crm: {}', says: /not JSON/ },
  { when: 'a tool stands there twice', file: '{"upstreams":{"crm":{"tools":{"a":"mcp:read","a":"mcp:write"}}}}', says: /same member twice/ },
  { when: 'it is an array', file: [], says: /^\/: must be an object/ },
  { when: 'it has no upstreams', file: {}, says: /^\/upstreams: must be an object/ },
  { when: 'an upstream is not configured', file: { upstreams: { crn: {} } }, says: /^\/upstreams\/crn: no upstream has this name. Configured: crm/ },
  { when: 'a setting is misspelt', file: { upstreams: { crm: { trust_hints: true } } }, says: /^\/upstreams\/crm\/trust_hints: unknown field/ },
  { when: 'trust is no boolean', file: { upstreams: { crm: { trust_read_only_hints: 'yes' } } }, says: /true or false/ },
  { when: 'a scope is unknown', file: { upstreams: { crm: { tools: { a: 'read' } } } }, says: /"mcp:read" or "mcp:write"/ },
  { when: 'a name begins with a space', file: { upstreams: { crm: { tools: { ' a': 'mcp:read' } } } }, says: /printable ASCII/ }
]

for (const { when, file, says } of refusedFiles) {
  test(`a policy file is refused, with the place and what belongs there, when ${when}`, async (t) => {
    t.throws(() => readPolicies(Buffer.from(typeof file === 'string' ? file : JSON.stringify(file)), ['crm']), { name: 'PolicyRefused', message: says })
  })
}

test('an exact entry that writes holds for every spelling that some reader takes for it', async (t) => {
  const { scopeOf } = policy({ tools: { 'get_*': 'mcp:read', get_secrets: 'mcp:write', '*_all': 'mcp:write' } })
  for (const tool of ['get_secrets', 'get_Secrets', 'GET_SECRETS', 'get-secrets', 'get_se_crets', 'get_ALL']) t.not(scopeOf(tool), 'mcp:read', tool)
  t.equal(scopeOf('get_secret'), 'mcp:read')
})
