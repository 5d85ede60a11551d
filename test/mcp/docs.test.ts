import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { test } from 'tap'
import { reasons } from '../../src/core/verdict.ts'
import { readPolicies } from '../../src/mcp/protocol/policy.ts'
import { Child } from '../support/child.ts'
import { startGateway } from '../support/gateway.ts'
import { recordingUpstream } from '../support/recording-upstream.ts'
import { freePort } from '../support/server-process.ts'
import { until } from '../support/servers.ts'

interface ServerEntry {
  readonly command?: string
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly url?: string
  readonly headers?: Readonly<Record<string, string>>
}

const page = readFileSync(new URL('../../docs/gateway.md', import.meta.url), 'utf8')
const blocks = (language: string): string[] => [...page.matchAll(new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``, 'g'))].map(([, text]) => text ?? '')
const proxy = fileURLToPath(new URL('../../node_modules/mcp-remote/dist/proxy.js', import.meta.url))

test('what the page says to paste works when it is pasted', async (t) => {
  const port = await freePort()
  const upstream = new Child(t, { file: 'node_modules/@modelcontextprotocol/server-everything/dist/index.js', args: ['streamableHttp'], env: { PORT: String(port) } })
  await upstream.printed(/listening on port/i)
  const gateway = await startGateway(t, { upstreams: `http://127.0.0.1:${port}/mcp` })
  const { token } = await gateway.mint('mcp:read')
  const here = (text: string) => text.replaceAll('http://127.0.0.1:8080/mcp', gateway.url).replaceAll('nops_REPLACE_WITH_YOUR_KEY', token)
  const configurations = blocks('json').filter((text) => text.includes('mcpServers')).map((text) => (JSON.parse(here(text)) as { mcpServers: { navis: ServerEntry } }).mcpServers.navis)
  t.equal(configurations.length, 3)

  for (const { command, args = [], env, url, headers } of configurations) {
    await t.test(command === undefined ? `over HTTP with ${Object.values(headers ?? {}).join()}` : 'through mcp-remote', async (t) => {
      const client = new Client({ name: 'reader', version: '1' })
      // Clients put the environment into what stands in the file; `npx -y mcp-remote` is the one that is installed here.
      const filled = Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name, value.replace(/\$\{(?:env:)?NAVIS_KEY\}/, token)]))
      const transport = url === undefined
        ? new StdioClientTransport({ command: process.execPath, args: [proxy, ...args.slice(2)], env: { PATH: process.env['PATH'] ?? '', HOME: t.testdir({}), ...env }, stderr: 'ignore' })
        : new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: filled } })
      await client.connect(transport as unknown as Transport)
      t.teardown(() => client.close())
      t.equal(client.getServerVersion()?.name, 'mcp-servers/everything')
      t.ok((await client.listResources()).resources.length > 0)
    })
  }

  await t.test('with curl', async (t) => {
    const command = blocks('sh').find((text) => text.startsWith('curl')) ?? ''
    const { stdout } = await promisify(execFile)('bash', ['-c', here(command)], { env: { PATH: process.env['PATH'], NAVIS_KEY: token } })
    t.match(stdout, /"serverInfo"/)
  })
})

test('the policy on the page is one', async (t) => {
  const [policy = ''] = blocks('json').filter((text) => text.includes('"upstreams"'))
  const read = readPolicies(Buffer.from(policy), ['default']).get('default')
  t.equal(read?.trustReadOnlyHints, true)
  t.equal(read?.scopeOf('get_secrets'), 'mcp:write')
  t.equal(read?.scopeOf('get_note'), 'mcp:read')
})

