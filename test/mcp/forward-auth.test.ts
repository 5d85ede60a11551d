import { test } from 'tap'
import { setupApp } from '../routes/setup.ts'

const modern = (method: string, name?: string) => ({ 'mcp-protocol-version': '2026-07-28', 'mcp-method': method, ...(name === undefined ? {} : { 'mcp-name': name }) })

const asked: ReadonlyArray<{ when: string, headers: Record<string, string | string[]>, path?: string, needs: 'mcp:read' | 'mcp:write' }> = [
  { when: 'a list', headers: modern('tools/list'), needs: 'mcp:read' },
  { when: 'a tool that the policy lets read', headers: modern('tools/call', 'get_a'), needs: 'mcp:read' },
  { when: 'the same in Base64', headers: modern('tools/call', '=?base64?Z2V0X2E=?='), needs: 'mcp:read' },
  { when: 'a tool of which nothing is known', headers: modern('tools/call', 'set_a'), needs: 'mcp:write' },
  { when: 'a call without a name', headers: modern('tools/call'), needs: 'mcp:write' },
  { when: 'a name in broken Base64', headers: modern('tools/call', '=?base64?Z2V0X2E?='), needs: 'mcp:write' },
  { when: 'a method in another case', headers: modern('Tools/List'), needs: 'mcp:write' },
  { when: 'a method that came twice', headers: { ...modern('tools/list'), 'mcp-method': ['tools/list', 'tools/list'] }, needs: 'mcp:write' },
  { when: 'an older version', headers: { ...modern('tools/list'), 'mcp-protocol-version': '2025-11-25' }, needs: 'mcp:write' },
  { when: 'no version', headers: { 'mcp-method': 'tools/list' }, needs: 'mcp:write' },
  { when: 'no MCP headers', headers: {}, needs: 'mcp:write' },
  { when: 'another upstream by its name', headers: modern('tools/call', 'look'), path: '/forward-auth?mcp=crm', needs: 'mcp:read' },
  { when: 'that tool at the first upstream', headers: modern('tools/call', 'look'), needs: 'mcp:write' },
  { when: 'an upstream that is not there', headers: modern('tools/call', 'look'), path: '/forward-auth?mcp=erp', needs: 'mcp:write' },
  { when: 'a client that adds an upstream of its choice', headers: modern('tools/call', 'look'), path: '/forward-auth/-?mcp=1&path=/&mcp=crm', needs: 'mcp:write' },
  { when: 'a scope beside it', headers: modern('tools/list'), path: '/forward-auth?mcp=1&scope=mcp:write', needs: 'mcp:write' }
]

test('forward-auth for MCP', async (t) => {
  const dir = t.testdir({ 'policy.json': '{"upstreams":{"default":{"tools":{"get_*":"mcp:read"}},"crm":{"tools":{"look":"mcp:read"}}}}' })
  const { create, app } = await setupApp(t, { environment: { MCP_UPSTREAM_URL: 'http://127.0.0.1:9/', MCP_UPSTREAMS: 'crm=http://127.0.0.1:9/', MCP_POLICY_FILE: `${dir}/policy.json` } })
  const read = await create({ scope: 'mcp:read' })
  const write = await create({ scope: 'mcp:write' })
  for (const { when, headers, path = '/forward-auth?mcp=1', needs } of asked) {
    await t.test(`${when} needs ${needs}`, async (t) => {
      const ask = async (token: string) => (await app.inject({ method: 'POST', url: path, headers: { ...headers, authorization: `Bearer ${token}` } })).statusCode
      t.equal(await ask(read.token), needs === 'mcp:read' ? 200 : 403)
      t.equal(await ask(write.token), 200)
    })
  }
})

test('forward-auth for MCP without a gateway takes every tool to write', async (t) => {
  const { create, app } = await setupApp(t)
  const { token } = await create({ scope: 'mcp:read' })
  const ask = async (headers: Record<string, string>) => (await app.inject({ method: 'POST', url: '/forward-auth?mcp=1', headers: { ...headers, authorization: `Bearer ${token}` } })).statusCode
  t.equal(await ask(modern('tools/call', 'get_a')), 403)
  t.equal(await ask(modern('resources/read', 'a:b')), 200)
})
