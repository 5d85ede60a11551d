import type { AddressInfo } from 'node:net'

interface GreetingOptions {
  readonly address: AddressInfo
  readonly dataDir: string
  /** `undefined` when the settings name the management tokens, and none was made. */
  readonly tokenPath: string | undefined
}

/** Printed when the service was started in a terminal without settings. The command in it can be pasted. */
export function greeting ({ address, dataDir, tokenPath }: GreetingOptions): string {
  const url = urlOf(address)
  const lines = [`Navis Keys listens on ${url} and keeps its data in ${dataDir}.`]
  if (tokenPath !== undefined) {
    const token = `"Authorization: Bearer $(cat ${quoted(tokenPath)})"`
    lines.push(
      `The management token is in ${tokenPath}. To create a key:`,
      '',
      `curl ${url}/v1/workspaces/demo/keys -H ${token} -H 'Content-Type: application/json' -d '{"name":"first","scope":"mcp:read"}'`,
      '',
      `Or use that token to sign in with a browser: ${url}/settings`
    )
  }
  return `\n${lines.join('\n')}\n\n`
}

// Clients cannot connect to the wildcard address.
function urlOf ({ address, family, port }: AddressInfo): string {
  const reachable = address === '0.0.0.0' || address === '::' ? '127.0.0.1' : address
  return `http://${family === 'IPv6' && reachable === address ? `[${reachable}]` : reachable}:${port}`
}

// The command is pasted into the folder where the service was started.
function quoted (path: string): string {
  return /^[A-Za-z0-9_./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}
