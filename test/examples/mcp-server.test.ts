import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { Client as EarlierClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as EarlierTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { startService } from '../proxies/service.ts'
import { freePort, ServerProcess } from '../support/server-process.ts'
import { freshDatabase, freshRedis, until } from '../support/servers.ts'

const example = fileURLToPath(new URL('../../examples/mcp-server/server.js', import.meta.url))

async function startExample (t: Test, env: Readonly<Record<string, string>>): Promise<{ url: URL, server: ServerProcess }> {
  const server = new ServerProcess({ name: 'mcp-server' })
  t.teardown(async () => { await server.remove() })
  const port = await freePort()
  const url = new URL(`http://127.0.0.1:${port}/mcp`)
  const file = join(server.dir, 'env')
  writeFileSync(file, Object.entries({ ...env, PORT: String(port) }).map(([name, value]) => `${name}="${value}"\n`).join(''), { mode: 0o600 })
  await server.start({
    command: process.execPath,
    args: [`--env-file=${file}`, example],
    ready: async () => (await fetch(url, { method: 'POST' })).status === 401
  })
  return { url, server }
}

async function setup (t: Test) {
  const env = { DATABASE_URL: await freshDatabase(t), REDIS_URL: await freshRedis(t) }
  const service = await startService(t, env)
  return { service, ...await startExample(t, env) }
}

interface McpClient {
  listTools (): Promise<{ tools: Array<{ name: string, annotations?: { readOnlyHint?: boolean | undefined } | undefined }> }>
  callTool (call: { name: string, arguments: Record<string, unknown> }): Promise<unknown>
  close (): Promise<void>
}

function headersOf (token: string) {
  return { requestInit: { headers: { Authorization: `Bearer ${token}` } } }
}

interface Generation {
  readonly name: string
  connect (url: URL, token: string): Promise<McpClient>
}

// Who is who: https://modelcontextprotocol.io/specification/versioning
const generations: readonly Generation[] = [
  {
    name: 'the official client 2.x, spec 2026-07-28',
    async connect (url, token) {
      const client = new Client({ name: 'test', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } })
      await client.connect(new StreamableHTTPClientTransport(url, headersOf(token)))
      if (client.getNegotiatedProtocolVersion() !== '2026-07-28') throw new Error('This was to be the newest protocol.')
      return client
    }
  },
  {
    name: 'the official client 2.x, as it comes',
    async connect (url, token) {
      const client = new Client({ name: 'test', version: '1.0.0' })
      await client.connect(new StreamableHTTPClientTransport(url, headersOf(token)))
      return client
    }
  },
  {
    name: 'the official client 1.x, spec 2025-11-25',
    async connect (url, token) {
      const client = new EarlierClient({ name: 'test', version: '1.0.0' })
      // Its transport's optional `sessionId` is typed more loosely than exactOptionalPropertyTypes takes.
      await client.connect(new EarlierTransport(url, headersOf(token)) as Parameters<EarlierClient['connect']>[0])
      return client as unknown as McpClient
    }
  }
]

async function refusalOf (call: Promise<unknown>): Promise<Error> {
  return await call.then(() => { throw new Error('It was not refused.') }, (error: Error) => error)
}

async function provesTheMainJob (t: Test, { connect }: Generation, { service, url }: Awaited<ReturnType<typeof setup>>): Promise<void> {
  const note = `a note of ${Math.random()}`
  const readKey = await service.create({ scope: 'mcp:read' })
  const writeKey = await service.create({ scope: 'mcp:write' })
  const reader = await connect(url, readKey.token)
  const writer = await connect(url, writeKey.token)
  t.teardown(async () => { await Promise.all([reader.close(), writer.close()]) })

  const { tools } = await reader.listTools()
  t.same(tools.map(({ name, annotations }) => [name, annotations?.readOnlyHint]), [['list_notes', true], ['add_note', false]])
  await reader.callTool({ name: 'list_notes', arguments: {} })

  const refusal = await refusalOf(reader.callTool({ name: 'add_note', arguments: { text: 'not to be' } }))
  t.match(refusal.message, /mcp:write/, 'the agent learns which scope is missing')

  t.match(await writer.callTool({ name: 'add_note', arguments: { text: note } }), { content: [{ text: 'Added.' }] })
  const after = JSON.stringify(await reader.callTool({ name: 'list_notes', arguments: {} }))
  t.ok(after.includes(note))
  t.notOk(after.includes('not to be'))

  for (const [key, client] of [[readKey, reader], [writeKey, writer]] as const) {
    await service.revoke(key)
    const refusal = await refusalOf(client.callTool({ name: 'list_notes', arguments: {} }))
    t.match(refusal.message, /revoked/, 'the agent learns why')
    t.equal((await post(url, key.token, listNotes)).status, 401)
  }
}

const listNotes = { jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name: 'list_notes', arguments: {} } }
const addNote = { jsonrpc: '2.0', id: 8, method: 'tools/call', params: { name: 'add_note', arguments: { text: 'not to be' } } }

async function post (url: URL, token: string | undefined, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  return await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...token === undefined ? {} : { authorization: `Bearer ${token}` },
      ...headers
    },
    body: typeof body === 'string' ? body : JSON.stringify(body)
  })
}

