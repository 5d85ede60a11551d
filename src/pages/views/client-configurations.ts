/** A client's configuration, ready to paste. */
export interface ClientConfiguration {
  readonly id: string
  readonly client: string
  /** Where it goes. */
  readonly place: string
  readonly text: string
}

interface Connection {
  readonly token: string
  /** Where clients reach the service: scheme, host and port, without a slash at the end. */
  readonly publicUrl: string
  /** The MCP server's own address. `undefined`: none is known. */
  readonly mcpUrl: string | undefined
}

type McpConnection = Connection & { readonly mcpUrl: string }

const serverName = 'navis'

/** Without an MCP server there is nothing that an MCP client could be set up for. */
export function clientConfigurations ({ mcpUrl, ...rest }: Connection): readonly ClientConfiguration[] {
  const http: ClientConfiguration = { id: 'curl', client: 'curl', place: 'To see that the key works; the answer is 200:', text: curl(rest) }
  if (mcpUrl === undefined) return [http]
  const connection = { ...rest, mcpUrl }
  return [
    { id: 'claude-desktop', client: 'Claude Desktop', place: 'Settings → Developer → Edit config, then restart Claude:', text: claudeDesktop(connection) },
    { id: 'claude-code', client: 'Claude Code', place: 'In a terminal:', text: claudeCode(connection) },
    { id: 'cursor', client: 'Cursor', place: 'In ~/.cursor/mcp.json:', text: cursor(connection) },
    http
  ]
}

// Claude Desktop starts local programs only: mcp-remote carries its messages over HTTP. The token is in `env`,
// since the arguments of a process can be read by every user of the machine.
function claudeDesktop ({ token, mcpUrl }: McpConnection): string {
  const insecure = new URL(mcpUrl).protocol === 'http:' ? ['--allow-http'] : []
  return json({
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
}

function claudeCode ({ token, mcpUrl }: McpConnection): string {
  return `claude mcp add --transport http ${serverName} ${shellWord(mcpUrl)} \\\n  --header ${shellWord(`Authorization: Bearer ${token}`)}`
}

function cursor ({ token, mcpUrl }: McpConnection): string {
  return json({ mcpServers: { [serverName]: { url: mcpUrl, headers: { Authorization: `Bearer ${token}` } } } })
}

function curl ({ token, publicUrl }: Omit<Connection, 'mcpUrl'>): string {
  return `curl -i ${shellWord(`${publicUrl}/forward-auth`)} \\\n  -H ${shellWord(`Authorization: Bearer ${token}`)}`
}

function json (value: unknown): string {
  return JSON.stringify(value, null, 2)
}

function shellWord (text: string): string {
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
