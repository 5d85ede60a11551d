/** The path on which clients reach the MCP server `upstream`, unless the operator sets another one. */
export function defaultMcpPath (upstream: string): string {
  return upstream === 'default' ? '/mcp' : `/mcp/${upstream}`
}