test('the page names each code with which a call can be refused, and no other', async (t) => {
  const [, table = ''] = /## Refusals([^]*?)\n## /.exec(page) ?? []
  const named = new Set([...table.matchAll(/^\| [^|]+ \| (`[^|]+) \|/gm)].flatMap(([, cell = '']) => [...cell.matchAll(/`([a-z_]+)`/g)].map(([, code]) => code)))
  const sources = ['gateway-refusals', 'key-refusals'].map((name) => readFileSync(new URL(`../../src/mcp/${name}.ts`, import.meta.url), 'utf8'))
  const written = sources.flatMap((source) => [...source.matchAll(/\bcode: ([^\n]*)/g)].flatMap(([, rest = '']) => [...rest.matchAll(/'([a-z_]+)'/g)].map(([, code]) => code)))
  // Those that the sources do not spell: the verdicts, and what is thrown before there is one.
  const expected = new Set([...written, ...reasons, 'unauthenticated', 'unavailable', 'too_many_unknown_tokens'])
  t.strictSame([...named].sort(), [...expected].sort())
})

const bridged = /## A program behind the gateway[^]*?```\n([^]*?)```/.exec(page)?.[1]?.trim().split('\n') ?? []

test('the bridges on the page put a program behind the gateway', async (t) => {
  t.equal(bridged.length, 2)
  const installed: Readonly<Record<string, string>> = {
    'npx -y mcp-proxy@6': 'mcp-proxy/dist/bin/mcp-proxy.mjs',
    'npx -y supergateway@4': 'supergateway/dist/index.js',
    'npx -y @modelcontextprotocol/server-everything': '@modelcontextprotocol/server-everything/dist/index.js'
  }
  for (const command of bridged) {
    await t.test(command.split(' ')[2] ?? '', async (t) => {
      const port = await freePort()
      // What `npx` would fetch is what is installed here.
      const here = Object.entries(installed).reduce((text, [npx, file]) => text.replace(npx, `${process.execPath} ${fileURLToPath(new URL(`../../node_modules/${file}`, import.meta.url))}`), command).replaceAll('3001', String(port))
      t.notMatch(here, /\bnpx\b/)
      const bridge = spawn('bash', ['-c', here], { detached: true, stdio: 'ignore', env: { PATH: process.env['PATH'], HOME: t.testdir({}) } })
      const ended = once(bridge, 'close')
      t.teardown(async () => {
        if (bridge.pid !== undefined) process.kill(-bridge.pid, 'SIGKILL')
        await ended
      })
      const url = `http://127.0.0.1:${port}/mcp`
      await until(async () => (await fetch(url)).status > 0, { timeoutMs: 60_000 })
      const gateway = await startGateway(t, { upstreams: url })
      const connect = async (scope: 'mcp:read' | 'mcp:write') => {
        const client = new Client({ name: 'reader', version: '1' })
        const { token } = await gateway.mint(scope)
        await client.connect(new StreamableHTTPClientTransport(new URL(gateway.url), { requestInit: { headers: { authorization: `Bearer ${token}` } } }) as unknown as Transport)
        t.teardown(() => client.close())
        return client
      }
      const writer = await connect('mcp:write')
      t.ok((await writer.listTools()).tools.length > 5)
      t.match(await writer.callTool({ name: 'echo', arguments: { message: 'hello' } }), { content: [{ text: /hello/ }] })
      const reader = await connect('mcp:read')
      t.ok((await reader.listResources()).resources.length > 0)
      t.strictSame((await reader.listTools()).tools, [], 'without a policy every tool writes')
      await t.rejects(reader.callTool({ name: 'echo', arguments: { message: 'hello' } }), { message: /mcp:write/ })
    })
  }
})

/*
 * The rules of the registry's schema of 2025-12-11 for a server that is reached over the network, written by hand: its own text is under
 * a licence that changes.
 */
interface Rule {
  readonly required: readonly string[]
  readonly members: Readonly<Record<string, (value: any) => boolean>>
}

const isText = (lengthMax = Infinity) => (value: unknown) => typeof value === 'string' && value.length > 0 && value.length <= lengthMax
const isBoolean = (value: unknown) => typeof value === 'boolean'
const isUrl = (value: string) => URL.canParse(value)
const keeps = ({ required, members }: Rule) => (value: Record<string, unknown>): boolean =>
  typeof value === 'object' && required.every((name) => Object.hasOwn(value, name)) && Object.entries(value).every(([name, held]) => members[name]?.(held) === true)
const allKeep = (rule: Rule) => (values: unknown) => Array.isArray(values) && values.length > 0 && values.every(keeps(rule))

const input = { description: isText(), isRequired: isBoolean, isSecret: isBoolean, value: isText(), default: isText(), placeholder: isText(), choices: Array.isArray, format: (value: string) => ['string', 'number', 'boolean', 'filepath'].includes(value) }
const header: Rule = { required: ['name'], members: { ...input, name: isText(), variables: (value: object) => Object.values(value).every(keeps({ required: [], members: input })) } }
const remote: Rule = { required: ['type', 'url'], members: { type: (value) => value === 'streamable-http' || value === 'sse', url: (value: string) => /^(https?:\/\/[^\s]+|\{[a-zA-Z_]\w*\}[^\s]*)$/.test(value), headers: allKeep(header) } }
const serverRule: Rule = {
  required: ['name', 'description', 'version'],
  members: {
    $schema: (value) => value === 'https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json',
    name: (value: string) => value.length >= 3 && value.length <= 200 && /^[a-zA-Z0-9.-]+\/[a-zA-Z0-9._-]+$/.test(value),
    title: isText(100),
    description: isText(100),
    version: (value: string) => isText(255)(value) && !/^[\^~<>=]|[x*]/.test(value),
    websiteUrl: isUrl,
    repository: keeps({ required: ['url', 'source'], members: { url: isUrl, source: isText(), id: isText(), subfolder: isText() } }),
    remotes: allKeep(remote)
  }
}

test('the server.json on the page is one, and its header lets a client in', async (t) => {
  const [text = ''] = blocks('json').filter((block) => block.includes('server.schema.json'))
  const server = JSON.parse(text) as { remotes: Array<{ type: string, headers: Array<{ name: string, value: string, isSecret: boolean, variables: Record<string, { isSecret: boolean }> }> }> }
  t.ok(keeps(serverRule)(server as unknown as Record<string, unknown>))
  for (const [what, broken] of Object.entries({
    'a name without a namespace': { ...server, name: 'crm' },
    'a long description': { ...server, description: 'x'.repeat(101) },
    'a range of versions': { ...server, version: '^1.0.0' },
    'an unknown transport': { ...server, remotes: [{ ...server.remotes[0], type: 'http' }] },
    'a header without a name': { ...server, remotes: [{ ...server.remotes[0], headers: [{ value: 'x' }] }] },
    'a member that there is not': { ...server, remote: [] }
  })) t.notOk(keeps(serverRule)(broken), `the rules refuse ${what}`)

  const [{ type, headers: [sent] } = { type: '', headers: [] }] = server.remotes
  t.match(sent, { name: 'Authorization', isSecret: true, variables: { navis_key: { isSecret: true, isRequired: true } } })
  t.equal(type, 'streamable-http')
  const gateway = await startGateway(t, { upstreams: (await recordingUpstream(t)).url })
  const { token } = await gateway.mint('mcp:read')
  const answer = await fetch(gateway.url, { method: 'POST', headers: { 'content-type': 'application/json', [sent?.name ?? '']: sent?.value.replace('{navis_key}', token) ?? '' }, body: '{"jsonrpc":"2.0","id":1,"method":"ping"}' })
  t.equal(answer.status, 200)
})