t.test('the MCP server of the example', async (t) => {
  const scene = await setup(t)
  const { service, url, server } = scene

  for (const generation of generations) {
    await t.test(`a read key reads, a write key writes, a revoked key does neither, with ${generation.name}`, (t) => provesTheMainJob(t, generation, scene))
  }

  await t.test('a writing call with a read key is a 403 with the challenge and a JSON-RPC error', async (t) => {
    const { token } = await service.create({ scope: 'mcp:read' })
    const response = await post(url, token, addNote)
    t.equal(response.status, 403)
    t.match(response.headers.get('www-authenticate'), /^Bearer realm="navis-keys",.*error="insufficient_scope",.*scope="mcp:write"/)
    t.match(await response.json(), { jsonrpc: '2.0', id: 8, error: { code: Number, message: /mcp:write/ } })
  })

  await t.test('one writing call in a batch refuses the whole batch, before any of it is done', async (t) => {
    const { token } = await service.create({ scope: 'mcp:read' })
    const { token: writeToken } = await service.create({ scope: 'mcp:write' })
    for (const batch of [[listNotes, addNote], [addNote, listNotes], [addNote]]) {
      const response = await post(url, token, batch)
      t.equal(response.status, 403)
      t.match(await response.json(), { jsonrpc: '2.0', id: null, error: { message: /mcp:write/ } })
    }
    t.equal((await post(url, token, [listNotes])).status, 200)
    t.notMatch(await (await post(url, writeToken, listNotes)).text(), /not to be/)
  })

  await t.test('no disguise of a writing call gets past a read key', async (t) => {
    const { token } = await service.create({ scope: 'mcp:read' })
    const { token: writeToken } = await service.create({ scope: 'mcp:write' })
    const disguises: ReadonlyArray<readonly [string, unknown, Record<string, string>?]> = [
      ['an unknown tool', { ...addNote, params: { name: 'drop_everything' } }],
      ['another case', { ...addNote, params: { name: 'ADD_NOTE', arguments: { text: 'not to be' } } }],
      ['a name that is no string', { ...addNote, params: { name: ['list_notes'] } }],
      ['no params', { jsonrpc: '2.0', id: 8, method: 'tools/call' }],
      ['a notification', { ...addNote, id: undefined }],
      ['a name given twice', '{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"list_notes","name":"add_note","arguments":{"text":"not to be"}}}'],
      ['a method given twice', '{"jsonrpc":"2.0","id":8,"method":"tools/list","method":"tools/call","params":{"name":"add_note","arguments":{"text":"not to be"}}}'],
      ['escapes', '{"jsonrpc":"2.0","id":8,"method":"tools\\u002fcall","params":{"name":"add\\u005fnote","arguments":{"text":"not to be"}}}'],
      ['a header that says otherwise', addNote, { 'mcp-method': 'tools/call', 'mcp-name': 'list_notes' }]
    ]
    for (const [disguise, body, headers] of disguises) {
      t.equal((await post(url, token, body, headers)).status, 403, disguise)
    }
    t.not((await post(url, token, [[addNote]])).status, 200, 'a batch in a batch')
    t.notMatch(await (await post(url, writeToken, listNotes)).text(), /not to be/)
  })

  await t.test('without a key there is nothing: a 401 with a bare challenge, for every method', async (t) => {
    for (const method of ['GET', 'POST', 'DELETE']) {
      const response = await fetch(url, { method })
      t.equal(response.status, 401, method)
      t.equal(response.headers.get('www-authenticate'), 'Bearer realm="navis-keys"', method)
    }
    t.equal((await fetch(`${url.href}?access_token=${(await service.create({ scope: 'mcp:read' })).token}`, { method: 'POST' })).status >= 400, true)
  })

  await t.test('with a key, GET and DELETE say that there are no sessions', async (t) => {
    const { token } = await service.create({ scope: 'mcp:read' })
    for (const method of ['GET', 'DELETE']) {
      t.equal((await fetch(url, { method, headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' } })).status, 405)
    }
  })

  await t.test('a page in a browser cannot use it, and a client finds no OAuth to start', async (t) => {
    const { token } = await service.create({ scope: 'mcp:read' })
    t.equal((await post(url, token, listNotes, { origin: 'https://evil.example' })).status, 403)
    for (const path of ['/.well-known/oauth-protected-resource', '/.well-known/oauth-protected-resource/mcp', '/.well-known/oauth-authorization-server']) {
      const response = await fetch(new URL(path, url))
      t.equal(response.status, 404)
      t.match(response.headers.get('content-type'), /json/)
    }
  })

  await t.test('a workspace does not see the notes of another', async (t) => {
    const own = await service.create({ scope: 'mcp:write' })
    await post(url, own.token, { ...addNote, params: { name: 'add_note', arguments: { text: 'ours alone' } } })
    const foreign = await service.create({ scope: 'mcp:read', workspace: 'globex' })
    await until(async () => (await (await post(url, own.token, listNotes)).text()).includes('ours alone'))
    t.notMatch(await (await post(url, foreign.token, listNotes)).text(), /ours alone/)
  })

  await t.test('it ends when asked to, and holds nothing open', async (t) => {
    process.kill(server.pid, 'SIGTERM')
    await until(() => !server.running)
    t.notOk(server.running)
  })
})
