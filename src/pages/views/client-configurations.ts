/** One step of setting up a client. */
export interface SetUpStep {
  /** Code stands between backticks. */
  readonly says: string
  /** To copy. */
  readonly text?: string
  /** A link with the client's URL scheme. It does not contain the key. */
  readonly link?: { readonly href: string, readonly label: string }
}

/** The steps that set up a client. */
export interface ClientConfiguration {
  readonly id: string
  readonly client: string
  readonly steps: readonly SetUpStep[]
}

interface Connection {
  readonly token: string
  /** A URL that answers 200 to every valid key. `undefined`: none. */
  readonly tryAt: string | undefined
  /** The URL of the MCP server. `undefined`: not known. */
  readonly mcpUrl: string | undefined
}

type McpConnection = Connection & { readonly mcpUrl: string }

const serverName = 'navis'
const variable = 'NAVIS_KEY'
// eslint-disable-next-line no-template-curly-in-string -- the client fills it in
const bearerOfVariable = 'Bearer ${NAVIS_KEY}'
// eslint-disable-next-line no-template-curly-in-string -- the client fills it in
const bearerOfEnvironment = 'Bearer ${env:NAVIS_KEY}'

/** The clients to set up; without an MCP server only the one for HTTP. No command contains the key: shells store commands in their history. */
export function clientConfigurations ({ mcpUrl, ...rest }: Connection): readonly ClientConfiguration[] {
  const http: ClientConfiguration = { id: 'http', client: 'Any HTTP client', steps: anyClient({ mcpUrl, ...rest }) }
  if (mcpUrl === undefined) return [http]
  const connection = { ...rest, mcpUrl }
  return [
    { id: 'claude', client: 'Claude', steps: claude(connection) },
    { id: 'claude-desktop', client: 'Claude Desktop', steps: claudeDesktop(connection) },
    { id: 'claude-code', client: 'Claude Code', steps: claudeCode(connection) },
    { id: 'cursor', client: 'Cursor', steps: cursor(connection) },
    { id: 'vscode', client: 'VS Code', steps: vsCode(connection) },
    { id: 'codex', client: 'Codex', steps: codex(connection) },
    { id: 'gemini', client: 'Gemini CLI', steps: gemini(connection) },
    { id: 'windsurf', client: 'Windsurf', steps: windsurf(connection) },
    http
  ]
}

function claude ({ token, mcpUrl }: McpConnection): readonly SetUpStep[] {
  const isLocal = new URL(mcpUrl).protocol === 'http:'
  return [
    ...isLocal ? [{ says: 'Claude calls your server from the internet. This address cannot be reached from there: use Claude Desktop here, or https: with a public name.' }] : [],
    { says: 'In Claude: Settings → Connectors → Add custom connector. The address of the server:', text: mcpUrl },
    { says: 'Under “Request headers”, the name of a header:', text: 'Authorization' },
    { says: 'And its value. If there is no field for request headers, your plan does not support them yet: use Claude Desktop.', text: `Bearer ${token}` }
  ]
}

// Claude Desktop starts only local programs; mcp-remote sends their messages over HTTP. The token is in `env`,
// because every user of the machine can read the arguments of a process.
function claudeDesktop ({ token, mcpUrl }: McpConnection): readonly SetUpStep[] {
  const insecure = new URL(mcpUrl).protocol === 'http:' ? ['--allow-http'] : []
  return [{
    says: 'Settings → Developer → Edit config, then restart Claude. It needs Node.js on this machine. This file contains the key: do not share it.',
    text: json({
      mcpServers: {
        [serverName]: {
          command: 'npx',
          // No space in the header's argument: Claude Desktop on Windows would split it there.
          // eslint-disable-next-line no-template-curly-in-string -- mcp-remote fills it in from `env`
          args: ['-y', 'mcp-remote', mcpUrl, '--transport', 'http-only', ...insecure, '--header', 'Authorization:${NAVIS_AUTHORIZATION}'],
          env: { NAVIS_AUTHORIZATION: `Bearer ${token}` }
        }
      }
    })
  }]
}

