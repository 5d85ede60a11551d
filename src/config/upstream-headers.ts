// Headers that HTTP, MCP and the gateway set themselves.
const reserved = /^(?:authorization|host|connection|keep-alive|transfer-encoding|te|trailer|upgrade|expect|accept|accept-encoding|last-event-id|content-.*|proxy-.*|mcp-.*|x-navis-.*)$/
const name = /^[a-z0-9][a-z0-9-]{0,63}$/
// The scrubber cannot remove shorter values from logs: they would match ordinary text.
const value = /^[!-~](?:[ -~]{6,4094})[!-~]$/

interface UpstreamHeaders {
  /** By name of the upstream; header names in lower case. */
  readonly headers: ReadonlyMap<string, Readonly<Record<string, string>>>
  readonly faults: readonly string[]
}

/** Reads MCP_UPSTREAM_HEADERS. Faults do not contain values. */
export function readUpstreamHeaders (text: string | undefined): UpstreamHeaders {
  const headers = new Map<string, Readonly<Record<string, string>>>()
  const faults = new Set<string>()
  for (const [upstream, wanted] of Object.entries(objectOf(text ?? '{}') ?? { '': undefined })) {
    if (!isObject(wanted)) {
      faults.add('MCP_UPSTREAM_HEADERS must be a JSON object of headers by upstream, such as {"default":{"apikey":"…"}}.')
      continue
    }
    const entries = Object.entries(wanted).map(([header, held]) => [header.toLowerCase(), held] as const)
    for (const [header, held] of entries) {
      if (!name.test(header)) faults.add('MCP_UPSTREAM_HEADERS: the name of a header must be letters, digits and dashes.')
      else if (header === 'authorization') faults.add('MCP_UPSTREAM_HEADERS must not have Authorization: a bearer token belongs in MCP_UPSTREAM_TOKEN or MCP_UPSTREAM_TOKENS.')
      else if (reserved.test(header)) faults.add(`MCP_UPSTREAM_HEADERS must not have ${header}: HTTP, MCP or the gateway sets this header itself.`)
      if (typeof held !== 'string' || !value.test(held)) faults.add('MCP_UPSTREAM_HEADERS: the value of a header must be 8 or more characters of printable ASCII.')
    }
    if (new Set(entries.map(([header]) => header)).size < entries.length) faults.add('MCP_UPSTREAM_HEADERS: a header occurs twice.')
    headers.set(upstream, Object.fromEntries(entries) as Record<string, string>)
  }
  return { headers, faults: [...faults] }
}

function objectOf (text: string): Record<string, unknown> | undefined {
  try {
    const read = JSON.parse(text) as unknown
    return isObject(read) ? read : undefined
  } catch {
    return undefined
  }
}

function isObject (held: unknown): held is Record<string, unknown> {
  return typeof held === 'object' && held !== null && !Array.isArray(held)
}
