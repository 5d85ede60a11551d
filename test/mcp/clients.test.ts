import { execFile } from 'node:child_process'
import { cpSync, readFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createMCPClient } from '@ai-sdk/mcp'
import { MultiServerMCPClient } from '@langchain/mcp-adapters'
import { Client as NewClient, StreamableHTTPClientTransport as NewTransport } from '@modelcontextprotocol/client'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport as OldTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport as OldTransportType } from '@modelcontextprotocol/sdk/shared/transport.js'
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server'
import { test, type Test } from 'tap'
import * as z from 'zod'
import { Child } from '../support/child.ts'
import { startGateway } from '../support/gateway.ts'
import { freePort } from '../support/server-process.ts'
import { until } from '../support/servers.ts'

const packages = fileURLToPath(new URL('../../node_modules', import.meta.url))
const run = promisify(execFile)

/** `@modelcontextprotocol/server-everything`: 2025-11-25 and before, with sessions. */
async function everything (t: Test): Promise<string> {
  const port = await freePort()
  const child = new Child(t, { file: 'node_modules/@modelcontextprotocol/server-everything/dist/index.js', args: ['streamableHttp'], env: { PORT: String(port) } })
  await child.printed(/listening on port/i)
  return `http://127.0.0.1:${port}/mcp`
}