function claudeCode ({ mcpUrl }: McpConnection): readonly SetUpStep[] {
  return [
    intoEnvironment,
    { says: 'In the folder of your project. The file that this writes contains the name of the variable, not the key:', text: `claude mcp add --scope project --transport http ${serverName} ${shellWord(mcpUrl)} \\\n  --header ${shellWord(`Authorization: ${bearerOfVariable}`)}` },
    { says: 'Start it in the same terminal; `/mcp` shows the server.', text: 'claude' }
  ]
}

function cursor ({ mcpUrl }: McpConnection): readonly SetUpStep[] {
  const server = { url: mcpUrl, headers: { Authorization: bearerOfEnvironment } }
  const href = `cursor://anysphere.cursor-deeplink/mcp/install?name=${serverName}&config=${encodeURIComponent(Buffer.from(JSON.stringify(server)).toString('base64'))}`
  return [
    intoEnvironment,
    { says: 'Start Cursor in the same terminal, so that it knows the variable:', text: 'cursor .' },
    { says: 'Add the server. The link does not contain the key.', link: { href, label: 'Add to Cursor' } },
    { says: 'Or by hand, in `~/.cursor/mcp.json`:', text: json({ mcpServers: { [serverName]: server } }) }
  ]
}

function vsCode ({ mcpUrl }: McpConnection): readonly SetUpStep[] {
  const input = { type: 'promptString', id: 'navis-key', description: 'Navis key', password: true }
  // eslint-disable-next-line no-template-curly-in-string -- VS Code asks for it
  const server = { type: 'http', url: mcpUrl, headers: { Authorization: 'Bearer ${input:navis-key}' } }
  return [
    { says: 'Add the server. VS Code then asks for the key once and stores it as a secret. The link does not contain it.', link: { href: `vscode:mcp/install?${encodeURIComponent(JSON.stringify({ name: serverName, ...server, inputs: [input] }))}`, label: 'Add to VS Code' } },
    { says: 'Or by hand, in `.vscode/mcp.json`:', text: json({ inputs: [input], servers: { [serverName]: server } }) }
  ]
}

function codex ({ mcpUrl }: McpConnection): readonly SetUpStep[] {
  return [
    intoEnvironment,
    { says: 'In `~/.codex/config.toml`:', text: `[mcp_servers.${serverName}]\nurl = ${JSON.stringify(mcpUrl)}\nbearer_token_env_var = "${variable}"` },
    { says: 'Start it in the same terminal.', text: 'codex' }
  ]
}

function gemini ({ mcpUrl }: McpConnection): readonly SetUpStep[] {
  return [
    intoEnvironment,
    { says: 'In `~/.gemini/settings.json`:', text: json({ mcpServers: { [serverName]: { httpUrl: mcpUrl, headers: { Authorization: `Bearer $${variable}` } } } }) },
    { says: 'Start it in the same terminal.', text: 'gemini' }
  ]
}

function windsurf ({ mcpUrl }: McpConnection): readonly SetUpStep[] {
  return [
    intoEnvironment,
    { says: 'In `~/.codeium/windsurf/mcp_config.json`:', text: json({ mcpServers: { [serverName]: { serverUrl: mcpUrl, headers: { Authorization: bearerOfEnvironment } } } }) },
    { says: 'Start it in the same terminal, so that it knows the variable.', text: 'windsurf .' }
  ]
}

function anyClient ({ token, tryAt, mcpUrl }: Connection): readonly SetUpStep[] {
  return [
    ...mcpUrl === undefined ? [] : [{ says: 'The MCP server (streamable HTTP):', text: mcpUrl }],
    { says: 'The header that each request carries:', text: `Authorization: Bearer ${token}` },
    ...tryAt === undefined ? [] : [intoEnvironment, { says: 'To see that the key works; the answer is 200:', text: `curl -i ${shellWord(tryAt)} -H "Authorization: Bearer $${variable}"` }]
  ]
}

// Read the key from the terminal: shells store commands in their history.
const intoEnvironment: SetUpStep = {
  says: 'In a terminal: run this, paste the key and press Enter. In PowerShell: `$env:NAVIS_KEY = Read-Host -MaskInput`.',
  text: `read -rs ${variable} && export ${variable}`
}

function json (value: unknown): string {
  return JSON.stringify(value, null, 2)
}

function shellWord (text: string): string {
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
