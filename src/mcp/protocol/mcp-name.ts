/*
 * `Mcp-Name: get_weather`              the name itself, if it is safe in a header
 * `Mcp-Name: =?base64?Z2V0…?=`         Base64 of UTF-8 otherwise (MCP 2026-07-28, "Value Encoding")
 */
const encoded = /^=\?base64\?(.*)\?=$/s
const safe = /^[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?$/

/** The name in an `Mcp-Name` header; `undefined` if parsers could read it differently. */
export function decodeMcpName (header: string): string | undefined {
  const base64 = encoded.exec(header)?.[1]
  if (base64 === undefined) return safe.test(header) ? header : undefined
  const bytes = Buffer.from(base64, 'base64')
  if (bytes.toString('base64') !== base64) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

export function encodeMcpName (name: string): string {
  return safe.test(name) && !encoded.test(name) ? name : `=?base64?${Buffer.from(name, 'utf8').toString('base64')}?=`
}