/** A server of the official SDK 2: 2026-07-28, and whatever was before it. */
async function modernServer (t: Test) {
  const written: string[] = []
  const handler = createMcpHandler(() => {
    const server = new McpServer({ name: 'notes', version: '1.0.0' }, { capabilities: { tools: { listChanged: true } } })
    const text = (text: string) => ({ content: [{ type: 'text' as const, text }] })
    server.registerTool('get_note', { description: 'Reads.', inputSchema: z.object({}), annotations: { readOnlyHint: true } }, async () => text('a note'))
    server.registerTool('set_note', { description: 'Writes.', inputSchema: z.object({ text: z.string() }) }, async ({ text: note }) => {
      written.push(note)
      return text('written')
    })
    server.registerTool('größe', { description: 'Has a name that no header can hold.', inputSchema: z.object({}), annotations: { readOnlyHint: true } }, async () => text('7'))
    server.registerResource('readme', 'notes://readme', {}, async () => ({ contents: [{ uri: 'notes://readme', text: 'hello' }] }))
    server.registerPrompt('greet', {}, async () => ({ messages: [{ role: 'user', content: { type: 'text', text: 'hi' } }] }))
    return server
  })
  const server = createServer(toNodeHandler(handler) as RequestListener)
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => { server.close(resolve) })
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`, written, notify: handler.notify }
}

async function setup (t: Test) {
  const [legacy, modern] = [await everything(t), await modernServer(t)]
  const policy = t.testdir({ 'policy.json': '{"upstreams":{"everything":{"trust_read_only_hints":true,"tools":{"get-env":"mcp:write"}},"notes":{"trust_read_only_hints":true}}}' })
  const gateway = await startGateway(t, { upstreams: [{ name: 'everything', url: legacy }, { name: 'notes', url: modern.url }], policyFile: `${policy}/policy.json` })
  return { gateway, modern, read: await gateway.mint('mcp:read'), write: await gateway.mint('mcp:write') }
}

const bearer = (token: string) => ({ requestInit: { headers: { authorization: `Bearer ${token}` } } })

async function oldClient (t: Test, url: string, token: string) {
  const client = new OldClient({ name: 'test', version: '1' })
  const transport = new OldTransport(new URL(url), bearer(token))
  await client.connect(transport as unknown as OldTransportType)
  t.teardown(() => client.close())
  return { client, transport }
}

async function newClient (t: Test, url: string, token: string) {
  const client = new NewClient({ name: 'test', version: '1' }, { versionNegotiation: { mode: 'auto' } })
  await client.connect(new NewTransport(new URL(url), bearer(token)))
  t.teardown(() => client.close())
  return client
}

const readable = ['echo', 'get-annotated-message', 'get-resource-links', 'get-resource-reference', 'get-structured-content', 'get-sum', 'get-tiny-image', 'trigger-long-running-operation']
const names = ({ tools }: { tools: ReadonlyArray<{ name: string }> }) => tools.map(({ name }) => name).sort()

test('the official clients, those of the AI SDK and LangChain, inspector and mcp-remote work through the gateway', async (t) => {
  const { gateway, modern, read, write } = await setup(t)
  const everythingUrl = `${gateway.url}/everything`
  const notesUrl = `${gateway.url}/notes`

  await t.test('SDK 1, server-everything: a read key lists, reads, and is refused what writes', async (t) => {
    const { client } = await oldClient(t, everythingUrl, read.token)
    t.strictSame(names(await client.listTools()), readable)
    t.match(await client.callTool({ name: 'echo', arguments: { message: 'hello' } }), { content: [{ text: 'Echo: hello' }] })
    await t.rejects(client.callTool({ name: 'toggle-simulated-logging', arguments: {} }), { message: /403|insufficient_scope|mcp:write/ })
    await t.rejects(client.callTool({ name: 'get-env', arguments: {} }), 'the policy is stricter than the hint')
    t.ok((await client.listResources()).resources.length > 0)
    const [resource] = (await client.listResources()).resources
    t.ok((await client.readResource({ uri: resource?.uri ?? '' })).contents.length > 0)
    t.ok((await client.listPrompts()).prompts.length > 0)
    t.ok((await client.getPrompt({ name: 'simple-prompt' })).messages.length > 0)
    await client.ping()
  })

  await t.test('SDK 1, server-everything: progress, cancellation and the end of a session', async (t) => {
    const { client, transport } = await oldClient(t, everythingUrl, write.token)
    const seen: number[] = []
    t.match(await client.callTool({ name: 'trigger-long-running-operation', arguments: { duration: 1, steps: 4 } }, undefined, { onprogress: ({ progress }) => { seen.push(progress) } }), { content: [{ text: /completed/ }] })
    t.strictSame(seen, [1, 2, 3, 4])
    const cancel = new AbortController()
    const cancelled = client.callTool({ name: 'trigger-long-running-operation', arguments: { duration: 30, steps: 30 } }, undefined, { signal: cancel.signal, onprogress: () => { cancel.abort() } })
    await t.rejects(cancelled)
    t.match(await client.callTool({ name: 'get-sum', arguments: { a: 2, b: 3 } }), { content: [{ text: /5/ }] })
    await transport.terminateSession()
    t.ok(gateway.reports.some(({ method, status }) => method === 'http delete' && status === 200))
  })

  await t.test('SDK 1, server-everything: a long stream brings log messages until the key is revoked', async (t) => {
    const own = await gateway.mint('mcp:write')
    const { client } = await oldClient(t, everythingUrl, own.token)
    let messages = 0
    client.fallbackNotificationHandler = async () => { messages++ }
    await client.callTool({ name: 'toggle-simulated-logging', arguments: {} })
    await until(() => messages > 0)
    await own.revoke()
    const then = messages
    await t.rejects(client.ping())
    t.equal(messages, then)
    await until(() => gateway.reports.some(({ key_id: id, method, decision }) => id === own.key.id && method === 'http get' && decision === 'cut'))
  })

  await t.test('SDK 2, a server of 2026-07-28: list, call, resources, prompts; writing is refused to a read key', async (t) => {
    const client = await newClient(t, notesUrl, read.token)
    t.equal(client.getNegotiatedProtocolVersion(), '2026-07-28')
    t.strictSame(names(await client.listTools()), ['get_note', 'größe'])
    t.match(await client.callTool({ name: 'get_note', arguments: {} }), { content: [{ text: 'a note' }] })
    t.match(await client.callTool({ name: 'größe', arguments: {} }), { content: [{ text: '7' }] })
    t.match(await client.readResource({ uri: 'notes://readme' }), { contents: [{ text: 'hello' }] })
    t.match(await client.getPrompt({ name: 'greet' }), { messages: [{ content: { text: 'hi' } }] })
    await t.rejects(client.callTool({ name: 'set_note', arguments: { text: 'x' } }))
    t.strictSame(modern.written, [])
    const writer = await newClient(t, notesUrl, write.token)
    t.strictSame(names(await writer.listTools()), ['get_note', 'größe', 'set_note'])
    await writer.callTool({ name: 'set_note', arguments: { text: 'y' } })
    t.strictSame(modern.written, ['y'])
  })

  await t.test('SDK 2, a server of 2026-07-28: a subscription brings changes, and ends with its key', async (t) => {
    const own = await gateway.mint('mcp:read')
    const client = await newClient(t, notesUrl, own.token)
    let changes = 0
    client.setNotificationHandler('notifications/tools/list_changed', () => { changes++ })
    const subscription = await client.listen({ toolsListChanged: true })
    modern.notify.toolsChanged()
    await until(() => changes === 1)
    await own.revoke()
    t.not(await subscription.closed, 'local')
    await until(() => gateway.reports.some(({ key_id: id, method, decision }) => id === own.key.id && method === 'subscriptions/listen' && decision === 'cut'))
  })

  await t.test('SDK 2 falls back to sessions for server-everything', async (t) => {
    const client = await newClient(t, everythingUrl, read.token)
    t.equal(client.getNegotiatedProtocolVersion(), '2025-11-25')
    t.strictSame(names(await client.listTools()), readable)
    t.match(await client.callTool({ name: 'echo', arguments: { message: 'hello' } }), { content: [{ text: 'Echo: hello' }] })
  })

  await t.test('SDK 1 reaches a server of 2026-07-28 that also speaks the old way', async (t) => {
    const { client } = await oldClient(t, notesUrl, read.token)
    t.strictSame(names(await client.listTools()), ['get_note', 'größe'])
    await t.rejects(client.callTool({ name: 'set_note', arguments: { text: 'x' } }))
  })

  await t.test('the MCP client of the AI SDK lists and calls, and fails with a key that is wrong', async (t) => {
    const connected = async (url: string, token: string) => {
      const client = await createMCPClient({ transport: { type: 'http', url, headers: { Authorization: `Bearer ${token}` } } })
      t.teardown(() => client.close())
      return await client.tools()
    }
    const tools = await connected(everythingUrl, read.token)
    t.strictSame(Object.keys(tools).sort(), readable)
    t.match(await tools['echo']!.execute({ message: 'hi' }, { toolCallId: '1', messages: [], context: undefined }), { content: [{ text: 'Echo: hi' }] })
    t.strictSame(Object.keys(await connected(notesUrl, read.token)).sort(), ['get_note', 'größe'])
    t.ok((await connected(everythingUrl, write.token))['toggle-simulated-logging'])
    await t.rejects(connected(everythingUrl, `${read.token}x`), { code: 401, message: /^The token is malformed/ }, 'and tells why')
  })

  await t.test('LangChain\'s MCP adapters list and call, and fail with a key that is wrong', async (t) => {
    const connected = async (url: string, token: string) => {
      const client = new MultiServerMCPClient({ mcpServers: { server: { transport: 'http', url, headers: { Authorization: `Bearer ${token}` } } } })
      t.teardown(() => client.close())
      return await client.getTools()
    }
    const tools = await connected(everythingUrl, read.token)
    t.strictSame(names({ tools }), readable)
    t.match(JSON.stringify(await tools.find(({ name }) => name === 'echo')!.invoke({ message: 'hi' })), /Echo: hi/)
    t.strictSame(names({ tools: await connected(notesUrl, read.token) }), ['get_note', 'größe'])
    await t.rejects(connected(everythingUrl, `${read.token}x`), { message: /401|not valid|malformed/i })
  })

  await t.test('the programs and the curl of docs/connect-mcp.md list the tools as they are written there', async (t) => {
    const page = readFileSync('docs/connect-mcp.md', 'utf8').replaceAll('http://127.0.0.1:3000/mcp', notesUrl)
    const programs = [...page.matchAll(/```js\n([^]*?)```/g)].map(([, text = '']) => [process.execPath, '--input-type=module', '-e', text])
    const curls = [...page.matchAll(/```sh\n(curl [^]*?)```/g)].map(([, text = '']) => ['bash', '-c', text])
    t.equal(programs.length, 3)
    t.equal(curls.length, 1)
    for (const [file = '', ...args] of [...programs, ...curls]) {
      const { stdout } = await run(file, args, { env: { PATH: process.env['PATH'], NAVIS_KEY: read.token } })
      t.match(stdout, /get_note/)
      t.notMatch(stdout, /set_note/, 'a read key')
    }
  })

  await t.test('mcp-inspector --cli lists and calls', async (t) => {
    // Laid out as in the package @modelcontextprotocol/inspector, whose command line this is.
    const inspector = t.testdir({ 'package.json': '{"name":"inspector","version":"1.0.3","type":"module"}' })
    cpSync(`${packages}/@modelcontextprotocol/inspector-cli/build`, `${inspector}/cli/build`, { recursive: true })
    // `cli.js` starts the other with the same arguments, in a process of its own. It looks for `../package.json` from where it was started, too.
    const inspect = async (program: 'cli.js' | 'index.js', token: string, ...args: string[]) => JSON.parse((await run(process.execPath, [
      `${inspector}/cli/build/${program}`, everythingUrl, ...program === 'cli.js' ? ['--cli'] : [], '--transport', 'http', '--header', `Authorization: Bearer ${token}`, ...args
    ], { cwd: inspector })).stdout)
    t.strictSame(names(await inspect('cli.js', read.token, '--method', 'tools/list')), readable)
    t.match(await inspect('index.js', read.token, '--method', 'tools/call', '--tool-name', 'echo', '--tool-arg', 'message=hi'), { content: [{ text: 'Echo: hi' }] })
    const refused = await inspect('index.js', read.token, '--method', 'tools/call', '--tool-name', 'toggle-simulated-logging').then(() => '', (error: { stderr: string }) => error.stderr)
    t.match(refused, /mcp:write/)
    await t.rejects(inspect('index.js', `${read.token}x`, '--method', 'tools/list'), 'no OAuth is started for a key that is wrong')
  })

  await t.test('mcp-remote, as Claude Desktop starts it, lists and calls', async (t) => {
    const client = new OldClient({ name: 'desktop', version: '1' })
    await client.connect(new StdioClientTransport({
      command: process.execPath,
      args: [`${packages}/mcp-remote/dist/proxy.js`, everythingUrl, '--allow-http', '--transport', 'http-only', '--header', `Authorization:${'$'}{AUTH_HEADER}`],
      env: { PATH: process.env['PATH'] ?? '', HOME: t.testdir({}), AUTH_HEADER: `Bearer ${read.token}` },
      stderr: 'ignore'
    }) as unknown as OldTransportType)
    t.teardown(() => client.close())
    t.strictSame(names(await client.listTools()), readable)
    t.match(await client.callTool({ name: 'echo', arguments: { message: 'hi' } }), { content: [{ text: 'Echo: hi' }] })
    await t.rejects(client.callTool({ name: 'toggle-simulated-logging', arguments: {} }), { message: /This server does not use OAuth.*mcp:write/ })
  })
})
