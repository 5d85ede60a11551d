import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { test } from 'tap'
import { readPolicies } from '../../src/mcp/protocol/policy.ts'
import { Child } from '../support/child.ts'
import { startGateway } from '../support/gateway.ts'
import { freePort } from '../support/server-process.ts'

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
